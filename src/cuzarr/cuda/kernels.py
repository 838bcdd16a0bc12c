"""Compile ``kernels/*.cu`` with NVRTC, called directly, and keep the result.

1. :func:`kernel_sources` finds the sources: ``cuzarr/_kernels`` in an installed wheel, ``kernels/``
   of the repository in an editable install.
2. :func:`compile_kernels` compiles all of them to one cubin for an architecture. The options keep
   subnormal numbers and forbid contraction to fused multiply-adds, so that kernels give the bits
   that NumPy gives; CuPy's own compiler adds ``-ftz=true``, hence is never used.
3. The cubin is kept in ``$CUZARR_CACHE_DIR``, else the XDG cache directory, under a hash of every
   ``.cu`` and ``.cuh``, the options, NVRTC's version and the architecture.

NVRTC needs no driver and no GPU. It is found in the wheels of NVIDIA (``nvidia/cu13/lib`` of
``nvidia-cuda-nvrtc``, ``nvidia/cuda_nvrtc/lib`` of ``nvidia-cuda-nvrtc-cu12``), then on the system;
``$CUZARR_NVRTC`` names a library to use instead. C API: ``nvrtc.h`` of CUDA 12 and 13.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import functools
import hashlib
import importlib.util
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cuzarr.errors import DeviceError, MissingPackageError

#: The architecture is added last. ``--std`` first: NVRTC's default changed between versions.
OPTIONS = ("--std=c++17", "-ftz=false", "-fmad=false", "-prec-div=true", "-prec-sqrt=true")


def compile_kernels(arch: str, *, major: int | None = None) -> bytes:
    """Return the cubin of all kernels.

    Parameters
    ----------
    arch : str
        ``"sm_90"``. Where NVRTC does not know it, the nearest lower one of the same generation,
        whose code it runs.
    major : int or None
        Compile with NVRTC of this CUDA major version, if there is one: a driver may refuse the
        cubins of a newer CUDA than its own.

    Raises
    ------
    MissingPackageError
        NVRTC is not installed.
    DeviceError
        The sources were not found, or do not compile; the message is NVRTC's.
    """
    nvrtc = find_nvrtc(major)
    return _compiled(arch, nvrtc, tuple(sorted(kernel_sources().items())))


def cubin(kernel: str, arch: str, *, major: int | None = None) -> bytes:
    """Return the cubin that holds a kernel; raises ``DeviceError`` if none does."""
    found = compile_kernels(arch, major=major)
    if kernel.encode() + b"\0" not in found:
        raise DeviceError(f"there is no kernel {kernel!r} in {', '.join(kernel_sources())}")
    return found


def tile_table(nbytes: npt.NDArray[np.int64], tile_bytes: int) -> npt.NDArray[np.int64]:
    """Return the exclusive prefix sum of tiles: how a launch is cut (``kernels/README.md``).

    Parameters
    ----------
    nbytes : (n,) int64
        Size of each item; one of size zero gets no tile.
    tile_bytes : int

    Returns
    -------
    (n + 1,) int64
        The last entry is the number of tiles.
    """
    tiles = np.zeros(len(nbytes) + 1, np.int64)
    np.cumsum(-(-np.asarray(nbytes, np.int64) // tile_bytes), out=tiles[1:])
    return tiles


def kernel_sources() -> dict[str, str]:
    """Return the text of every ``.cu`` and ``.cuh``; raises ``DeviceError`` if there are none."""
    package = Path(__file__).resolve().parent.parent
    searched = (package / "_kernels", package.parent.parent / "kernels")
    for folder in searched:
        found = sorted(p for p in folder.glob("*.cu*") if p.suffix in {".cu", ".cuh"})
        if found:
            return {path.name: path.read_text(encoding="utf-8") for path in found}
    raise DeviceError(f"no kernel sources in {' or '.join(map(str, searched))}")


@dataclass(frozen=True)
class Nvrtc:
    """NVRTC, bound with ctypes.

    Attributes
    ----------
    path : str
    version : (int, int)
    archs : tuple of int
        Architectures it compiles for, ascending: 90 is ``sm_90``.
    """

    path: str
    version: tuple[int, int]
    archs: tuple[int, ...]

    def target(self, arch: str) -> str:
        """Return the architecture to compile for so that the code runs on ``arch``."""
        match = re.fullmatch(r"sm_(\d+)(\d)", arch)
        if match is None:
            raise DeviceError(f"{arch!r} is not an architecture such as 'sm_90'")
        wanted = int(match[1] + match[2])
        usable = [a for a in self.archs if a // 10 == wanted // 10 and a <= wanted]
        if not usable:
            known = ", ".join(f"sm_{a}" for a in self.archs)
            version = ".".join(map(str, self.version))
            raise DeviceError(f"NVRTC {version} cannot compile for {arch}: it knows {known}")
        return f"sm_{usable[-1]}"

    def compile(self, sources: Mapping[str, str], options: Sequence[str]) -> tuple[bytes, str]:
        """Compile every ``.cu`` as one program; return the cubin and the log."""
        library = ctypes.CDLL(self.path)
        text = "".join(f'#include "{name}"\n' for name in sources if name.endswith(".cu"))
        program = ctypes.c_void_p()
        _check(library, library.nvrtcCreateProgram(
            ctypes.byref(program), text.encode(), b"cuzarr.cu", len(sources),
            _strings(sources.values()), _strings(sources),
        ))  # fmt: skip
        try:
            status = library.nvrtcCompileProgram(program, len(options), _strings(options))
            log = _fetch(library, program, "nvrtcGetProgramLog").rstrip(b"\0").decode()
            if status:
                raise DeviceError(f"NVRTC cannot compile the kernels ({' '.join(options)}):\n{log}")
            return _fetch(library, program, "nvrtcGetCUBIN"), log
        finally:
            library.nvrtcDestroyProgram(ctypes.byref(program))


def find_nvrtc(major: int | None = None) -> Nvrtc:
    """Return NVRTC of a CUDA major version, or else the first that is found.

    Raises
    ------
    MissingPackageError
        There is none.
    """
    found = [nvrtc for nvrtc in map(_load, _candidates()) if nvrtc is not None]
    if not found:
        raise MissingPackageError(
            "kernels are compiled by NVRTC, which was not found: install cuzarr[cuda13] or "
            "cuzarr[cuda12] (nvidia-cuda-nvrtc, nvidia-cuda-nvrtc-cu12)"
        )
    return next((nvrtc for nvrtc in found if nvrtc.version[0] == major), found[0])


def cache_key(sources: Mapping[str, str], options: Sequence[str], version: tuple[int, int]) -> str:
    """Return the name under which a cubin is kept."""
    digest = hashlib.sha256(repr((sorted(sources.items()), tuple(options), version)).encode())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Return where cubins are kept."""
    own = os.environ.get("CUZARR_CACHE_DIR")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "cuzarr"


