#!/usr/bin/env bash
# The Kafka Streams application, in the foreground:  benches/peers/kafka-streams.sh
#   PEERS  folder that install.sh printed    WORK  folder of its state    BOOTSTRAP  the broker    WORKERS  threads (2)
set -euo pipefail
mkdir -p "$WORK"
# It ends with the process that started it, should that be killed.
exec setpriv --pdeathsig KILL "$PEERS/jdk/bin/java" -XX:+UseG1GC -Xms1g -Xmx2g -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
  -cp "$PEERS/streams-classes:$PEERS/streams/*" Studio "$BOOTSTRAP" "$WORK/state" "${WORKERS:-2}"
