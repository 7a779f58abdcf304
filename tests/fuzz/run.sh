#!/usr/bin/env bash
# Fuzzes every target of tests/fuzz, one after the other, and prints a table of what was done.
#
#   tests/fuzz/run.sh [--seconds N] [--only TARGET] [--keep FOLDER]
#
#   --seconds N     for so long each (default 60)
#   --only TARGET   one of the folders of tests/fuzz/corpus
#   --keep FOLDER   begin with the inputs in FOLDER/TARGET too, and leave there what was learnt
#
# Exit 0 if nothing broke; else 1, and what broke it is printed in base64. Installs what is missing.
set -euo pipefail

usage() {
  echo "tests/fuzz/run.sh: $1; see --help" >&2
  exit 2
}

seconds=60 only='' keep=''
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0" && exit 0 ;;
    --seconds | --only | --keep) [ $# -ge 2 ] || usage "$1 needs a value" ;;
    *) usage "unknown argument '$1'" ;;
  esac
  case "$1" in
    --seconds) seconds=$2 ;;
    --only) only=$2 ;;
    --keep) keep=$(realpath -m -- "$2") ;;
  esac
  shift 2
done
[[ $seconds =~ ^[1-9][0-9]*$ ]] || usage "--seconds needs a whole number"

cd "$(dirname "$0")/../.."
[ -d "tests/fuzz/corpus/$only" ] || usage "no target '$only'"
mapfile -t targets < <(ls tests/fuzz/corpus)
[ -z "$only" ] || targets=("$only")
third_party/install.sh build check
. third_party/home.sh >&2
labels=("${targets[@]/#///tests/fuzz:}")
bazel build --config=opt "${labels[@]/%/_fuzz}" >&2

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
broken=0
# The last word in the log that follows $1.
figure() { grep -aoE "$1 *[0-9]+" "$scratch/log" | tail -n 1 | grep -oE '[0-9]+$' || echo -; }
for target in "${targets[@]}"; do
  learnt=${keep:-$scratch/learnt}/$target
  mkdir -p "$learnt"
  TEST_TMPDIR=$scratch tests/fuzz/fuzz_test.sh "bazel-bin/tests/fuzz/${target}_fuzz" "tests/fuzz/corpus/$target" \
    "$seconds" "$learnt" >"$scratch/log" 2>&1 || { broken=1 && tail -n 60 "$scratch/log" >&2; }
  counters=$(grep -aoE '\([0-9]+ inline 8-bit counters\)' "$scratch/log" | head -n 1 | grep -oE '^.[0-9]+' | tr -d '(')
  printf '%s: %s executions in %s s, %s of %s edges, %s features\n' "$target" "$(figure number_of_executed_units:)" \
    "$seconds" "$(figure cov:)" "$counters" "$(figure ft:)"
done
exit "$broken"
