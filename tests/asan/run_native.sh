#!/bin/sh
# Build the extension under AddressSanitizer and UndefinedBehaviorSanitizer, run its contract tests,
# then feed damaged buffers to it.
#   tests/asan/run_native.sh [damaged buffers, 4000 by default]
#   PYTHON=...  an interpreter that has cuzarr's test dependencies
set -eu

count=${1:-4000}
python=${PYTHON:-python3}
cc=${CC:-cc}
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$top"
mkdir "$work/package"
cp -r src/cuzarr "$work/package/"
rm -f "$work"/package/cuzarr/native/_native*.so
# distutils takes the compiler that Python was built with; frame pointers make reports readable
CUZARR_REQUIRE_NATIVE=1 \
CUZARR_CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all" \
CUZARR_LDFLAGS="-fsanitize=address,undefined" \
    "$python" setup.py -q build_ext --build-lib "$work/package" --build-temp "$work/objects"

# The sanitizer must be the first library of the process. Python's own allocator would hide
# overflows, and what an interpreter never frees is not a leak of ours.
preload="$($cc -print-file-name=libasan.so):$($cc -print-file-name=libubsan.so)"
run() {
    env PYTHONPATH="$work/package:$top" PYTHONMALLOC=malloc LD_PRELOAD="$preload" \
        ASAN_OPTIONS="detect_leaks=0:abort_on_error=0:exitcode=99" \
        UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1" "$python" "$@"
}

run tests/asan/fuzz_native.py 0
run -m pytest -q -p no:cacheprovider --noconftest -k "not twin" \
    tests/contract/test_native_files.py tests/contract/test_native_copy.py \
    tests/contract/test_native_decode.py tests/contract/test_native_streams.py \
    tests/contract/test_native_wave.py tests/contract/test_native_encode.py \
    tests/contract/test_native_write.py
run tests/asan/fuzz_native.py "$count"
run tests/asan/fuzz_wave.py "$count"
