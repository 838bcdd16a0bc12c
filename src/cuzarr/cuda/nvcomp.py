"""nvCOMP's batched C API, bound with ctypes.

1. :func:`find_library` looks for ``libnvcomp.so.6`` or ``.so.5`` in the wheels
   ``nvidia-libnvcomp-cu13`` and ``nvidia-libnvcomp-cu12``, then where the loader looks.
2. :class:`NvCompLibrary` loads it (no device or driver is needed for that), checks its version, and
   binds per format the three functions of decompression.
3. Its methods implement ``cuda.runtime.NvComp``.

Facts from the headers ``nvcomp/{lz4,zstd,gzip,deflate,snappy}.h`` of 5.3 and 6.0: options are a
64-byte struct passed by value whose first int32 is the backend (2 = CUDA kernels, never the
hardware engine) and whose other bytes are zero; 6.x renames ``GetTempSizeAsync`` to
``GetTempSize`` and gives it a stream. A version ``abcd`` of ``nvcompGetProperties`` is a.b.cd.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import importlib.util
from ctypes import (
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_int32,
    c_size_t,
    c_uint8,
    c_uint32,
    c_void_p,
)
from functools import cache
from pathlib import Path
from typing import Any, Final

from cuzarr.errors import DeviceError, MissingPackageError

FORMATS: Final = ("LZ4", "Zstd", "Deflate", "Gzip", "Snappy")
#: Longest stream that decompression takes, in bytes, encoded or decoded: ``nvcomp*Decompression
#: MaxAllowedChunkSize`` of the headers.
MAX_STREAM: Final = {
    "LZ4": 2**32 - 1,
    "Zstd": 2**31 - 1,
    "Deflate": 2**32 - 1,
    "Gzip": 2**32 - 1,
    "Snappy": 2**31 - 1,
}
MAJORS: Final = (6, 5)
_BACKEND_CUDA: Final = 2


class NvCompLibrary:
    """One loaded ``libnvcomp``.

    Parameters
    ----------
    path : str or Path
        Of the shared library.

    Raises
    ------
    MissingPackageError
        The library cannot be loaded, or is neither 5.x nor 6.x.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        try:
            self._library = ctypes.CDLL(self.path, mode=ctypes.RTLD_LOCAL)
        except OSError as error:
            raise MissingPackageError(f"cannot load nvCOMP from {self.path}: {error}") from error
        self.version, self.cuda_version = self._properties()
        if self.version[0] not in MAJORS:
            raise MissingPackageError(
                f"nvCOMP {'.'.join(map(str, self.version))} at {self.path} is not supported: "
                "install 5.x or 6.x"
            )
        self._text = self._bind("nvcompGetStatusString", [c_int32], c_char_p)
        self._formats = {fmt: self._bind_format(fmt) for fmt in FORMATS}

    def decompress_temp_bytes(
        self, fmt: str, n: int, max_chunk: int, max_total: int, stream: Any = None
    ) -> int:
        """Return the bytes of temporary device memory that a batch needs.

        Parameters
        ----------
        n : int
            Streams in the batch.
        max_chunk, max_total : int
            Decoded bytes of the longest stream, and of all.
        """
        nbytes = c_size_t(0)
        args: list[Any] = [n, max_chunk, _options(), byref(nbytes), max_total]
        if self.version[0] >= 6:
            args.append(_pointer(stream))
        self._check(self._formats[fmt]["temp"](*args), f"temporary size of {n} {fmt} streams")
        return nbytes.value

    def alignments(self, fmt: str) -> tuple[int, int, int]:
        """Return the alignments in bytes of (input, output, temp) that decompression requires."""
        found = _Alignments()
        self._check(self._formats[fmt]["alignments"](_options(), byref(found)), f"{fmt} alignments")
        return found.input, found.output, found.temp

    def decompress(
        self,
        fmt: str,
        in_ptrs: int,
        in_bytes: int,
        out_capacity: int,
        out_actual: int,
        n: int,
        temp: int,
        temp_bytes: int,
        out_ptrs: int,
        statuses: int,
        stream: Any,
    ) -> None:
        """Queue one batched decompression on ``stream``; see ``cuda.runtime.NvComp``."""
        status = self._formats[fmt]["decompress"](
            in_ptrs, in_bytes, out_capacity, out_actual, n, temp, temp_bytes, out_ptrs,
            _options(), statuses, _pointer(stream),
        )  # fmt: skip
        self._check(status, f"decompression of {n} {fmt} streams")

    def status_text(self, status: int) -> str:
        """Return what nvCOMP says of a status code, such as those of single streams."""
        text: bytes | None = self._text(status)
        return text.decode() if text else f"status {status}"

    def _properties(self) -> tuple[tuple[int, int, int], int]:
        get = self._bind("nvcompGetProperties", [POINTER(_Properties)])
        found = _Properties()
        status = get(byref(found))
        if status != 0:
            raise MissingPackageError(f"nvCOMP at {self.path} gives no version (status {status})")
        version = found.version
        return (version // 1000, version % 1000 // 100, version % 100), found.cudart_version

    def _bind(self, name: str, argtypes: list[Any], restype: Any = c_int32) -> Any:
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise MissingPackageError(f"nvCOMP at {self.path} has no {name}") from None
        function.argtypes, function.restype = argtypes, restype
        return function

    def _bind_format(self, fmt: str) -> dict[str, Any]:
        prefix = f"nvcompBatched{fmt}Decompress"
        temp = [c_size_t, c_size_t, _Options, POINTER(c_size_t), c_size_t]
        name = "GetTempSizeAsync"
        if self.version[0] >= 6:
            temp.append(c_void_p)
            name = "GetTempSize"
        batch = [c_void_p] * 4 + [c_size_t, c_void_p, c_size_t, c_void_p, _Options] + [c_void_p] * 2
        required = [_Options, POINTER(_Alignments)]
        return {
            "temp": self._bind(prefix + name, temp),
            "alignments": self._bind(prefix + "GetRequiredAlignments", required),
            "decompress": self._bind(prefix + "Async", batch),
        }

    def _check(self, status: int, what: str) -> None:
        if status != 0:
            raise DeviceError(f"nvCOMP refused the {what}: {self.status_text(status)}")


def find_library() -> str | None:
    """Return the path of the newest ``libnvcomp`` that cuzarr can use, or None."""
    for major in MAJORS:
        soname = f"libnvcomp.so.{major}"
        for folder in _wheel_folders():
            if (folder / soname).is_file():
                return str(folder / soname)
    for major in MAJORS:
        soname = f"libnvcomp.so.{major}"
        try:
            ctypes.CDLL(soname, mode=ctypes.RTLD_LOCAL)
        except OSError:
            continue
        return soname
    return None


@cache
def load() -> NvCompLibrary | None:
    """Return the library of this machine, loaded once, or None where there is none."""
    path = find_library()
    return None if path is None else NvCompLibrary(path)


class _Options(Structure):
    _fields_ = (("backend", c_int32), ("reserved", c_uint8 * 60))


class _Alignments(Structure):
    _fields_ = (("input", c_size_t), ("output", c_size_t), ("temp", c_size_t))


class _Properties(Structure):
    _fields_ = (("version", c_uint32), ("cudart_version", c_uint32))


def _options() -> _Options:
    return _Options(_BACKEND_CUDA)


def _pointer(stream: Any) -> int:
    return 0 if stream is None else int(getattr(stream, "ptr", stream))


def _wheel_folders() -> list[Path]:
    """Return where the wheels put the library, by their records and by import.

    Another wheel of NVIDIA may make ``nvidia`` a regular package, whose folder alone is searched by
    an import then.
    """
    roots = []
    for name in ("nvidia-libnvcomp-cu13", "nvidia-libnvcomp-cu12"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found = importlib.metadata.distribution(name).locate_file("nvidia/libnvcomp")
            roots.append(Path(str(found)))
    with contextlib.suppress(ModuleNotFoundError):
        spec = importlib.util.find_spec("nvidia.libnvcomp")
        roots += [Path(root) for root in (spec and spec.submodule_search_locations) or ()]
    return [root / lib for root in dict.fromkeys(roots) for lib in ("lib64", "lib")]
