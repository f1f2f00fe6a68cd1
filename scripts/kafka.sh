#!/usr/bin/env bash
# A real Kafka (one KRaft node) for tests and demos, from the jars that Maven Central has:  scripts/kafka.sh install|start|stop|kill|restart
#   install  fetches the jars into the cache, once
#   start    starts a broker and returns when it answers        stop     ends it cleanly; its data stays
#   kill     ends it as a crash would (kill -9)                 restart  stop, then start
# Each broker has its folder and ports, so that several can run at the same time:
#   KAFKA_DATA   folder of the broker's data, log and pid file (default: run/kafka in the cache)
#   KAFKA_PORT   port of the brokers' listener (9092); KAFKA_CONTROLLER_PORT that of the controller (KAFKA_PORT + 1)
#   KAFKA_OWNER  process id: when that process is gone, the broker is killed and KAFKA_DATA deleted
#   KAFKA_PROPERTIES  file of broker settings that are added to its own, or replace them; nodes of one cluster share a KAFKA_CLUSTER_ID
#   KAFKA_SCRAM  users that it knows from its first start on, as 'SCRAM-SHA-256=[name=…,password=…]', with spaces between them
#   KAFKA_C2=1   all of Java's compiler: slower to start, what to measure throughput with;  KAFKA_HEAP (512m)
# Exit code 3: somebody else has one of the ports. Everything binds to 127.0.0.1. Only the process in the pid file is ever ended.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
. "$(dirname "${BASH_SOURCE[0]}")/java.sh"
. "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

VERSION=4.4.0
JARS="$TIDEMILL_CACHE/kafka-$VERSION"
DATA="${KAFKA_DATA:-$TIDEMILL_CACHE/run/kafka}"
PORT="${KAFKA_PORT:-9092}"
CONTROLLER_PORT="${KAFKA_CONTROLLER_PORT:-$((PORT + 1))}"
PID_FILE="$DATA/broker.pid"
LOG="$DATA/broker.log"
READY_SECONDS_MAX=120
STOP_SECONDS_MAX=30

fail() { echo "kafka: $*" >&2; exit 1; }

install() {
  [ -f "$JARS/complete" ] && return
  command -v mvn >/dev/null || fail "Maven is missing; run 'scripts/setup.sh kafka'"
  echo "kafka: fetching the jars of Kafka $VERSION once into $TIDEMILL_CACHE"
  local new
  mkdir -p "$TIDEMILL_CACHE"
  new=$(mktemp -d "$JARS.XXXXXX")
  cat >"$new/pom.xml" <<POM
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidemill</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$VERSION</version>
      <exclusions><exclusion><groupId>org.apache.kafka</groupId><artifactId>kafka-tools-api</artifactId></exclusion></exclusions>
    </dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.5</version></dependency>
  </dependencies>
</project>
POM
  cat >"$new/log4j2.properties" <<'LOG4J'
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %c{1} %m%n
LOG4J
  mvn --batch-mode --quiet --file "$new/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$new/lib" || { rm -rf "$new"; fail "Maven could not fetch the jars"; }
  touch "$new/complete"
  # Of two installations at the same time the first one stays.
  mv -T "$new" "$JARS" 2>/dev/null || rm -rf "$new"
}

broker_properties() {
  cat <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$CONTROLLER_PORT
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$PORT,CONTROLLER://127.0.0.1:$CONTROLLER_PORT
advertised.listeners=PLAINTEXT://127.0.0.1:$PORT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$DATA/logs
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
message.max.bytes=17825792
replica.fetch.max.bytes=17825792
socket.request.max.bytes=104857600
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=33554432
PROPERTIES
  # Of a setting that is there twice the later one counts.
  if [ -n "${KAFKA_PROPERTIES:-}" ]; then cat "$KAFKA_PROPERTIES"; fi
}

