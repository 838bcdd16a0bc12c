#!/usr/bin/env bash
# Exchange data with zarr-python 2.18, in an environment of its own: it cannot stand beside version 3.
#   tools/test_zarr2.sh PYTHON FOLDER [pytest arguments]
set -euo pipefail
python=$1 folder=$2
shift 2

if ! "$python" -c 'import sys; sys.exit(sys.version_info >= (3, 14))'; then
    echo "zarr 2: SKIPPED, that version is not for $("$python" --version)"
    exit 0
fi
stamp=$folder/.test
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ constraints.txt -nt "$stamp" ]; then
    tools/make_venv.sh "$python" "$folder"
    echo "installing cuzarr[test-zarr2] in $folder"
    "$folder/bin/python" -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[test-zarr2]'
    touch "$stamp"
fi
"$folder/bin/python" -c 'import sys, zarr; print(f"zarr 2: Python {sys.version.split()[0]}, zarr {zarr.__version__}")'
exec "$folder/bin/python" -m pytest -q tests/interop/test_zarr2.py "$@"