@functools.cache
def _compiled(arch: str, nvrtc: Nvrtc, sources: tuple[tuple[str, str], ...]) -> bytes:
    options = (*OPTIONS, f"-arch={nvrtc.target(arch)}")
    path = cache_folder() / f"{cache_key(dict(sources), options, nvrtc.version)}.cubin"
    kept = _read_kept(path)
    if kept is not None:
        return kept
    built, _ = nvrtc.compile(dict(sources), options)
    # A cache that cannot be written costs a compilation per process, no more.
    with contextlib.suppress(OSError):
        _keep(path, built)
    return built


def _read_kept(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, built = data[:32], data[32:]
    return built if hashlib.sha256(built).digest() == digest else None


def _keep(path: Path, built: bytes) -> None:
    """Write at once or not at all: several processes may start together."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem[:16])
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(built).digest() + built)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _candidates() -> tuple[str, ...]:
    """Return names and paths to try, best first."""
    named = os.environ.get("CUZARR_NVRTC")
    if named:
        return (named,)
    found: list[str] = []
    spec = importlib.util.find_spec("nvidia")
    for root in spec.submodule_search_locations or () if spec else ():
        for layout in ("cu[0-9]*/lib", "cuda_nvrtc/lib"):
            libraries = Path(root).glob(f"{layout}/libnvrtc.so.[0-9]*")
            found += sorted((str(path) for path in libraries), reverse=True)
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if os.environ.get(variable):
            found.append(str(Path(os.environ[variable]) / "lib64" / "libnvrtc.so"))
    system = ctypes.util.find_library("nvrtc")
    found += [*([system] if system else []), "libnvrtc.so.13", "libnvrtc.so.12"]
    found.append("/usr/local/cuda/lib64/libnvrtc.so")
    return tuple(dict.fromkeys(found))


@functools.cache
def _load(path: str) -> Nvrtc | None:
    try:
        library = ctypes.CDLL(path)
    except OSError:
        return None
    major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    _check(library, library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    _check(library, library.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
    archs = (ctypes.c_int * count.value)()
    _check(library, library.nvrtcGetSupportedArchs(archs))
    return Nvrtc(path, (major.value, minor.value), tuple(sorted(archs)))


def _fetch(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(library, library[f"{what}Size"](program, ctypes.byref(size)))
    data = ctypes.create_string_buffer(size.value)
    _check(library, library[what](program, data))
    return data.raw


def _strings(texts: Iterable[str]) -> ctypes.Array[ctypes.c_char_p]:
    encoded = [text.encode() for text in texts]
    return (ctypes.c_char_p * len(encoded))(*encoded)


def _check(library: ctypes.CDLL, status: int) -> None:
    if status:
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise DeviceError(f"NVRTC: {library.nvrtcGetErrorString(status).decode()}")