random_cluster_id() { echo "T$(head -c 16 /dev/urandom | basenc --base64url | cut -c1-21)"; }

broker_pid() {
  local pid
  pid=$(cat "$PID_FILE" 2>/dev/null) || return 1
  # A process id may have been given to somebody else since.
  grep -q "kafka.Kafka" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

start() {
  broker_pid >/dev/null && fail "a broker with data in '$DATA' is running already (process $(broker_pid))"
  is_open "$PORT" && taken kafka "$PORT" KAFKA_PORT
  is_open "$CONTROLLER_PORT" && taken kafka "$CONTROLLER_PORT" KAFKA_CONTROLLER_PORT
  install
  local java options=(-XX:+UseSerialGC -Xshare:auto -Xms64m "-Xmx${KAFKA_HEAP:-512m}" "-Dlog4j2.configurationFile=$JARS/log4j2.properties")
  java=$(find_java kafka)
  [ "${KAFKA_C2:-0}" = 1 ] || options+=(-XX:TieredStopAtLevel=1)
  mkdir -p "$DATA"
  broker_properties >"$DATA/server.properties"
  if [ ! -f "$DATA/logs/meta.properties" ]; then
    local users=() user
    for user in ${KAFKA_SCRAM:-}; do users+=(--add-scram "$user"); done
    "$java" "${options[@]}" -cp "$JARS/lib/*" kafka.tools.StorageTool format --cluster-id "${KAFKA_CLUSTER_ID:-$(random_cluster_id)}" \
      --config "$DATA/server.properties" "${users[@]}" >"$LOG" 2>&1 || { cat "$LOG" >&2; fail "the storage could not be formatted"; }
  fi
  setsid "$java" "${options[@]}" -cp "$JARS/lib/*" kafka.Kafka "$DATA/server.properties" >>"$LOG" 2>&1 </dev/null &
  local pid=$! deadline=$((SECONDS + READY_SECONDS_MAX))
  echo "$pid" >"$PID_FILE"
  if [ -n "${KAFKA_OWNER:-}" ]; then watch_owner "$KAFKA_OWNER" end_now </dev/null >/dev/null 2>&1 & fi
  until listens "$pid" "$PORT"; do
    [ -d "/proc/$pid" ] || ended_early
    [ "$SECONDS" -lt "$deadline" ] || { tail -n 20 "$LOG" >&2; fail "the broker did not answer within $READY_SECONDS_MAX s"; }
    sleep 0.1
  done
}

ended_early() {
  tail -n 20 "$LOG" >&2
  is_open "$PORT" && taken kafka "$PORT" KAFKA_PORT
  is_open "$CONTROLLER_PORT" && taken kafka "$CONTROLLER_PORT" KAFKA_CONTROLLER_PORT
  fail "the broker ended while it started"
}

end_now() {
  local pid
  if pid=$(broker_pid); then kill -9 "$pid" 2>/dev/null || true; fi
}

# Whether a process is on its way out: it has no command line any more, and still its ports.
is_ending() { [ -d "/proc/$1" ] && ! grep -qz . "/proc/$1/cmdline" 2>/dev/null; }

stop() {
  local pid
  if pid=$(broker_pid); then
    kill "$pid" 2>/dev/null || true
    await_end "$pid" || kill -9 "$pid" 2>/dev/null || true
  elif pid=$(cat "$PID_FILE" 2>/dev/null) && is_ending "$pid"; then
    # Somebody killed it just now.
    await_end "$pid" || fail "process $pid does not end"
  fi
  rm -f "$PID_FILE"
}

kill_hard() {
  local pid
  pid=$(broker_pid) || fail "no broker with data in '$DATA' is running"
  kill -9 "$pid"
  await_end "$pid" || fail "process $pid does not end"
  rm -f "$PID_FILE"
}

case "${1:-}" in
  install | start | stop) "$1" ;;
  kill) kill_hard ;;
  restart) stop; start ;;
  *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
