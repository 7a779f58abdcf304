#!/usr/bin/env bash
# Writes the pages of docs/reference that are made from the code. To be run, and its result committed, when a test says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. third_party/home.sh
bazel build --config=opt //broker:pylabhub-broker //client/cli:pylabhub //client/python:pylabhub
package=$(mktemp -d)
trap 'rm -rf "$package"' EXIT
cp -rL client/python/pylabhub bazel-bin/client/python/pylabhub "$package"
for page in cli c cpp python; do
  PYTHONPATH=$package PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 tests/docs/reference.py $page bazel-bin >"$package/page"
  cp "$package/page" "docs/reference/$page.md"
done
