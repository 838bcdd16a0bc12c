#!/usr/bin/env bash
# Run tests in a second environment, which has what cannot stand beside the packages of the first.
#   tools/test_beside.sh PYTHON FOLDER EXTRA [pytest arguments]
set -euo pipefail
python=$1 folder=$2 extra=$3
shift 3

stamp=$folder/.test
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ constraints.txt -nt "$stamp" ]; then
    tools/make_venv.sh "$python" "$folder"
    echo "installing cuzarr[$extra] in $folder"
    "$folder/bin/python" -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[$extra]"
    touch "$stamp"
fi
"$folder/bin/python" -c 'import sys, zarr; print(f"Python {sys.version.split()[0]}, zarr {zarr.__version__}")'
exec "$folder/bin/python" -m pytest -q "$@"
