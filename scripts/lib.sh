# What the demo needs to run the binaries. Source it after scripts/env.sh: `. scripts/lib.sh`.
tidemill=$CARGO_TARGET_DIR/release/tidemill
studio=$CARGO_TARGET_DIR/release/tidemill-studio
finance_job=jobs/catalog/studio_finance.sql

now_ms() { date +%s%3N; }
seconds() { awk -v ms="$1" 'BEGIN { printf "%.1f", ms / 1000 }'; }
grouped() { sed ':a; s/\([0-9]\)\([0-9]\{3\}\)\($\|,\)/\1,\2\3/; ta' <<<"$1"; }

for binary in "$tidemill" "$studio"; do
  [ -x "$binary" ] || { echo "'$binary' is not built; run 'make build'" >&2; exit 1; }
done
