#!/usr/bin/env bash
# Builds a bench and runs it; benches/README.md says what it measures:  scripts/bench.sh studio|stateless|stages|formats|deliveries|collect|scaling|check|peers [option...]
# EVENTS, RATE, LIVE_SECONDS and KILLS make the studio's smaller, EVENTS stateless, stages, collect and peers; options (see --help) win. Needs an idle machine,
# but for check, which counts instructions: UPDATE_BASELINE=1 makes what it counts the new baseline.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

bench=${1:-}
[ $# -eq 0 ] || shift
options=()
case "$bench" in studio | stateless | stages | collect | peers) [ -z "${EVENTS:-}" ] || options+=(--events "$EVENTS") ;; esac
case "$bench" in
  studio)
    [ -z "${RATE:-}" ] || options+=(--rate "$RATE")
    [ -z "${LIVE_SECONDS:-}" ] || options+=(--seconds "$LIVE_SECONDS")
    [ -z "${KILLS:-}" ] || options+=(--kills "$KILLS")
    [ -z "${IDLE_PARTITIONS:-}" ] || options+=(--idle-partitions "$IDLE_PARTITIONS")
    scripts/setup.sh kafka
    ;;
  stateless | collect) scripts/setup.sh kafka ;;
  stages | formats | scaling) scripts/setup.sh ;;
  deliveries) scripts/setup.sh postgres ;;
  check)
    [ "${UPDATE_BASELINE:-0}" = 0 ] || options+=(--update)
    scripts/setup.sh valgrind
    ;;
  peers)
    scripts/setup.sh kafka
    peers=$(benches/peers/install.sh)
    options+=(--peers "$peers")
    ;;
  *) sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
cargo build --release --quiet --package tidemill-cli --package tidemill-studio-cli --package tidemill-benches
# What a bench leaves behind when it is interrupted goes too.
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/tidemill-bench.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
# Of an option that is given twice the later one counts.
"$CARGO_TARGET_DIR/release/bench-$bench" "${options[@]}" "$@"
