#!/usr/bin/env bash
# A film studio's finance, live: generate its events, run the job, kill -9 it half-way, start it again, verify every row.
#   scripts/demo.sh [files|kafka]
# EVENTS and SEED choose what is generated (300000, 1). KEEP=1 keeps the folder with data and state. Needs the binaries: `make demo` builds them.
# With kafka, a broker of its own is started for it, on KAFKA_PORT (9092).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
. scripts/lib.sh

through=${1:-files}
events=${EVENTS:-300000}
seed=${SEED:-1}
work=$(mktemp -d "${TMPDIR:-/tmp}/tidemill-demo.XXXXXX")
status=$work/status.jsonl
log=$work/job.log
job_pid=

case "$through" in
  files) export TIDEMILL_DATA=$work/data
         place=(files --path "$TIDEMILL_DATA"); run_options=(--profile local); slate=() ;;
  kafka) export KAFKA_PORT=${KAFKA_PORT:-9092} KAFKA_DATA=$work/kafka KAFKA_OWNER=$$
         export TIDEMILL_KAFKA=127.0.0.1:$KAFKA_PORT
         place=(kafka --bootstrap "$TIDEMILL_KAFKA"); run_options=(); slate=(--slate "$TIDEMILL_CACHE/slate/movies.json") ;;
  *) echo "demo: '$through' is neither 'files' nor 'kafka'" >&2; exit 2 ;;
esac

clean_up() {
  [ -z "$job_pid" ] || kill -9 "$job_pid" 2>/dev/null || true
  [ "$through" != kafka ] || scripts/kafka.sh stop
  if [ "${KEEP:-0}" = 1 ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap clean_up EXIT

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# The newest value of a number in the status, empty if there is none yet.
status_number() { [ ! -f "$status" ] || sed -n "s/.*\"$1\":\([0-9][0-9]*\).*/\1/p" "$status" | tail -n 1; }
# A number as the job went live.
live_number() { sed -n -e '/"state":"recovering"/d' -e "s/.*\"$1\":\([0-9][0-9]*\).*/\1/p" "$status" | head -n 1; }
is_running() { kill -0 "$job_pid" 2>/dev/null; }
fail() { echo "demo: $1; the job's last words:" >&2; tail -n 20 "$log" >&2; exit 1; }

start_job() {
  : >"$status"
  # Small epochs and frequent checkpoints, so that a run of seconds has many of them.
  "$tidemill" run "$finance_job" "${run_options[@]}" --state-dir "$work/state" --until-caught-up --json \
    --epoch-bytes '1 MiB' --checkpoint-interval '500 ms' >"$status" 2>>"$log" &
  job_pid=$!
}
# Waits until `$@` holds; fails if the job ends before.
wait_for() { until "$@"; do is_running || { "$@" && return; return 1; }; sleep 0.02; done; }
is_half_way() { [ "$(status_number records_in)" -ge $((events / 2)) ] 2>/dev/null && [ "$(status_number epoch)" -ge 1 ]; }
is_live() { grep -q -e '"state":"running"' -e '"state":"caught_up"' "$status"; }

step "1. A studio's events: $(grouped "$events") of them, some twice, some late, some out of order, some broken"
[ "$through" != kafka ] || scripts/kafka.sh start
"$studio" generate --events "$events" --seed "$seed" --into "${place[@]}" "${slate[@]}"

step "2. The finance job starts"
started=$(now_ms)
start_job
wait_for is_half_way || fail "the job ended before it was half-way"
echo "half-way after $(seconds $(($(now_ms) - started))) s, at epoch $(grouped "$(status_number epoch)")"

step "3. kill -9"
kill -9 "$job_pid"
wait "$job_pid" 2>/dev/null || true
job_pid=
echo "gone, with $(grouped "$(status_number records_in)") events read, $(grouped "$(status_number epoch)") epochs committed, and no chance to tidy up"

step "4. The same command again"
restarted=$(now_ms)
start_job
wait_for is_live || fail "the job ended while it recovered"
recovery_ms=$(($(now_ms) - restarted))
checkpoint=$(live_number checkpoint_epoch) committed=$(live_number epoch)
if [ "$checkpoint" -gt 0 ]; then restored="checkpoint of epoch $checkpoint restored"; else restored="no checkpoint was there yet"; fi
echo "live again after $(seconds "$recovery_ms") s: $restored, $((committed - checkpoint)) epochs since then done again from the journal, nothing written twice"
wait "$job_pid" || fail "the job failed after its recovery"
job_pid=
echo "caught up after $(seconds $(($(now_ms) - restarted))) s, at epoch $(grouped "$(status_number epoch)")"

step "5. Every row against an independent oracle"
"$studio" verify --from "${place[@]}"
