#!/usr/bin/env bash
# Two jobs under load on three brokers, everything that can happen to them, then every row verified:
#   scripts/chaos.sh [option...]
# docs/operate/chaos.md says what it does and how to read it. Options (see --help) win over
#   CHAOS_SECONDS  how long (600)                  CHAOS_SEED  what happens when (random, printed)
#   CHAOS_ONLY     names of dangers, with commas   CHAOS_RATE  events a second (1000)
#   CHAOS_LOGS     folder of the logs              TIDEMILL_BIN  another binary than that of this clone
set -euo pipefail
if [ -n "${TIDEMILL_BIN:-}" ]; then TIDEMILL_BIN=$(realpath "$TIDEMILL_BIN"); fi
if [ -n "${CHAOS_LOGS:-}" ]; then CHAOS_LOGS=$(realpath -m "$CHAOS_LOGS"); fi
cd "$(dirname "$0")/.."
. scripts/env.sh

options=()
[ -z "${CHAOS_SECONDS:-}" ] || options+=(--seconds "$CHAOS_SECONDS")
[ -z "${CHAOS_SEED:-}" ] || options+=(--seed "$CHAOS_SEED")
[ -z "${CHAOS_ONLY:-}" ] || options+=(--only "$CHAOS_ONLY")
[ -z "${CHAOS_RATE:-}" ] || options+=(--rate "$CHAOS_RATE")
[ -z "${CHAOS_LOGS:-}" ] || options+=(--logs "$CHAOS_LOGS")
packages=(--package tidemill-tests-chaos)
if [ -n "${TIDEMILL_BIN:-}" ]; then options+=(--tidemill "$TIDEMILL_BIN"); else packages+=(--package tidemill-cli); fi
scripts/setup.sh kafka
cargo build --release --quiet "${packages[@]}"
# Of an option that is given twice the later one counts.
exec "$CARGO_TARGET_DIR/release/chaos" "${options[@]}" "$@"
