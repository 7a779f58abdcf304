#!/usr/bin/env bash
# Kills, stops and restarts producers and consumers under load, and judges what the others get.
#
#   tests/chaos/run.sh [--seconds N] [--seed S]
#
# The last line is JSON:
#   {"kills":N,"stops":N,"delivered":N,"lost":0,"torn":0,"duplicated":0,"stuck":0,"recovery_ms_p99":X}
# Exit status 0 only if lost, torn, duplicated and stuck are 0, nothing is left in /dev/shm, and at least ten processes a
# second were killed. docs/survival.md says what is counted as what.
set -euo pipefail

cd "$(dirname "$0")/../.."
third_party/install.sh build >&2
. third_party/home.sh >&2
bazel build --config=opt //tests/chaos >&2
exec bazel-bin/tests/chaos/chaos "$@"
