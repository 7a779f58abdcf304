#!/usr/bin/env bash
# Kills, stops and restarts producers and consumers under load, and judges what the others get.
#
#   tests/chaos/run.sh [--seconds N] [--seed S]
#   tests/chaos/run.sh --suite broker [--kills N] [--seed S]
#
# The last line is JSON:
#   {"kills":N,"stops":N,"delivered":N,"lost":0,"torn":0,"duplicated":0,"stuck":0,"recovery_ms_p99":X}
# Exit status 0 only if lost, torn, duplicated and stuck are 0, nothing is left in /dev/shm, and at least ten processes a
# second were killed. docs/survival.md says what is counted as what.
#
# The suite broker kills a broker (100 times) while clients register, and looks what the next one knows; last line:
#   {"kills":N,"acknowledged":N,"forgotten":0,"epochs_back":0,"seed":S}
set -euo pipefail

cd "$(dirname "$0")/../.."
third_party/install.sh build >&2
. third_party/home.sh >&2
if [ "${1:-}" = --suite ] && [ "${2:-}" = broker ]; then
  shift 2
  kills=100
  while [ $# -ge 2 ]; do
    case "$1" in
      --kills) kills=$2 ;;
      --seed) export PYLABHUB_TEST_SEED=$2 ;;
      *) break ;;
    esac
    shift 2
  done
  [ $# -eq 0 ] || { echo "tests/chaos/run.sh: unknown argument '$1'" >&2; exit 2; }
  bazel build --config=opt //tests/broker/store:broker_durability_test >&2
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  status=0
  cd bazel-bin/tests/broker/store/broker_durability_test.runfiles/pylabhub
  PYLABHUB_BROKER_KILLS=$kills tests/broker/store/broker_durability_test \
    --gtest_filter='*IsKilledAtAnyMoment*' >"$log" 2>&1 || status=$?
  cat "$log" >&2
  grep '^{"kills"' "$log" | tail -n 1
  exit "$status"
fi
bazel build --config=opt //tests/chaos >&2
exec bazel-bin/tests/chaos/chaos "$@"
