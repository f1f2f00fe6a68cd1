#!/usr/bin/env bash
# Draws where processor time goes, by thread and stack, from samples of a `tidemill` that runs:
#   scripts/flamegraph.sh [OUT.svg]                  the studio's finance job, files to files, from start to end (EVENTS, 1000000; WORKERS, 2)
#   scripts/flamegraph.sh --pid PID [OUT.svg]        a job that runs already, for SAMPLE_SECONDS (15)
# OUT.svg, in a browser, is searched and zoomed into; default: flamegraph.svg. Beside it OUT.folded has a line per stack, with its ns.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

pid=
if [ "${1:-}" = --pid ]; then
  pid=${2:?"--pid needs a process id"}
  shift 2
fi
out=${1:-flamegraph.svg}
workers=${WORKERS:-2}

scripts/setup.sh perf
inferno=$(ls -d "$TIDEMILL_CACHE"/inferno-*/bin | tail -n 1)
work=$(mktemp -d "${TMPDIR:-/tmp}/tidemill-flamegraph.XXXXXX")
trap 'rm -rf "$work"' EXIT

# A clock samples, since virtual machines often have no counters. Nothing is compiled with frame pointers, so each sample carries the top of
# its stack, which is unwound afterwards: that is much data, hence few samples a second.
event=cpu-clock
[ "$(id -u)" -eq 0 ] || event=cpu-clock:u
record=(perf record --quiet --event "$event" --freq 199 --call-graph dwarf,16384 --output "$work/perf.data")

if [ -n "$pid" ]; then
  "${record[@]}" --pid "$pid" -- sleep "${SAMPLE_SECONDS:-15}"
else
  cargo build --release --quiet --package tidemill-cli --package tidemill-studio-cli
  export TIDEMILL_DATA=$work/data
  tidemill=$CARGO_TARGET_DIR/release/tidemill
  "$tidemill-studio" generate --events "${EVENTS:-1000000}" --into files --path "$TIDEMILL_DATA" --json >/dev/null
  "${record[@]}" -- "$tidemill" run jobs/catalog/studio_finance.sql --profile local --state-dir "$work/state" \
    --workers "$workers" --until-caught-up --json >/dev/null
fi

# Inlined functions are left out: to look them up takes minutes.
perf script --no-inline --input "$work/perf.data" 2>/dev/null >"$work/stacks"
"$inferno/inferno-collapse-perf" "$work/stacks" >"$work/folded"
# Rust's paths tell more than its hashes, and workers are of one kind.
sed -i -E 's/::h[0-9a-f]{16}//g; s/^([^;]*[^;0-9])[0-9]+;/\1;/' "$work/folded"
"$inferno/inferno-flamegraph" --countname ns --title "tidemill: processor time by thread and stack" "$work/folded" >"$work/svg"
mv "$work/svg" "$out"
mv "$work/folded" "${out%.svg}.folded"
echo "$out: $(awk '{ sum += $NF } END { printf "%.1f", sum / 1e9 }' "${out%.svg}.folded") s of processor time; ${out%.svg}.folded: the stacks as text"
