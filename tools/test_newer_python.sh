#!/usr/bin/env bash
# Run the interoperability tests under the newest zarr, which needs Python 3.12 or newer.
#   tools/test_newer_python.sh FOLDER [pytest arguments]
# Looks for python3.12, 3.13, 3.14 in PATH and under pyenv; finding none is no error.
set -euo pipefail
folder=$1
shift

usable() { "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }

find_newer() {
    local root=${PYENV_ROOT:-$HOME/.pyenv} minor candidate
    for minor in 12 13 14; do
        for candidate in "python3.$minor" "$root"/versions/3."$minor".*/bin/python; do
            if usable "$candidate"; then
                echo "$candidate"
                return
            fi
        done
    done
}

python=$(find_newer)
if [ -z "$python" ]; then
    echo "interop: SKIPPED, no Python 3.12 or newer with venv was found"
    exit 0
fi
exec tools/test_beside.sh "$python" "$folder" test -m interop "$@"
