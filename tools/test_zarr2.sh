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
exec tools/test_beside.sh "$python" "$folder" test-zarr2 tests/interop/test_zarr2.py "$@"
