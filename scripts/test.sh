#!/usr/bin/env bash
# Runs every test of the workspace. cargo closes each of its test programs with a line of its own; the last line here is their sum.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

log=$(mktemp)
trap 'rm -f "$log"' EXIT
rc=0
cargo test --release --workspace 2>&1 | tee "$log" || rc=$?
awk '/^test result: / { passed += $4; failed += $6; ignored += $8 }
     END { printf "%d passed, %d failed, %d skipped\n", passed, failed, ignored }' "$log"
exit "$rc"
