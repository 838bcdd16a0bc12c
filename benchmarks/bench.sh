#!/usr/bin/env bash
# Run the benchmark in an environment of its own: bench.sh PYTHON [arguments of benchmarks.run]
#
# The newest zarr, with its fused pipeline, needs Python 3.12: the first of python3.12 to 3.14 that
# can make environments is taken, else PYTHON.
set -euo pipefail
cd "$(dirname "$0")/.."
fallback="$1"
shift
folder=benchmarks/.venv

usable() { "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }

find_python() {
  local minor candidate
  for minor in 12 13 14; do
    for candidate in "python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python; do
      if usable "$candidate"; then
        echo "$candidate"
        return
      fi
    done
  done
  echo "$fallback"
}

stamp="$folder/.installed"
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
  tools/make_venv.sh "$(find_python)" "$folder"
  echo "installing cuzarr[bench] in $folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
  touch "$stamp"
fi
exec "$folder/bin/python" -m benchmarks.run "$@"
