#!/usr/bin/env bash
# Create a virtual environment, or say clearly what the machine lacks.
#   tools/make_venv.sh PYTHON FOLDER
set -euo pipefail
python=$1 folder=$2

if ! command -v "$python" >/dev/null 2>&1; then
    echo "error: no '$python' on this machine: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "error: '$python' is $("$python" --version 2>&1), cuzarr needs 3.11 or newer: make PYTHON=python3.12" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    echo "error: '$python' cannot create virtual environments: on Debian and Ubuntu install python3-venv" >&2
    exit 1
fi
if ! command -v c++ >/dev/null 2>&1 && ! command -v g++ >/dev/null 2>&1; then
    echo "note: no C++ compiler: cuzarr works without its native reader, but slower (Debian and Ubuntu: g++)" >&2
fi
echo "creating $folder ($("$python" --version))"
rm -rf "$folder"
"$python" -m venv "$folder"
