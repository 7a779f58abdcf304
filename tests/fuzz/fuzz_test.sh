#!/usr/bin/env bash
# Runs a fuzz target over its corpus, and then fuzzes from there for a while.
#
#   fuzz_test.sh TARGET CORPUS SECONDS [LEARNT]
#
# LEARNT is a folder of inputs that were found earlier, to which new ones are added. What breaks the target is printed
# in base64, ready to become a file of the corpus.
set -uo pipefail
target=$1 corpus=$2 seconds=$3

scratch=$(mktemp -d "${TEST_TMPDIR:-/tmp}/fuzz.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
learnt=${4:-$scratch/learnt}
mkdir -p "$learnt" "$scratch/broken"

show_broken() {
  local input
  for input in "$scratch"/broken/*; do
    [ -f "$input" ] && echo "broken by: base64 -d <<<$(base64 -w0 "$input") >$corpus/SAY_WHAT_IT_SHOWS"
  done
  exit 1
}

options=(-timeout=10 -rss_limit_mb=1024 -artifact_prefix="$scratch/broken/")
"$target" -runs=0 "${options[@]}" "$corpus" || show_broken
"$target" -max_total_time="$seconds" -print_final_stats=1 "${options[@]}" "$learnt" "$corpus" || show_broken
