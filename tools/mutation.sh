#!/usr/bin/env bash
# Mutation tests of plans and metadata: survivors are printed, and listed in build/mutation/*.jsonl.
#   tools/mutation.sh PYTHON [plan | meta] [options of tools/mutation.py, as --jobs 8 --most 500]
# About half a second of one processor for each of some five thousand mutants; not part of CI.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 part=${2:-both}
shift $(($# < 2 ? $# : 2))
export PYTHONPATH=src OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
mkdir -p build/mutation

run() { # NAME TEST...; the options are in "$options"
    local name=$1
    shift
    [ ! -f "build/mutation/$name.jsonl" ] || mv "build/mutation/$name.jsonl" "build/mutation/$name-before.jsonl"
    "$python" tools/mutation.py src/cuzarr/"$name"/*.py "${options[@]}" --out "build/mutation/$name.jsonl" -- "$@"
}

options=("$@")
case $part in plan | both)
    run plan tests/unit/test_plan_*.py tests/property/test_plan_*.py tests/unit/test_boxes.py \
        tests/unit/test_array.py
    ;;
esac
case $part in meta | both)
    run meta tests/unit/test_meta_*.py tests/interop/test_meta_zarr.py tests/unit/test_creating.py \
        tests/unit/test_consolidated.py tests/unit/test_data_types.py
    ;;
esac
