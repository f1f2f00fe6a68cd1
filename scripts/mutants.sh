#!/usr/bin/env bash
# Brings back classic faults, one by one (tests/recovery/mutants/*.patch), and demands that the simulation finds each within SEEDS seeds (500).
# It works in the clone: whatever happens, the fault is taken back.  scripts/mutants.sh [part of a name]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

# With the features of the whole workspace, or every dependency is compiled again.
recovery=(cargo test --release --workspace)
# One seed that fails is enough.
export FAILURES=1 SEEDS="${SEEDS:-500}"

# Random jobs find most, and sooner; then one danger alone, that no other hides it; then the golden jobs.
simulate() {
  local name
  for name in whatever_happens goes_on_repeats_nothing transaction_is_never_cut backlog_is_not_silence is_added; do "${recovery[@]}" --test simulated_random_jobs "$name" || return; done
  "${recovery[@]}" --test simulated_golden_jobs whatever_happens
}

git diff --quiet || { echo "mutants: commit your changes first, a fault is put among them" >&2; exit 2; }
missed=()
for mutant in tests/recovery/mutants/*"${1:-}"*.patch; do
  name=$(basename "$mutant" .patch)
  git apply "$mutant"
  trap 'git apply --reverse "$mutant"' EXIT
  log=$(mktemp)
  "${recovery[@]}" --test simulated_random_jobs --test simulated_golden_jobs --no-run >"$log" 2>&1 || { cat "$log" >&2; echo "mutants: '$name' does not compile" >&2; exit 1; }
  if simulate >"$log" 2>&1; then
    missed+=("$name")
    echo "$name: NOT CAUGHT"
  else
    echo "$name: caught: $(grep -m1 -E '^seed ' "$log" | cut -c1-140)"
  fi
  rm -f "$log"
  git apply --reverse "$mutant"
  trap - EXIT
done
[ ${#missed[@]} -eq 0 ] || { echo "mutants: not caught: ${missed[*]}" >&2; exit 1; }
