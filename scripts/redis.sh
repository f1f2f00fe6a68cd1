#!/usr/bin/env bash
# A real Redis for tests, Debian's:  scripts/redis.sh install|start|stop|kill
#   install  nothing but a look whether it is there (scripts/setup.sh redis installs it)
#   start    starts a server and returns when it answers        stop  ends it; what it took is on its disk
#   kill     ends it as a crash would (kill -9)
# Each server has its folder and port, and keeps an append-only file there of all that it took, on the disk before it answers:
#   REDIS_DATA      folder of its data, log and pid file (default: a folder below /tmp)
#   REDIS_PORT      port (6379) of plain connections; REDIS_TLS_PORT one more, by TLS
#   REDIS_PASSWORD  of the user 'default'
#   REDIS_SETTINGS  more lines of its configuration, which win over those that are written here
#   REDIS_OWNER     process id: when that process is gone, the server is killed and REDIS_DATA deleted
#   REDIS_CERTIFICATE, REDIS_KEY, REDIS_CA  files in PEM for the port of TLS; clients need a certificate of that authority
# Exit code 3: somebody else has the port. Everything binds to 127.0.0.1. Only the process in the pid file is ever ended.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

DATA="$(realpath -m "${REDIS_DATA:-/tmp/tidemill-redis-$(id -u)}")"
PORT="${REDIS_PORT:-6379}"
PID_FILE="$DATA/redis.pid"
LOG="$DATA/redis.log"
CONFIGURATION="$DATA/redis.conf"
READY_SECONDS_MAX=60
STOP_SECONDS_MAX=30

fail() { echo "redis: $*" >&2; exit 1; }

# Debian's redis-tools has the server, too: it is the program that checks dumps, by another name. Nothing of it starts by itself.
program() { command -v redis-server || command -v redis-check-rdb; }

install() { [ -n "$(program)" ] || fail "Redis is missing; run 'scripts/setup.sh redis'"; }

redis_pid() {
  local pid
  pid=$(cat "$PID_FILE" 2>/dev/null) || return 1
  # A process id may have been given to somebody else since.
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q "^redis-server " && [ "$(readlink "/proc/$pid/cwd")" = "$DATA" ] && echo "$pid"
}

configure() {
  cat <<CONFIGURATION
bind 127.0.0.1
port $PORT
dir $DATA
daemonize no
save ""
appendonly yes
appendfsync always
CONFIGURATION
  [ -z "${REDIS_PASSWORD:-}" ] || echo "requirepass \"$REDIS_PASSWORD\""
  if [ -n "${REDIS_TLS_PORT:-}" ]; then
    echo "tls-port $REDIS_TLS_PORT"
    echo "tls-cert-file $REDIS_CERTIFICATE"
    echo "tls-key-file $REDIS_KEY"
    echo "tls-ca-cert-file $REDIS_CA"
  fi
  [ -z "${REDIS_SETTINGS:-}" ] || echo "$REDIS_SETTINGS"
}

# True if it has loaded what it has.
answers() {
  local word login=
  [ -z "${REDIS_PASSWORD:-}" ] || login="AUTH \"$REDIS_PASSWORD\""
  exec 3<>"/dev/tcp/127.0.0.1/$PORT" || return 1
  printf '%s\r\nPING\r\nQUIT\r\n' "$login" >&3
  word=$(timeout 5 cat <&3 | tr '\r\n' '  ') || word=
  exec 3>&-
  [[ "$word" == *+PONG* ]]
}

start() {
  install
  redis_pid >/dev/null && fail "a server of '$DATA' is running already (process $(redis_pid))"
  is_open "$PORT" && taken redis "$PORT" REDIS_PORT
  if [ -n "${REDIS_TLS_PORT:-}" ]; then is_open "$REDIS_TLS_PORT" && taken redis "$REDIS_TLS_PORT" REDIS_TLS_PORT; fi
  mkdir -p "$DATA"
  (umask 077 && configure >"$CONFIGURATION")
  (cd "$DATA" && exec setsid bash -c 'exec -a redis-server "$0" "$1"' "$(program)" "$CONFIGURATION") >>"$LOG" 2>&1 </dev/null &
  echo $! >"$PID_FILE"
  if [ -n "${REDIS_OWNER:-}" ]; then watch_owner "$REDIS_OWNER" kill_now </dev/null >/dev/null 2>&1 & fi
  await_answers server
}

kill_now() {
  local pid
  pid=$(redis_pid) || return 0
  kill -9 "$pid" 2>/dev/null || true
  await_end "$pid" || true
  rm -f "$PID_FILE"
}

stop() {
  local pid
  if pid=$(redis_pid); then
    kill "$pid" 2>/dev/null || true
    await_end "$pid" || kill_now
  fi
  rm -f "$PID_FILE"
}

case "${1:-}" in
  install | start | stop) "$1" ;;
  kill) kill_now ;;
  *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
