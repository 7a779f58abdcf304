#!/usr/bin/env bash
# Freezes the wire API as it is now: writes pylabhub_v1.binpb, which every later version must understand.
#
# Run it once for each release, never to make a failing test pass: clients that are out there speak what is frozen.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../../proto"
protoc -I. --include_imports --descriptor_set_out=../tests/proto/frozen/pylabhub_v1.binpb pylabhub/v1/*.proto
