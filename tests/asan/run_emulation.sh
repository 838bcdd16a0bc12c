#!/bin/sh
# Run kernel tests with the emulated device under AddressSanitizer and UndefinedBehaviorSanitizer.
#   tests/asan/run_emulation.sh [options of pytest]
#   tests/asan/run_emulation.sh --code "..."      run Python code instead
#   tests/asan/run_emulation.sh --fuzz COUNT [SEED]   read COUNT damaged objects (fuzz_device.py)
#   PYTHON=...  an interpreter that has cuzarr's test dependencies
#
# The sanitizers take the place of the emulation's own tracing of kernel accesses: they also see what
# kernels do to their stacks and shared memory, shifts, overflows and pointer arithmetic. Faults that
# tracing reports as errors end the process here, so the tests of the tracing itself are left out.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
compiler=${CXX:-g++}
export CUZARR_EMULATION_ASAN=1
export PYTHONPATH="src:.${PYTHONPATH:+:$PYTHONPATH}"
# What an interpreter never frees is not a leak of ours.
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=0:exitcode=99
export UBSAN_OPTIONS=print_stacktrace=1
preload="$("$compiler" -print-file-name=libasan.so):$("$compiler" -print-file-name=libstdc++.so.6)"
# The compiler must not run under the sanitizer of its product.
"$python" -c "from tests.emulation.build import build; build()"
if [ "${1:-}" = "--code" ]; then
    exec env LD_PRELOAD="$preload" "$python" -c "$2"
fi
if [ "${1:-}" = "--fuzz" ]; then
    shift
    exec env LD_PRELOAD="$preload" "$python" tests/asan/fuzz_device.py "$@"
fi
exec env LD_PRELOAD="$preload" "$python" -m pytest -q -p no:cacheprovider \
    tests/unit/test_kernels_scatter.py tests/unit/test_kernels_blosc.py \
    tests/unit/test_kernels_segments.py tests/unit/test_kernels_encode.py \
    tests/unit/test_kernels_checks.py tests/unit/test_kernels_lz77.py "$@"
