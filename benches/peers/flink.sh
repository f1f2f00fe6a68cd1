#!/usr/bin/env bash
# One process of a Flink cluster, in the foreground:  benches/peers/flink.sh jobmanager|taskmanager|submit
#   PEERS      folder that install.sh printed        WORK       folder of this cluster: settings, logs, state, checkpoints
#   BOOTSTRAP  the broker                            STATE      rocksdb or hashmap
#   REST_PORT, RPC_PORT  of the job manager          CHECKPOINT_MS  interval of checkpoints (1000);  WORKERS  slots and parallelism (2)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lib=$PEERS/flink/lib
conf=$WORK/conf
mkdir -p "$conf" "$WORK/tmp"

# Resources as Flink's own scripts would work them out, said outright. With state on the heap nothing is left for RocksDB to manage.
# A lost task manager is noticed within some 2 s (two failed heartbeats): the default of 10 s between heartbeats is for large clusters.
write_config() {
  local heap=1792m managed=1536m
  if [ "$STATE" = hashmap ]; then heap=3328m managed=0m; fi
  cat >"$conf/config.yaml" <<YAML
jobmanager.rpc.address: 127.0.0.1
jobmanager.bind-host: 127.0.0.1
jobmanager.rpc.port: $RPC_PORT
jobmanager.memory.jvm-metaspace.size: 256m
jobmanager.execution.failover-strategy: region
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: $REST_PORT
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
taskmanager.numberOfTaskSlots: ${WORKERS:-2}
taskmanager.cpu.cores: ${WORKERS:-2}
parallelism.default: ${WORKERS:-2}
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.task.heap.size: $heap
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.managed.size: $managed
taskmanager.memory.network.min: 256m
taskmanager.memory.network.max: 256m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
heartbeat.interval: 1000
heartbeat.timeout: 20000
io.tmp.dirs: $WORK/tmp
execution.target: remote
execution.checkpointing.interval: ${CHECKPOINT_MS:-1000} ms
execution.checkpointing.mode: EXACTLY_ONCE
execution.checkpointing.incremental: true
execution.checkpointing.storage: filesystem
execution.checkpointing.dir: file://$WORK/checkpoints
state.backend.type: $STATE
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 1000000
restart-strategy.fixed-delay.delay: 100 ms
YAML
  cat >"$conf/log4j.properties" <<LOG4J
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1} %m%n
logger.kafka.name = org.apache.flink.kafka.shaded.org.apache.kafka
logger.kafka.level = WARN
LOG4J
}

opens=()
for package in java.lang java.lang.invoke java.lang.reflect java.math java.net java.io java.nio java.text java.time java.util java.util.concurrent \
  java.util.concurrent.atomic java.util.concurrent.locks sun.nio.ch sun.net.util; do
  opens+=("--add-opens=java.base/$package=ALL-UNNAMED")
done
# It ends with the process that started it, should that be killed.
java() { exec setpriv --pdeathsig KILL "$PEERS/jdk/bin/java" "$@"; }
common=("${opens[@]}" "-Dlog4j.configurationFile=file:$conf/log4j.properties" -cp "$lib/*:$PEERS/flink/opt/*")

case "${1:-}" in
  jobmanager)
    write_config
    java -Xmx768m -XX:MaxMetaspaceSize=256m "${common[@]}" org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint --configDir "$conf"
    ;;
  taskmanager)
    heap=1920m
    if [ "$STATE" = hashmap ]; then heap=3456m; fi
    java -XX:+UseG1GC "-Xms$heap" "-Xmx$heap" -XX:MaxDirectMemorySize=384m -XX:MaxMetaspaceSize=256m "${common[@]}" \
      org.apache.flink.runtime.taskexecutor.TaskManagerRunner --configDir "$conf"
    ;;
  submit)
    sed "s/\${BOOTSTRAP}/$BOOTSTRAP/" "$here/flink/studio.sql" >"$WORK/studio.sql"
    export FLINK_CONF_DIR=$conf
    java -Xmx512m "${common[@]}" org.apache.flink.table.client.SqlClient embedded -f "$WORK/studio.sql"
    ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
