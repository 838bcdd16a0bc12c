"""Build the emulated device: ``kernels/*.cu`` and ``device.cpp`` by the host C++ compiler.

1. All kernel sources are included in one translation unit behind ``cuda_shim.h``; a generated
   table gives every ``extern "C" __global__`` function an entry and the types of its arguments.
2. The library is cached in ``build/emulation`` under a hash of all sources and flags.
3. ``CUZARR_EMULATION_ASAN=1`` builds it under AddressSanitizer and UndefinedBehaviorSanitizer;
   the interpreter must then preload the sanitizer (``tests/asan/run_emulation.sh``).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
KERNELS = REPOSITORY / "kernels"
ASAN = os.environ.get("CUZARR_EMULATION_ASAN") == "1"

_COMMON = ["-std=c++17", "-fPIC", "-g", "-Wall", "-Wno-unknown-pragmas"]
#: Calls, not inlined shadow checks; every access but those of stack variables proven in bounds.
_TRACED = [
    "-O1", "-DCUZARR_TRACED", "-fsanitize=kernel-address",
    "--param", "asan-instrumentation-with-call-threshold=0",
    "--param", "asan-stack=0", "--param", "asan-globals=0",
]  # fmt: skip
_SANITIZED = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


@dataclass(frozen=True)
class Library:
    """The loaded device.

    Attributes
    ----------
    cdll : ctypes.CDLL
    kernels : mapping of name to (entry address, argument codes)
        One letter per argument: p pointer, Q uint64, q int64, i int32, I uint32, f, d.
    """

    cdll: ctypes.CDLL
    kernels: Mapping[str, tuple[int, str]]


def build(kernels: Path = KERNELS, extra: tuple[str, ...] = ()) -> Path:
    """Compile, or find in the cache, the library for the ``.cu`` files of a directory."""
    sources = sorted(kernels.glob("*.cu"))
    watched = [*sources, *sorted(kernels.glob("*.cuh")), *sorted(HERE.glob("*.cpp")),
               *sorted(HERE.glob("*.h")), Path(__file__)]  # fmt: skip
    digest = hashlib.sha256(repr((ASAN, extra)).encode())
    for path in watched:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    folder = REPOSITORY / "build" / "emulation"
    target = folder / f"device-{'asan-' if ASAN else ''}{digest.hexdigest()[:20]}.so"
    if target.exists():
        return target
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise RuntimeError("the emulated device needs a C++ compiler: install g++ or set CXX")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        main = Path(scratch) / "kernels.cpp"
        main.write_text(_translation_unit(compiler, sources, kernels, Path(scratch)))
        flags = [*_COMMON, *extra, f"-I{HERE}", f"-I{kernels}"]
        objects = []
        for path in [main, *sorted(HERE.glob("*.cpp"))]:
            compiled = Path(scratch) / f"{path.stem}.o"
            own = _SANITIZED if ASAN else (_TRACED if path == main else ["-O2"])
            _run([compiler, *flags, *own, "-c", str(path), "-o", str(compiled)])
            objects.append(str(compiled))
        linked = Path(scratch) / target.name
        link = ["-fsanitize=address,undefined"] if ASAN else []
        _run([compiler, "-shared", *link, *objects, "-o", str(linked)])
        os.replace(linked, target)
    return target


@functools.cache
def load(kernels: Path = KERNELS) -> Library:
    """Build and load; one library per directory and process."""
    cdll = ctypes.CDLL(str(build(kernels)))
    u64, i64, pointer = ctypes.c_uint64, ctypes.c_int64, ctypes.c_void_p
    u32, i32 = ctypes.c_uint32, ctypes.c_int32
    for name, result, arguments in [
        ("emu_reserve", u64, [u64]),
        ("emu_reset", None, [u64]),
        ("emu_begin", u32, [i32, i64, i32, pointer, i64]),
        ("emu_access", i32, [u64, u64, i32, i32]),
        ("emu_expose", None, [u64, u64, i32]),
        ("emu_violation", None, [pointer]),
        ("emu_launch", i32, [u64, pointer, u32, u32, u32, u32]),
        ("emu_lz4", i64, [u64, i64, u64, i64]),
        ("emu_snappy", i64, [u64, i64, u64, i64]),
    ]:
        function = getattr(cdll, name)
        function.restype, function.argtypes = result, arguments
    cdll.emu_kernel_name.restype = ctypes.c_char_p
    cdll.emu_kernel_codes.restype = ctypes.c_char_p
    cdll.emu_kernel_entry.restype = u64
    found = {}
    for i in range(cdll.emu_kernel_count()):
        name = cdll.emu_kernel_name(i).decode()
        found[name] = (cdll.emu_kernel_entry(i), cdll.emu_kernel_codes(i).decode())
    return Library(cdll, found)


def _translation_unit(compiler: str, sources: list[Path], kernels: Path, scratch: Path) -> str:
    includes = "".join(f'#include "{path.name}"\n' for path in sources)
    probe = scratch / "probe.cpp"
    probe.write_text('#include "cuda_shim.h"\n' + includes)
    text = subprocess.run(
        [compiler, "-std=c++17", "-E", "-P", "-D__global__=CUZARR_GLOBAL",
         f"-I{HERE}", f"-I{kernels}", str(probe)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    names = re.findall(r'extern\s+"C"\s+CUZARR_GLOBAL\s+void\s+(\w+)\s*\(', text)
    if not names:
        raise RuntimeError(f'no extern "C" __global__ function in {kernels}')
    entries = "".join(f'    {{"{n}", entry<&{n}>(), codes(&{n})}},\n' for n in names)
    return '#include "cuda_shim.h"\n' + includes + _TABLE.replace("@ENTRIES@", entries)


_TABLE = """
#undef __noinline__  // the standard library of newer compilers uses it as an attribute's name
#include <string>
#include <utility>
namespace {
template <typename T> char code() {
    if (std::is_pointer<T>::value) return 'p';
    if (std::is_same<T, float>::value) return 'f';
    if (std::is_same<T, double>::value) return 'd';
    if (sizeof(T) == 8) return std::is_signed<T>::value ? 'q' : 'Q';
    return std::is_signed<T>::value ? 'i' : 'I';
}
template <typename... A> std::string codes(void (*)(A...)) { return {code<A>()...}; }
template <auto K, typename... A, size_t... I>
void call(void** args, void (*)(A...), std::index_sequence<I...>) {
    K(*(typename std::remove_const<A>::type*)args[I]...);
}
template <auto K> struct Arity;
template <typename... A, void (*K)(A...)> struct Arity<K> {
    static void run(void** args) { call<K>(args, K, std::index_sequence_for<A...>()); }
};
template <auto K> void (*entry())(void**) { return &Arity<K>::run; }
struct Entry { const char* name; void (*run)(void**); std::string codes; };
const Entry entries[] = {
@ENTRIES@};
}
extern "C" {
int emu_kernel_count() { return (int)(sizeof(entries) / sizeof(entries[0])); }
const char* emu_kernel_name(int i) { return entries[i].name; }
const char* emu_kernel_codes(int i) { return entries[i].codes.c_str(); }
uint64_t emu_kernel_entry(int i) { return (uint64_t)entries[i].run; }
}
"""


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
