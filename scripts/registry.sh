#!/usr/bin/env bash
# A real schema registry for tests (Apicurio, which has Confluent's API), from Maven Central:  scripts/registry.sh install|start|stop
#   install  fetches it into the cache, once        start  starts one and returns when it answers        stop  ends it
# Confluent's API is at http://127.0.0.1:REGISTRY_PORT/apis/ccompat/v7. It keeps its schemas in memory; each has its folder and ports:
#   REGISTRY_DATA   folder of its log and pid file (default: run/registry in the cache)
#   REGISTRY_PORT   port of HTTP (8081)
#   REGISTRY_OWNER  process id: when that process is gone, the registry is killed and REGISTRY_DATA deleted
#   REGISTRY_TLS_PORT  also listens there, with the certificate of the file REGISTRY_CERTIFICATE and the key of REGISTRY_KEY, both in PEM
# It is the newest that runs on the Java 17 of Debian.
# Everything binds to 127.0.0.1. Only the process in the pid file is ever ended.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
. "$(dirname "${BASH_SOURCE[0]}")/java.sh"
. "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

VERSION=2.6.13.Final
HOME_FOLDER="$TIDEMILL_CACHE/apicurio-$VERSION"
DATA="${REGISTRY_DATA:-$TIDEMILL_CACHE/run/registry}"
PORT="${REGISTRY_PORT:-8081}"
PID_FILE="$DATA/registry.pid"
LOG="$DATA/registry.log"
READY_SECONDS_MAX=120
STOP_SECONDS_MAX=30

fail() { echo "registry: $*" >&2; exit 1; }

install() {
  [ -f "$HOME_FOLDER/complete" ] && return
  command -v mvn >/dev/null || fail "Maven is missing; run 'scripts/setup.sh registry'"
  echo "registry: fetching Apicurio Registry $VERSION once into $TIDEMILL_CACHE"
  local new
  mkdir -p "$TIDEMILL_CACHE"
  new=$(mktemp -d "$HOME_FOLDER.XXXXXX")
  mvn --batch-mode --quiet org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
    -Dartifact="io.apicurio:apicurio-registry-app:$VERSION:tar.gz:all" -DoutputDirectory="$new" ||
    { rm -rf "$new"; fail "Maven could not fetch it"; }
  tar -xzf "$new"/*.tar.gz -C "$new" && rm "$new"/*.tar.gz
  touch "$new/complete"
  # Of two installations at the same time the first one stays.
  mv -T "$new" "$HOME_FOLDER" 2>/dev/null || rm -rf "$new"
}

registry_pid() {
  local pid
  pid=$(cat "$PID_FILE" 2>/dev/null) || return 1
  # A process id may have been given to somebody else since.
  grep -q "apicurio" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

# True if it answers with success: it listens before it can.
answers() {
  local status
  exec 3<>"/dev/tcp/127.0.0.1/$PORT" || return 1
  printf 'GET /apis/ccompat/v7/subjects HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3
  read -r -t 5 status <&3 || status=
  exec 3>&-
  [[ "$status" == *" 200 "* ]]
}

start() {
  registry_pid >/dev/null && fail "a registry of '$DATA' is running already (process $(registry_pid))"
  (answers) 2>/dev/null && fail "something else listens on port $PORT; choose another REGISTRY_PORT"
  install
  local java settings=(-Dquarkus.http.host=127.0.0.1 "-Dquarkus.http.port=$PORT")
  java=$(find_java registry)
  if [ -n "${REGISTRY_TLS_PORT:-}" ]; then
    settings+=("-Dquarkus.http.ssl-port=$REGISTRY_TLS_PORT" "-Dquarkus.http.ssl.certificate.files=$REGISTRY_CERTIFICATE"
      "-Dquarkus.http.ssl.certificate.key-files=$REGISTRY_KEY" -Dquarkus.http.insecure-requests=enabled)
  fi
  mkdir -p "$DATA"
  setsid "$java" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xms64m -Xmx384m "${settings[@]}" -jar "$HOME_FOLDER/apicurio-registry-app-$VERSION-runner.jar" >>"$LOG" 2>&1 </dev/null &
  echo $! >"$PID_FILE"
  if [ -n "${REGISTRY_OWNER:-}" ]; then watch_owner "$REGISTRY_OWNER" end_now </dev/null >/dev/null 2>&1 & fi
  await_answers registry
}

end_now() {
  local pid
  if pid=$(registry_pid); then kill -9 "$pid" 2>/dev/null || true; fi
}

stop() {
  local pid
  if pid=$(registry_pid); then
    kill "$pid" 2>/dev/null || true
    await_end "$pid" || end_now
  fi
  rm -f "$PID_FILE"
}

case "${1:-}" in
  install | start | stop) "$1" ;;
  *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
