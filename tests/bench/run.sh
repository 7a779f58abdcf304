#!/usr/bin/env bash
# Measures this machine's limits, pylabhub and its peers, interleaved in one run, and prints a table with ratios.
#
#   tests/bench/run.sh [--json FILE] [--only PATTERN] [--rounds N] [--check] [--suite NAME] [--subjects A,B] [--seconds S]
#
#   --json FILE     also write one line of JSON a figure: {"bench","subject","value","unit","ratio_to_limit"}
#   --only PATTERN  the benches in whose name this regular expression is found, for instance rtt or stream.64B
#   --rounds N      measure everything N times and take medians (default 7)
#   --check         exit with 1 if one of the targets, which the table shows, is missed
#   --suite NAME    data (the default): channels between two processes. control: the broker, beside an empty gRPC call, etcd
#                   and ZeroMQ with CURVE. store: the broker's store beside LMDB and fdatasync. access: what a decision of the
#                   policy costs, and what handing memory over. These two take no other option.
#                   python: channels from Python beside C++; takes --rounds, --seconds and --check.
#                   record: recording and replaying beside dd; takes --rounds, and --folder DIR to write to
#
# Installs what is missing with apt, and builds. Leaves nothing running and nothing in /dev/shm, also when it is
# interrupted. The machine should have nothing else to do: it needs two cores for itself.
# docs/performance.md says what is measured and how.
set -euo pipefail

# The file is the caller's, relative to where the caller stands.
arguments=()
suite=data
while [ $# -gt 0 ]; do
  case "$1" in
    --suite)
      [ $# -ge 2 ] || { echo "tests/bench/run.sh: --suite needs a name" >&2; exit 2; }
      suite=$2
      arguments+=(--suite "$2")
      shift 2
      ;;
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
if [ "$suite" = control ]; then
  bazel build --config=opt //tests/bench/control:control_bench //broker:pylabhub-broker >&2
  exec bazel-bin/tests/bench/control/control_bench --broker bazel-bin/broker/pylabhub-broker \
    ${arguments[@]+"${arguments[@]}"}
fi
if [ "$suite" = store ]; then
  bazel build --config=opt //tests/bench/store:store_bench >&2
  exec bazel-bin/tests/bench/store/store_bench
fi
if [ "$suite" = record ]; then
  bazel build --config=opt //client/cli:pylabhub >&2
  exec python3 tests/bench/recording/recording_bench.py --tool bazel-bin/client/cli/pylabhub \
    "${arguments[@]}"
fi
if [ "$suite" = access ]; then
  bazel build --config=opt //tests/bench/access/... >&2
  bazel-bin/tests/bench/access/policy_bench
  bazel-bin/tests/bench/access/call_check_bench
  bazel-bin/tests/bench/access/rotation_bench
  bazel-bin/tests/bench/access/hand_over_bench
  exit
fi
if [ "$suite" = python ]; then
  bazel build --config=opt //tests/bench/python:cpp_side //client/python:pylabhub >&2
  package=$(mktemp -d)
  trap 'rm -rf "$package"' EXIT
  mkdir "$package/pylabhub"
  cp client/python/pylabhub/*.py bazel-bin/client/python/pylabhub/_pylabhub.so "$package/pylabhub"
  PYTHONPATH=$package /usr/bin/python3 tests/bench/python/python_bench.py --cpp bazel-bin/tests/bench/python/cpp_side \
    "${arguments[@]}"
  exit
fi
bazel build --config=opt //tests/bench:bench_with_peers >&2
# Bazel's idle server is not measured: it sleeps.
exec bazel-bin/tests/bench/bench_with_peers ${arguments[@]+"${arguments[@]}"}
