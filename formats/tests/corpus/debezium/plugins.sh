#!/usr/bin/env bash
# Fetches what the capture needs into a folder: Kafka Connect's own jars (connect/), and two plugins, Debezium's connectors and Apicurio's
# converter (plugins/), each with what it depends on. Needs Maven and a JDK.
#
#   plugins.sh FOLDER
#
# Then run org.apache.kafka.connect.cli.ConnectStandalone with FOLDER/connect/* as class path and plugin.path=FOLDER/plugins.
set -euo pipefail
CONNECT_VERSION="${CONNECT_VERSION:-4.3.1}"
DEBEZIUM_VERSION="${DEBEZIUM_VERSION:-3.5.0.Final}"
CONVERTER_VERSION="${CONVERTER_VERSION:-2.6.13.Final}"

# jars FOLDER EXCLUDE group:artifact:version...
jars() {
  local folder="$1" exclude="$2" pom a
  shift 2
  pom=$(mktemp -d)
  {
    echo '<project><modelVersion>4.0.0</modelVersion><groupId>corpus</groupId><artifactId>jars</artifactId><version>1</version>'
    echo '<packaging>pom</packaging><dependencies>'
    for a in "$@"; do
      IFS=: read -r group artifact version <<<"$a"
      echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version><exclusions>"
      for e in $exclude; do echo "<exclusion><groupId>${e%%:*}</groupId><artifactId>${e##*:}</artifactId></exclusion>"; done
      echo "</exclusions></dependency>"
    done
    echo '</dependencies></project>'
  } >"$pom/pom.xml"
  # skipExternalRepos: Apicurio's parent names repositories that have nothing we need, and asks them first.
  mvn -B -q -DskipExternalRepos=true -f "$pom/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$folder"
  rm -r "$pom"
}

in_worker="org.apache.kafka:connect-api org.apache.kafka:connect-runtime org.apache.kafka:kafka-clients"
jars "$1/connect" org.apache.kafka:kafka-tools-api "org.apache.kafka:connect-runtime:$CONNECT_VERSION" \
  "org.apache.kafka:connect-json:$CONNECT_VERSION" org.apache.logging.log4j:log4j-slf4j-impl:2.25.5
jars "$1/plugins/debezium" "$in_worker" "io.debezium:debezium-connector-postgres:$DEBEZIUM_VERSION" \
  "io.debezium:debezium-connector-mariadb:$DEBEZIUM_VERSION"
jars "$1/plugins/apicurio" "$in_worker" "io.apicurio:apicurio-registry-utils-converter:$CONVERTER_VERSION"
