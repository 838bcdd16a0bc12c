#!/usr/bin/env bash
# Download the wheels that a GPU machine without a network needs for gpu_report.sh.
#
# 1. .whl/         what the report needs, for CPython 3.12 on Linux x86-64
# 2. .whl/kvikio/  kvikio and a second zarr, older than 3.2, which its GDSStore asks for; laid over
#                  the first set in one process alone
# 3. prints the size; fails above the limit (MiB, default 64), since all of it has to be carried
#
# Expected on the machine already: NumPy, CuPy for CUDA 13, TensorStore, pytest, hypothesis.
set -euo pipefail
cd "$(dirname "$0")/.."
limit_mib="${1:-64}"
python="${PYTHON:-python3}"

fetch() { # fetch FOLDER REQUIREMENT...
  local folder="$1" platforms=() glibc
  shift
  for glibc in $(seq 17 39); do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
  platforms+=(--platform manylinux2014_x86_64 --platform manylinux1_x86_64)
  rm -f "$folder"/*.whl # two versions of one package would stop the installation
  mkdir -p "$folder"
  "$python" -m pip download --quiet --quiet --no-deps --only-binary=:all: --python-version 3.12 \
    --implementation cp --abi cp312 --abi abi3 --abi none "${platforms[@]}" -d "$folder" "$@"
}

fetch .whl \
  numcodecs==0.17.1 zarr==3.4.2 zarrs==0.2.3 \
  google-crc32c==1.9.0 donfig==0.8.1.post1 msgspec==0.22.0 PyYAML==6.0.3 \
  packaging==26.3 typing_extensions==4.16.0 \
  nvidia-nvcomp-cu13==6.0.0.12 nvidia-libnvcomp-cu13==6.0.0.12
fetch .whl/kvikio zarr==3.1.6 kvikio-cu13==26.10.0 libkvikio-cu13==26.10.0 rapids-logger==0.3.0

total="$(du -sm .whl | cut -f1)"
echo ".whl: $total MiB"
if [ "$total" -gt "$limit_mib" ]; then
  echo "wheels: $total MiB are more than the $limit_mib MiB that can be carried" >&2
  exit 1
fi
