#!/usr/bin/env bash
# Builds a bench and runs it; benches/README.md says what it measures:  scripts/bench.sh studio|stages [option...]
# EVENTS, RATE, LIVE_SECONDS and KILLS make the studio's smaller, EVENTS the stages'; options (see --help) win. Needs an idle machine.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

bench=${1:-}
[ $# -eq 0 ] || shift
options=()
[ -z "${EVENTS:-}" ] || options+=(--events "$EVENTS")
case "$bench" in
  studio)
    [ -z "${RATE:-}" ] || options+=(--rate "$RATE")
    [ -z "${LIVE_SECONDS:-}" ] || options+=(--seconds "$LIVE_SECONDS")
    [ -z "${KILLS:-}" ] || options+=(--kills "$KILLS")
    scripts/setup.sh kafka
    ;;
  stages) scripts/setup.sh ;;
  *) sed -n '2,3s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
cargo build --release --quiet --package tidemill-cli --package tidemill-benches
# What a bench leaves behind when it is interrupted goes too.
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/tidemill-bench.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
# Of an option that is given twice the later one counts.
"$CARGO_TARGET_DIR/release/bench-$bench" "${options[@]}" "$@"
