#!/usr/bin/env bash
# Brings a Debian machine that has Rust to where Tidemill builds:  scripts/setup.sh [kafka] [registry] [opensearch] [postgres] [redis] [slate] [valgrind] [perf]
#   (always) the C++ tools and libraries that the native crates need, and RocksDB
#   kafka    Java, Maven and the jars of a Kafka for tests and demos
#   registry Java, Maven and a schema registry for tests
#   opensearch Java, Maven and the jars of an OpenSearch and an Elasticsearch for tests
#   postgres PostgreSQL for tests; no cluster is made, none is started
#   redis    Redis for tests; nothing of it starts by itself
#   slate    the film titles and budgets that the generated studio can use
#   valgrind counts instructions, for bench-check
#   perf     samples stacks, and inferno draws them, for flamegraph
# Everything fetched lies under TIDEMILL_CACHE. What is there already is skipped, so that running it again takes a second.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

VEGA_DATASETS=3.2.1
MOVIES="$TIDEMILL_CACHE/slate/movies.json"
MOVIES_SHA256=e63c499759e3b07b49563e036f55290f87feb56def8703ec049ca305ab1523d3

INFERNO=0.12.8

want_kafka=no want_registry=no want_opensearch=no want_postgres=no want_redis=no want_slate=no want_valgrind=no want_perf=no
for part in "$@"; do
  case "$part" in
    kafka) want_kafka=yes ;;
    registry) want_registry=yes ;;
    opensearch) want_opensearch=yes ;;
    postgres) want_postgres=yes ;;
    redis) want_redis=yes ;;
    slate) want_slate=yes ;;
    valgrind) want_valgrind=yes ;;
    perf) want_perf=yes ;;
    *) echo "setup: there is no part '$part'; the parts are 'kafka', 'registry', 'opensearch', 'postgres', 'redis', 'slate', 'valgrind' and 'perf'" >&2; exit 2 ;;
  esac
done

installed() { dpkg -s "$1" 2>/dev/null | grep -q '^Status: .* installed$'; }
movies_are_there() { [ -f "$MOVIES" ] && echo "$MOVIES_SHA256  $MOVIES" | sha256sum --check --status; }

# Prints the Debian packages that are needed and not there, one a line.
missing_packages() {
  local packages=(clang libclang-dev cmake ninja-build g++ pkg-config libssl-dev libcurl4-openssl-dev liblz4-dev) package
  if [ "$want_kafka" = yes ] || [ "$want_registry" = yes ] || [ "$want_opensearch" = yes ]; then
    # Tools that came from elsewhere than Debian's packages do as well.
    command -v mvn >/dev/null || packages+=(maven)
    command -v java >/dev/null || packages+=(openjdk-17-jre-headless)
  fi
  if [ "$want_postgres" = yes ] && ! scripts/postgres.sh install 2>/dev/null; then packages+=(postgresql); fi
  # Not redis-server, which would start one: the program is in both.
  if [ "$want_redis" = yes ] && ! scripts/redis.sh install 2>/dev/null; then packages+=(redis-tools); fi
  if [ "$want_slate" = yes ] && ! movies_are_there && ! command -v npm >/dev/null; then packages+=(npm); fi
  if [ "$want_valgrind" = yes ] && ! command -v valgrind >/dev/null; then packages+=(valgrind); fi
  if [ "$want_perf" = yes ] && ! command -v perf >/dev/null; then packages+=(linux-perf); fi
  for package in "${packages[@]}"; do installed "$package" || echo "$package"; done
}

install_packages() {
  local missing as_root=()
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -eq 0 ] && return
  command -v apt-get >/dev/null || {
    echo "setup: this machine has no apt-get; install by its own means what Debian calls: ${missing[*]}" >&2; exit 1
  }
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
      as_root=(sudo)
    else
      echo "setup: missing: ${missing[*]}" >&2
      echo "setup: run this as root, then run setup again: apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
      exit 1
    fi
  fi
  echo "setup: installing ${missing[*]}"
  if [[ " ${missing[*]} " == *" postgresql "* ]]; then
    # Debian's package would make a cluster and start it; where there is a word of the machine's owner about that, it stays.
    # shellcheck disable=SC2016 # the shell of root expands it
    "${as_root[@]}" sh -c 'mkdir -p /etc/postgresql-common && [ -e /etc/postgresql-common/createcluster.conf ] ||
      echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf'
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null
}

fetch_movies() {
  movies_are_there && return
  local download
  download=$(mktemp -d)
  echo "setup: fetching movies.json of vega-datasets $VEGA_DATASETS into $TIDEMILL_CACHE/slate"
  (cd "$download" && npm pack --silent "vega-datasets@$VEGA_DATASETS" >/dev/null && tar -xzf ./*.tgz package/data/movies.json)
  mkdir -p "$(dirname "$MOVIES")"
  mv "$download/package/data/movies.json" "$MOVIES"
  rm -rf "$download"
  movies_are_there || { echo "setup: '$MOVIES' is not the file that vega-datasets $VEGA_DATASETS should have; delete it and run setup again" >&2; exit 1; }
}

build_inferno() {
  local tools=$TIDEMILL_CACHE/inferno-$INFERNO
  [ -x "$tools/bin/inferno-flamegraph" ] && return
  echo "setup: building inferno $INFERNO into $tools"
  # Its own target folder: the workspace's would be built with other features.
  CARGO_TARGET_DIR="$tools/build" cargo install --quiet --locked --no-default-features --features cli --root "$tools" "inferno@$INFERNO"
  rm -rf "$tools/build"
}

command -v cargo >/dev/null || { echo "setup: 'cargo' is not in PATH; install Rust 1.95 or newer first" >&2; exit 1; }
install_packages
scripts/rocksdb.sh
if [ "$want_kafka" = yes ]; then scripts/kafka.sh install; fi
if [ "$want_registry" = yes ]; then scripts/registry.sh install; fi
if [ "$want_opensearch" = yes ]; then
  scripts/opensearch.sh install
  OPENSEARCH_ENGINE=elasticsearch scripts/opensearch.sh install
fi
if [ "$want_postgres" = yes ]; then scripts/postgres.sh install; fi
if [ "$want_redis" = yes ]; then scripts/redis.sh install; fi
if [ "$want_slate" = yes ]; then fetch_movies; fi
if [ "$want_perf" = yes ]; then build_inferno; fi
