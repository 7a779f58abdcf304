#!/usr/bin/env bash
# Runs a file of Python's unittest with Debian's interpreter and the package pylabhub of this tree.
set -euo pipefail
export PYTHONPATH=$PWD/client/python:$PWD/tests/client/python PYTHONDONTWRITEBYTECODE=1 PYTHONFAULTHANDLER=1
exec /usr/bin/python3 "$@"
