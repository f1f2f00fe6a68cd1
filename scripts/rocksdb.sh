#!/usr/bin/env bash
# Builds RocksDB once, by a CMake unity build of the source that the locked librocksdb-sys crate carries, into the cache folder.
# The crate's own build compiles 340 files one by one (over an hour of processor time); this takes a fifth of it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
[ -f "$ROCKSDB_LIB_DIR/librocksdb.a" ] && exit 0

cargo fetch --locked --quiet
source_dir=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -maxdepth 2 -type d -name "librocksdb-sys-$ROCKSDB_VERSION" | head -n 1)/rocksdb
[ -d "$source_dir" ] || { echo "rocksdb: the source of librocksdb-sys $ROCKSDB_VERSION is not in the cargo registry; run 'cargo fetch'" >&2; exit 1; }

echo "rocksdb: building $ROCKSDB_VERSION once into $TIDEMILL_CACHE (about 8 minutes on two cores)"
build_dir="$TIDEMILL_CACHE/rocksdb-$ROCKSDB_VERSION.build"
cmake -G Ninja -S "$source_dir" -B "$build_dir" -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=24 \
  -DWITH_TESTS=OFF -DWITH_TOOLS=OFF -DWITH_BENCHMARK_TOOLS=OFF -DWITH_CORE_TOOLS=OFF -DWITH_TRACE_TOOLS=OFF -DWITH_GFLAGS=OFF \
  -DWITH_LZ4=ON -DROCKSDB_BUILD_SHARED=OFF -DPORTABLE=1 -DFAIL_ON_WARNINGS=OFF -DUSE_RTTI=0 >"$TIDEMILL_CACHE/rocksdb-build.log" 2>&1 \
  || { tail -20 "$TIDEMILL_CACHE/rocksdb-build.log" >&2; exit 1; }
ninja -C "$build_dir" rocksdb >>"$TIDEMILL_CACHE/rocksdb-build.log" 2>&1 || { tail -40 "$TIDEMILL_CACHE/rocksdb-build.log" >&2; exit 1; }
mkdir -p "$ROCKSDB_LIB_DIR" "$ROCKSDB_INCLUDE_DIR"
cp -r "$source_dir/include/." "$ROCKSDB_INCLUDE_DIR/"
cp "$build_dir/librocksdb.a" "$ROCKSDB_LIB_DIR/librocksdb.a.new"
mv "$ROCKSDB_LIB_DIR/librocksdb.a.new" "$ROCKSDB_LIB_DIR/librocksdb.a"
rm -rf "$build_dir"
