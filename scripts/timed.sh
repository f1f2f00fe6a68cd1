#!/usr/bin/env bash
# Runs a command and says what it was and how long it took:  scripts/timed.sh NAME COMMAND...
set -euo pipefail
name=$1
shift
echo "==> $name"
started=$SECONDS
rc=0
"$@" || rc=$?
echo "==> $name: $([ "$rc" -eq 0 ] && echo done || echo "failed ($rc)") after $((SECONDS - started)) s"
exit "$rc"
