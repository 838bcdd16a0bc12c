#!/usr/bin/env bash
# The GPU report: one command on a machine with a GPU, no network needed.
#
#   benchmarks/gpu_report.sh [--dry-run] [--size 4GiB] [PART...]
#
# Parts, in order: setup tests limits kernels read peers kvikio table (default: all), and placement,
# more and safety where asked for. setup and table always run. Each part has its own time limit; together they end within eight minutes. A part that fails
# does not stop the others; the exit status is not zero if any value was wrong or a test failed.
#
#   setup   installs the wheels of .whl/ (see wheels.sh), builds the native extension in place (where
#           that cannot be done: bring src/cuzarr/native/_native.abi3.so along)
#   tests   the suite with --device cuda, and the contract tests as they run everywhere
#   limits  reads, upload, raw nvCOMP and device copies: what no reader can beat
#   kernels each kernel alone, as a share of the bandwidth of a device copy
#   placement  the device against the host's threads, by number and size of streams
#   read    cuzarr: from the page cache and from memory
#   peers   zarr-python with enable_gpu(), and the CPU libraries plus one pinned upload
#   kvikio  GDSStore, with the wheels of .whl/kvikio/, and cuzarr reading by kvikio
#   more    further layouts (whole rows, 16 MiB, bit shuffle, gzip), and all layouts written
#   safety  damaged chunks in child processes; compute-sanitizer, where it is installed
#   table   prints the table, writes report.json and report.txt
#
# --dry-run tries the scripts on the host; what it prints is marked, and is no GPU figure.
# Results go to $OUT (default benchmarks/out/gpu), stores to $CUZARR_BENCH_DATA (default: a folder
# for temporary files; about 13 GiB at 4 GiB).
set -uo pipefail
cd "$(dirname "$0")/.."
export OUT="${OUT:-benchmarks/out/gpu}" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
python="${PYTHON:-python3}"
site="${CUZARR_SITE:-${TMPDIR:-/tmp}/cuzarr-site}"
size=4GiB
dry=()
parts=()
while [ $# -gt 0 ]; do
  case "$1" in
    --dry-run) dry=(--dry-run) ;;
    --size) size="$2"; shift ;;
    setup | tests | limits | kernels | placement | read | peers | kvikio | more | safety | table) parts+=("$1") ;;
    *) echo "gpu_report.sh: unknown part '$1' (see the head of the script)" >&2; exit 2 ;;
  esac
  shift
done
[ ${#parts[@]} -gt 0 ] || parts=(tests limits kernels read peers kvikio)
mkdir -p "$OUT"
failed=()

install_wheels() { # install_wheels FOLDER TARGET
  [ -e "$2/.complete" ] && return 0
  compgen -G "$1/*.whl" >/dev/null || { echo "setup: no wheels in $1"; return 0; }
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$2" --upgrade "$1"/*.whl \
    && touch "$2/.complete" \
    || echo "setup: the wheels of $1 could not be installed"
}

setup() {
  if [ ${#dry[@]} -eq 0 ]; then
    install_wheels .whl "$site"
    install_wheels .whl/kvikio "$site-kvikio"
  fi
  # The extension is optional: setup.py succeeds without it, so what counts is the file.
  mkdir -p "$site"
  timeout 60 "$python" setup.py -q build_ext --inplace >"$site.build.log" 2>&1
  compgen -G "src/cuzarr/native/_native*.so" >/dev/null || {
    echo "setup: no native extension, its Python twin is used; the build said:"
    tail -5 "$site.build.log"
  }
}

part() { # part NAME SECONDS MODULE [EXTRA PATH]: the budget is for the part itself, the limit is later
  local name="$1" seconds="$2" module="$3" extra="${4:-}" begun=$SECONDS status
  rm -f "$OUT/$name.json"
  echo "== $name (up to $seconds s)"
  PYTHONPATH="${extra:+$extra:}$common" timeout -k 5 "$seconds" "$python" -m "benchmarks.gpu.$module" \
    --out "$OUT" --size "$size" --budget "$((seconds - 10))" ${dry[@]+"${dry[@]}"}
  status=$?
  echo "== $name: exit status $status after $((SECONDS - begun)) s"
  [ "$status" -eq 0 ] || failed+=("$name ($status)")
}

setup
common="$site:$PWD/src:$PWD${PYTHONPATH:+:$PYTHONPATH}" # absolute: tests start processes elsewhere
# A regular package "nvidia" elsewhere would hide the wheel's folder: let the loader find the library.
export LD_LIBRARY_PATH="$site/nvidia/libnvcomp/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
for name in "${parts[@]}"; do
  case "$name" in
    tests) part tests 130 suite ;;
    limits) part limits 80 limits ;; # makes the stores, which the parts after it find
    kernels) part kernels 30 kernels ;;
    placement) part placement 60 placement ;;
    read) part read 80 read ;;
    peers) part peers 100 others ;;
    kvikio) part kvikio 60 kvikio_store "$site-kvikio" ;;
    more) part more 150 more ;;
    safety) part safety 150 safety ;;
  esac
done
PYTHONPATH="$common" "$python" -m benchmarks.gpu.table --out "$OUT" || failed+=(table)
if [ ${#failed[@]} -gt 0 ]; then
  echo "FAILED: ${failed[*]}"
  exit 1
fi
