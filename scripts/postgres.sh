#!/usr/bin/env bash
# A real PostgreSQL for tests and benches, Debian's, in a cluster of its own:  scripts/postgres.sh install|start|stop|kill
#   install  nothing but a look whether it is there (scripts/setup.sh postgres installs it)
#   start    makes the cluster if there is none yet, starts it, and returns when it answers        stop  ends it
#   kill     ends it as a power cut does: kill -9 of the server and all its processes
# It listens on 127.0.0.1:POSTGRES_PORT and on a socket in the folder. Each has its folder and port:
#   POSTGRES_DATA      folder of the cluster, its log and pid file (default: a folder below /tmp); PostgreSQL's user must be able to reach it
#   POSTGRES_PORT      port (5432)
#   POSTGRES_PASSWORD  of the superuser 'postgres', where the cluster is made; logins are by SCRAM-SHA-256
#   POSTGRES_OWNER     process id: when that process is gone, the server is killed and POSTGRES_DATA deleted
#   POSTGRES_CERTIFICATE  with POSTGRES_KEY: files in PEM; the server then has TLS. POSTGRES_CA: a file of authorities, by whose certificates
#                      the role 'certified' logs in, by nothing else and by TLS alone
#   POSTGRES_WAL_LEVEL  what its log tells (logical)
# Only the process in the pid file, and its children, are ever ended. The cluster that Debian's package makes is never touched.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

DATA="${POSTGRES_DATA:-/tmp/tidemill-postgres-$(id -u)}"
PORT="${POSTGRES_PORT:-5432}"
CLUSTER="$DATA/cluster"
PID_FILE="$DATA/postgres.pid"
LOG="$DATA/postgres.log"
READY_SECONDS_MAX=60
STOP_SECONDS_MAX=30

fail() { echo "postgres: $*" >&2; exit 1; }

# The newest version that is there.
programs() { find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/postgres' -printf '%h\n' 2>/dev/null | sort -V | tail -n 1; }

install() { [ -n "$(programs)" ] || fail "PostgreSQL is missing; run 'scripts/setup.sh postgres'"; }

# PostgreSQL refuses to run as root.
as_its_user=()
if [ "$(id -u)" -eq 0 ]; then as_its_user=(setpriv --reuid postgres --regid postgres --init-groups); fi

own() { if [ "$(id -u)" -eq 0 ]; then chown postgres:postgres "$@"; fi; }

postgres_pid() {
  local pid
  pid=$(cat "$PID_FILE" 2>/dev/null) || return 1
  # A process id may have been given to somebody else since.
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$CLUSTER" && echo "$pid"
}

make_cluster() {
  [ -f "$CLUSTER/complete" ] && return
  rm -rf "$CLUSTER"
  mkdir -p "$CLUSTER"
  own "$DATA" "$CLUSTER"
  "${as_its_user[@]}" test -x "$CLUSTER" || fail "user 'postgres' cannot reach '$DATA'; choose a POSTGRES_DATA below /tmp"
  (umask 077 && echo "${POSTGRES_PASSWORD:?}" >"$DATA/password")
  own "$DATA/password"
  "${as_its_user[@]}" "$(programs)/initdb" -D "$CLUSTER" -U postgres --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync \
    --pwfile="$DATA/password" >"$DATA/initdb.log" 2>&1 || { cat "$DATA/initdb.log" >&2; fail "initdb failed"; }
  rm "$DATA/password"
  { echo "hostssl all certified 127.0.0.1/32 cert"; cat "$CLUSTER/pg_hba.conf"; } >"$CLUSTER/pg_hba.new"
  mv "$CLUSTER/pg_hba.new" "$CLUSTER/pg_hba.conf"
  own "$CLUSTER/pg_hba.conf"
  touch "$CLUSTER/complete"
}

# PostgreSQL wants its key to be its own.
settings() {
  echo "listen_addresses = '127.0.0.1'"
  echo "port = $PORT"
  echo "unix_socket_directories = '$CLUSTER'"
  echo "shared_buffers = 128MB"
  echo "max_connections = 100"
  # Its log can be read, too; POSTGRES_WAL_LEVEL is for who wants to see what is said where it cannot.
  echo "wal_level = ${POSTGRES_WAL_LEVEL:-logical}"
  echo "max_wal_senders = 40"
  echo "max_replication_slots = 40"
  [ -z "${POSTGRES_CERTIFICATE:-}" ] || echo "ssl = on"
  [ -z "${POSTGRES_CA:-}" ] || echo "ssl_ca_file = 'authorities.crt'"
}

configure() {
  local name
  if [ -n "${POSTGRES_CERTIFICATE:-}" ]; then
    cp "$POSTGRES_CERTIFICATE" "$CLUSTER/server.crt"
    cp "$POSTGRES_KEY" "$CLUSTER/server.key"
    [ -z "${POSTGRES_CA:-}" ] || cp "$POSTGRES_CA" "$CLUSTER/authorities.crt"
    for name in "$CLUSTER"/*.crt "$CLUSTER"/*.key; do own "$name"; chmod 600 "$name"; done
  fi
  settings >"$CLUSTER/postgresql.auto.conf"
  own "$CLUSTER/postgresql.auto.conf"
}

answers() { "$(programs)/pg_isready" --quiet --host 127.0.0.1 --port "$PORT" --timeout 5; }

start() {
  install
  postgres_pid >/dev/null && fail "a server of '$DATA' is running already (process $(postgres_pid))"
  mkdir -p "$DATA"
  is_open "$PORT" && taken postgres "$PORT" POSTGRES_PORT
  make_cluster
  configure
  setsid "${as_its_user[@]}" "$(programs)/postgres" -D "$CLUSTER" >>"$LOG" 2>&1 </dev/null &
  echo $! >"$PID_FILE"
  if [ -n "${POSTGRES_OWNER:-}" ]; then watch_owner "$POSTGRES_OWNER" kill_all </dev/null >/dev/null 2>&1 & fi
  await_answers server
}

# Its processes end at once and all together: none has the time to notice that another is gone.
kill_all() {
  local pid children
  pid=$(postgres_pid) || return 0
  kill -STOP "$pid" 2>/dev/null || true
  children=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null || true)
  # shellcheck disable=SC2086 # words are what is wanted
  kill -9 "$pid" $children 2>/dev/null || true
  await_end "$pid" || true
  rm -f "$PID_FILE"
}

stop() {
  local pid
  if pid=$(postgres_pid); then
    # Its fast shutdown: sessions are ended.
    kill -INT "$pid" 2>/dev/null || true
    await_end "$pid" || kill_all
  fi
  rm -f "$PID_FILE"
}

case "${1:-}" in
  install | start | stop) "$1" ;;
  kill) kill_all ;;
  *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
