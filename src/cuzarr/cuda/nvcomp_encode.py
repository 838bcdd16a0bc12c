"""nvCOMP's batched compression, bound with ctypes beside ``cuda.nvcomp``.

1. :class:`Compression` binds per format the four functions of compression.
2. ``algorithm`` is the first int32 of the options: what the headers ``nvcomp/gzip.h`` say
   of 0 (fastest) to 5 (smallest); LZ4 and zstd have no choice and want 0. All other bytes of the 64
   are zero.

Facts of 6.0: the size of the temporary memory of zstd is known where there is a device alone; what
is made is standard: raw LZ4 blocks, one zstd frame that states its content size, one gzip member
whose header has ten bytes. Deflate is not bound: of streams over 64 KiB it makes a tenth of what
gzip does in the same time, and a gzip member has the same bytes inside.
"""

from __future__ import annotations

from ctypes import POINTER, Structure, byref, c_int32, c_size_t, c_uint8, c_void_p
from typing import Any, Final

from cuzarr.cuda.nvcomp import NvCompLibrary

FORMATS: Final = ("LZ4", "Zstd", "Gzip")
#: Longest stream that compression takes, in bytes: ``nvcomp*CompressionMaxAllowedChunkSize`` of the
#: headers, but at most what sizes of 31 bits hold; zstd is documented for 16 MiB.
MAX_STREAM: Final = {"LZ4": 2**24, "Zstd": 2**24, "Gzip": 2**31 - 1}


class Compression:
    """Compression by one loaded ``libnvcomp``.

    Parameters
    ----------
    library : NvCompLibrary
    """

    def __init__(self, library: NvCompLibrary) -> None:
        self._library = library
        self._formats = {fmt: self._bind_format(fmt) for fmt in FORMATS}

    def temp_bytes(
        self, fmt: str, algorithm: int, n: int, max_chunk: int, max_total: int, stream: Any = None
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
        args: list[Any] = [n, max_chunk, _Options(algorithm), byref(nbytes), max_total]
        if self._library.version[0] >= 6:
            args.append(_pointer(stream))
        self._check(self._formats[fmt]["temp"](*args), f"temporary size to make {n} {fmt} streams")
        return nbytes.value

    def bound(self, fmt: str, algorithm: int, max_chunk: int) -> int:
        """Return the most bytes that ``max_chunk`` bytes may be compressed to."""
        nbytes = c_size_t(0)
        status = self._formats[fmt]["bound"](max_chunk, _Options(algorithm), byref(nbytes))
        self._check(status, f"size of {fmt} streams of {max_chunk} bytes")
        return nbytes.value

    def alignments(self, fmt: str, algorithm: int) -> tuple[int, int, int]:
        """Return the alignments in bytes of (input, output, temp) that compression requires."""
        found = _Alignments()
        status = self._formats[fmt]["alignments"](_Options(algorithm), byref(found))
        self._check(status, f"alignments to make {fmt}")
        return found.input, found.output, found.temp

    def compress(
        self,
        fmt: str,
        algorithm: int,
        in_ptrs: int,
        in_bytes: int,
        max_chunk: int,
        n: int,
        temp: int,
        temp_bytes: int,
        out_ptrs: int,
        out_bytes: int,
        statuses: int,
        stream: Any,
    ) -> None:
        """Queue one batched compression on ``stream``; see ``cuda.runtime.NvComp``."""
        status = self._formats[fmt]["compress"](
            in_ptrs, in_bytes, max_chunk, n, temp, temp_bytes, out_ptrs, out_bytes,
            _Options(algorithm), statuses, _pointer(stream),
        )  # fmt: skip
        self._check(status, f"compression of {n} {fmt} streams")

    def _bind_format(self, fmt: str) -> dict[str, Any]:
        bind, prefix = self._library._bind, f"nvcompBatched{fmt}Compress"
        temp = [c_size_t, c_size_t, _Options, POINTER(c_size_t), c_size_t]
        name = "GetTempSizeAsync"
        if self._library.version[0] >= 6:
            temp.append(c_void_p)
            name = "GetTempSize"
        batch = [c_void_p] * 2 + [c_size_t] * 2 + [c_void_p, c_size_t] + [c_void_p] * 2
        return {
            "temp": bind(prefix + name, temp),
            "bound": bind(
                prefix + "GetMaxOutputChunkSize", [c_size_t, _Options, POINTER(c_size_t)]
            ),
            "alignments": bind(prefix + "GetRequiredAlignments", [_Options, POINTER(_Alignments)]),
            "compress": bind(prefix + "Async", [*batch, _Options, c_void_p, c_void_p]),
        }

    def _check(self, status: int, what: str) -> None:
        self._library._check(status, what)


class _Options(Structure):
    _fields_ = (("algorithm", c_int32), ("reserved", c_uint8 * 60))


class _Alignments(Structure):
    _fields_ = (("input", c_size_t), ("output", c_size_t), ("temp", c_size_t))


def _pointer(stream: Any) -> int:
    return 0 if stream is None else int(getattr(stream, "ptr", stream))
