# Where everything that is built or fetched once lies, outside the clone. Source it: `. scripts/env.sh`.
TIDEMILL_CACHE="${TIDEMILL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tidemill}"
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$TIDEMILL_CACHE/target}"
# The RocksDB that the locked `librocksdb-sys` ships, built by scripts/rocksdb.sh.
ROCKSDB_VERSION="$(sed -n '/^name = "librocksdb-sys"/{n;s/version = "\(.*\)"/\1/p}' "$(dirname "${BASH_SOURCE[0]}")/../Cargo.lock")"
ROCKSDB_LIB_DIR="$TIDEMILL_CACHE/rocksdb-$ROCKSDB_VERSION/lib"
ROCKSDB_INCLUDE_DIR="$TIDEMILL_CACHE/rocksdb-$ROCKSDB_VERSION/include"
ROCKSDB_STATIC=1
export TIDEMILL_CACHE CARGO_TARGET_DIR ROCKSDB_VERSION ROCKSDB_LIB_DIR ROCKSDB_INCLUDE_DIR ROCKSDB_STATIC

# cargo knows a crate by its place in the workspace and a file by its time: where two clones build into one folder, the one at hand must look newer.
tidemill_clone="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
if [ "$(cat "$CARGO_TARGET_DIR/clone" 2>/dev/null)" != "$tidemill_clone" ]; then
  mkdir -p "$CARGO_TARGET_DIR"
  find "$tidemill_clone" -name '*.rs' -exec touch {} +
  echo "$tidemill_clone" >"$CARGO_TARGET_DIR/clone"
fi
