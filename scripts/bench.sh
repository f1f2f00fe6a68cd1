#!/usr/bin/env bash
# How fast the studio's finance job reads files from disk and commits, at one worker and at two:  scripts/bench.sh
# EVENTS and SEED choose what is generated (1000000, 1); the same numbers give the same bytes on every machine. Needs an idle one.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
. scripts/lib.sh

events=${EVENTS:-1000000}
seed=${SEED:-1}
work=$(mktemp -d "${TMPDIR:-/tmp}/tidemill-bench.XXXXXX")
job_pid=
trap '[ -z "$job_pid" ] || kill -9 "$job_pid" 2>/dev/null || true; rm -rf "$work"' EXIT

# Most resident memory of a process so far, in MiB; nothing once it is gone.
peak_mib() { awk '/^VmHWM:/ { printf "%d", $2 / 1024 }' "/proc/$1/status" 2>/dev/null || true; }

# Runs the job at $1 workers on a fresh copy of the events, from start until caught up.
measure() {
  local workers=$1 started peak=0 now_peak took_ms
  export TIDEMILL_DATA=$work/data-$workers
  cp -r "$work/events" "$TIDEMILL_DATA"
  started=$(now_ms)
  "$tidemill" run "$finance_job" --profile local --state-dir "$work/state-$workers" --workers "$workers" --until-caught-up >"$work/log" 2>&1 &
  job_pid=$!
  while kill -0 "$job_pid" 2>/dev/null; do
    now_peak=$(peak_mib "$job_pid")
    peak=${now_peak:-$peak}
    sleep 0.05
  done
  wait "$job_pid" || { tail -n 20 "$work/log" >&2; exit 1; }
  job_pid=
  took_ms=$(($(now_ms) - started))
  "$tidemill" verify studio --from files --path "$TIDEMILL_DATA" >"$work/verified" || { cat "$work/verified" >&2; exit 1; }
  printf '%8s %12s %9s %14s %9s\n' "$workers" "$(grouped "$events")" "$(seconds "$took_ms")" "$(grouped $((events * 1000 / took_ms)))" "$peak"
  rm -rf "$TIDEMILL_DATA" "$work/state-$workers"
}

"$tidemill" generate studio --events "$events" --seed "$seed" --into files --path "$work/events" >/dev/null
printf '%8s %12s %9s %14s %9s\n' workers events seconds "events/s" "peak MiB"
measure 1
measure 2
