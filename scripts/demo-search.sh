#!/usr/bin/env bash
# Keyword search over a database that changes: films, talent and deals in a real PostgreSQL, read from its own log into a real OpenSearch; an actor
# is renamed and searched for; a kill -9 of the job in between; and how long it took from the change to the search that finds it.
#   scripts/demo-search.sh [changes]     so many changes are searched for (40)
# KEEP=1 keeps the folder with data and state. Needs the binaries, and what is installed for them: `make demo-search` does both.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
. scripts/lib.sh

changes=${1:-40}
work=$(mktemp -d "${TMPDIR:-/tmp}/tidemill-demo-search.XXXXXX")
chmod 755 "$work"
log=$work/job.log
job_pid=

# The servers end with this process.
export POSTGRES_DATA=$work/postgres POSTGRES_PORT=${POSTGRES_PORT:-5432} POSTGRES_PASSWORD=demo POSTGRES_OWNER=$$
export OPENSEARCH_DATA=$work/opensearch OPENSEARCH_PORT=${OPENSEARCH_PORT:-9201} OPENSEARCH_TRANSPORT_PORT=${OPENSEARCH_TRANSPORT_PORT:-9301} OPENSEARCH_OWNER=$$
# What the job is told.
export MOVIES_URL=postgresql://127.0.0.1:$POSTGRES_PORT/postgres MOVIES_PASSWORD=$POSTGRES_PASSWORD SEARCH_URL=http://127.0.0.1:$OPENSEARCH_PORT
export TIDEMILL_DATA=$work/data

clean_up() {
  if [ -n "$job_pid" ]; then
    kill -9 "$job_pid" 2>/dev/null || true
    wait "$job_pid" 2>/dev/null || true
  fi
  scripts/opensearch.sh stop || true
  scripts/postgres.sh stop || true
  if [ "${KEEP:-0}" = 1 ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap clean_up EXIT

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
sql() { PGPASSWORD=$POSTGRES_PASSWORD psql -h 127.0.0.1 -p "$POSTGRES_PORT" -U postgres -v ON_ERROR_STOP=1 -qtA "$@"; }
fail() { echo "demo: $1; the job's last words:" >&2; tail -n 20 "$log" >&2; exit 1; }

start_job() {
  "$tidemill" run jobs/catalog/movie_search.sql --profile search-demo --state-dir "$work/state" --checkpoint-interval '500 ms' >>"$log" 2>&1 &
  job_pid=$!
}
# How many documents a query finds; 0 while there is no index.
found() {
  local answer
  answer=$(curl -fsS "$SEARCH_URL/credit/_search?size=0&track_total_hits=true" -H 'Content-Type: application/json' \
    -d "{\"query\":{\"match\":{\"$1\":{\"query\":\"$2\",\"operator\":\"and\"}}}}" 2>/dev/null) || { echo 0; return; }
  sed -n 's/.*"total":{"value":\([0-9]*\).*/\1/p' <<<"$answer"
}
# Waits until a query finds something.
search() {
  local until=$(($(now_ms) + 60000))
  until [ "$(found "$1" "$2")" -gt 0 ]; do
    kill -0 "$job_pid" 2>/dev/null || fail "the job ended"
    [ "$(now_ms)" -lt "$until" ] || fail "'$2' is not found"
    sleep 0.01
  done
}

step "1. A database: 2,000 films, 5,000 talents, 20,000 deals"
scripts/postgres.sh start
scripts/opensearch.sh start
sql <<'SQL'
CREATE TABLE title (id bigint PRIMARY KEY, name text NOT NULL, released int, synopsis text);
CREATE TABLE talent (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE deal (id bigint PRIMARY KEY, title_id bigint, talent_id bigint, role text, fee numeric(18, 2));
ALTER TABLE title REPLICA IDENTITY FULL;
ALTER TABLE talent REPLICA IDENTITY FULL;
ALTER TABLE deal REPLICA IDENTITY FULL;
INSERT INTO title SELECT id, 'Film ' || id, 1950 + id % 75, 'What happens in film ' || id FROM generate_series(1, 2000) AS id;
INSERT INTO talent SELECT id, 'Talent ' || id FROM generate_series(1, 5000) AS id;
INSERT INTO deal SELECT id, id % 2000 + 1, id % 5000 + 1, CASE id % 3 WHEN 0 THEN 'lead' WHEN 1 THEN 'support' ELSE 'director' END,
                        id % 2000 * 1000 FROM generate_series(1, 20000) AS id;
SQL

step "2. The job: three tables, joined, searched by credit"
started=$(now_ms)
start_job
search title "Film 2000"
until [ "$(curl -fsS "$SEARCH_URL/credit/_count" | sed -n 's/.*"count":\([0-9]*\).*/\1/p')" = 20000 ]; do
  kill -0 "$job_pid" 2>/dev/null || fail "the job ended"
  sleep 0.1
done
echo "20,000 credits are searched $(seconds $(($(now_ms) - started))) s after the job's start"

step "3. An actor is renamed, and searched for; half-way the job is killed"
times=()
for change in $(seq 1 "$changes"); do
  if [ "$change" -eq $((changes / 2)) ]; then
    kill -9 "$job_pid"
    wait "$job_pid" 2>/dev/null || true
    start_job
  fi
  sql -c "UPDATE talent SET name = 'Ada Renamed$change' WHERE id = $((change * 37 % 5000 + 1))"
  changed=$(now_ms)
  search talent "Renamed$change"
  times+=($(($(now_ms) - changed)))
done
mapfile -t sorted < <(printf '%s\n' "${times[@]}" | sort -n)
echo "$changes changes, each found; from the commit to the answer, the index's refresh of 1 s included:"
echo "half of them within ${sorted[$(((changes - 1) / 2))]} ms, the slowest but one within ${sorted[$((changes > 1 ? changes - 2 : 0))]} ms, the slowest (the kill) ${sorted[$((changes - 1))]} ms"
curl -fsS "$SEARCH_URL/credit/_search?size=2" -H 'Content-Type: application/json' -d "{\"query\":{\"match\":{\"talent\":\"Renamed$changes\"}}}" |
  sed 's/.*"hits":\[/[/; s/}}$//' | grep -o '"_source":{[^}]*}'

step "4. What else was committed"
echo "for the auditors: $(cat "$work"/data/movies.talent-audit/*.jsonl | wc -l) changes of talents; for finance: $(cat "$work"/data/movies.large-deals/*.jsonl | wc -l) large deals"
