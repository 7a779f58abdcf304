#!/usr/bin/env bash
# Measures this machine's limits, pylabhub and its peers, interleaved in one run, and prints a table with ratios.
#
#   tests/bench/run.sh [--json FILE] [--only PATTERN] [--rounds N] [--check] [--suite NAME] [--subjects A,B] [--seconds S]
#
#   --json FILE     also write one line of JSON a figure: {"bench","subject","value","unit","ratio_to_limit"}
#   --only PATTERN  the benches in whose name this regular expression is found, for instance rtt or stream.64B
#   --rounds N      measure everything N times and take medians (default 7)
#   --check         exit with 1 if one of the targets, which the table shows, is missed
#
# Installs what is missing with apt, and builds. Leaves nothing running and nothing in /dev/shm, also when it is
# interrupted. The machine should have nothing else to do: it needs two cores for itself.
# docs/performance.md says what is measured and how.
set -euo pipefail

# The file is the caller's, relative to where the caller stands.
arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --json)
      [ $# -ge 2 ] || { echo "tests/bench/run.sh: --json needs a file" >&2; exit 2; }
      arguments+=(--json "$(realpath -m -- "$2")")
      shift 2
      ;;
    *)
      arguments+=("$1")
      shift
      ;;
  esac
done

cd "$(dirname "$0")/../.."
third_party/install.sh build bench
. third_party/home.sh >&2
bazel build --config=opt //tests/bench:bench_with_peers >&2
# Bazel's idle server is not measured: it sleeps.
exec bazel-bin/tests/bench/bench_with_peers ${arguments[@]+"${arguments[@]}"}
