#!/usr/bin/env bash
# Build the sdist, the wheel from that sdist, and try the wheel in an environment of its own.
#   tools/try_wheel.sh PYTHON      (PYTHON has the package "build")
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

CUZARR_REQUIRE_NATIVE=1 "$python" -m build --outdir "$work/dist" "$top" >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; exit 1; }
ls "$work/dist"
"$python" "$top/tools/inspect_dist.py" "$work/dist"
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq --disable-pip-version-check "$work"/dist/*.whl
cp "$top/tools/try_installed.py" "$work/"
cd "$work"
env -u PYTHONPATH "$work/venv/bin/python" -W error "$work/try_installed.py"
