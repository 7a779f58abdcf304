#!/usr/bin/env bash
# Builds the Python package's wheel, for Debian 12's Python: client/python/build_wheel.sh [FOLDER]
#
# Installs what is missing with apt, builds, and prints the path of the wheel that it wrote to FOLDER (default: dist).
set -euo pipefail
folder=$(realpath -m -- "${1:-dist}")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
third_party/install.sh build >&2
. third_party/home.sh >&2
bazel build --config=opt //client/python:pylabhub </dev/null >&2
package=$(mktemp -d)
trap 'rm -rf "$package"' EXIT
cp client/python/pylabhub/*.py client/python/pylabhub/*.pyi client/python/pylabhub/py.typed \
  bazel-bin/client/python/pylabhub/_pylabhub.so "$package"
/usr/bin/python3 client/python/build_wheel.py "$package" "$folder"
