#!/usr/bin/env bash
# Fetches and compiles what Tidemill is compared with, once, into the cache:  benches/peers/install.sh
# Flink's own distribution from PyPI, its Kafka connector and Kafka Streams from Maven Central. Prints the folder that holds all of it.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/env.sh

FLINK=2.2.1
FLINK_KAFKA=5.0.0-2.2
KAFKA_STREAMS=4.3.1
PEERS="$TIDEMILL_CACHE/peers-flink-$FLINK-kafka-$FLINK_KAFKA-streams-$KAFKA_STREAMS"

fail() { echo "peers: $*" >&2; exit 1; }

# Prints the oldest JDK of 17 or newer: what both peers support.
find_jdk() {
  local home version best="" best_version=1000
  for home in /usr/lib/jvm/* "${JAVA_HOME:-/nowhere}"; do
    [ -x "$home/bin/javac" ] || continue
    version=$("$home/bin/javac" -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p')
    if [ "${version:-0}" -ge 17 ] && [ "$version" -lt "$best_version" ]; then best=$home best_version=$version; fi
  done
  [ -n "$best" ] || fail "there is no JDK of version 17 or newer; run 'apt-get install openjdk-17-jdk-headless'"
  echo "$best"
}

# maven GROUP:ARTIFACT:VERSION TARGET: the artifact and what it needs at run time.
maven() {
  local group artifact version pom
  IFS=: read -r group artifact version <<<"$1"
  pom=$(mktemp -d)
  cat >"$pom/pom.xml" <<POM
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidemill</groupId><artifactId>peers</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>
    ${3:-}
  </dependencies>
</project>
POM
  mvn --batch-mode --quiet --file "$pom/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$2" >&2 || { rm -rf "$pom"; fail "Maven could not fetch $1"; }
  rm -rf "$pom"
}

fetch_flink() {
  echo "peers: fetching Flink $FLINK once into $TIDEMILL_CACHE (300 MB)" >&2
  python3 -m venv "$1/venv"
  "$1/venv/bin/pip" download --quiet --no-deps --no-binary :all: "apache-flink-libraries==$FLINK" --dest "$1/download" >&2 \
    || fail "pip could not fetch apache-flink-libraries $FLINK"
  tar -xzf "$1/download/apache_flink_libraries-$FLINK.tar.gz" -C "$1/download"
  mv "$1/download/apache_flink_libraries-$FLINK/deps" "$1/flink"
  mv "$1/flink/opt/flink-sql-client-$FLINK.jar" "$1/flink/lib/"
  rm -rf "$1/venv" "$1/download"
  maven "org.apache.flink:flink-sql-connector-kafka:$FLINK_KAFKA" "$1/connector"
  mv "$1/connector/flink-sql-connector-kafka-$FLINK_KAFKA.jar" "$1/flink/lib/"
  # The SQL client runs its gateway inside, which PyPI's distribution leaves out.
  maven "org.apache.flink:flink-sql-gateway:$FLINK" "$1/gateway"
  mv "$1/gateway"/flink-sql-gateway-*.jar "$1/flink/opt/"
  rm -rf "$1/connector" "$1/gateway"
}

fetch_streams() {
  echo "peers: fetching Kafka Streams $KAFKA_STREAMS once into $TIDEMILL_CACHE" >&2
  maven "org.apache.kafka:kafka-streams:$KAFKA_STREAMS" "$1/streams" \
    '<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>'
}

# Again whenever a source is newer than what was made of it.
compile_streams() {
  local classes=$PEERS/streams-classes sources=benches/peers/kafka-streams
  if [ -f "$classes/complete" ] && [ -z "$(find "$sources" -name '*.java' -newer "$classes/complete")" ]; then return; fi
  rm -rf "$classes"
  "$(find_jdk)/bin/javac" -Xlint:all,-processing -Werror --release 17 -cp "$PEERS/streams/*" -d "$classes" "$sources"/*.java >&2
  touch "$classes/complete"
}

if [ ! -f "$PEERS/complete" ]; then
  command -v mvn >/dev/null || fail "Maven is missing; run 'scripts/setup.sh kafka'"
  mkdir -p "$TIDEMILL_CACHE"
  new=$(mktemp -d "$PEERS.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  fetch_flink "$new"
  fetch_streams "$new"
  touch "$new/complete"
  # Of two installations at the same time the first one stays.
  mv -T "$new" "$PEERS" 2>/dev/null || true
fi
compile_streams
ln -sfn "$(find_jdk)" "$PEERS/jdk"
echo "$PEERS"
