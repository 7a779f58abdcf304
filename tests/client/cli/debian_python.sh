#!/usr/bin/env bash
# Runs a file of Python's unittest with Debian's interpreter, which has h5py, whatever python3 is in the path.
set -euo pipefail
export PYTHONPATH=$PWD PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 "$@"
