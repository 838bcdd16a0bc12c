"""Codec functions in the extension modules of numcodecs, and of a newer zstd.

1. numcodecs ships its codecs compiled into its extension modules, whose C symbols are visible.
   They are looked up in the module that is already loaded: no second copy, no build dependency.
   Frames of zstd are made by the newest library among theirs and that of ``backports.zstd``.
2. Each is tried on a small known vector before its address is handed to the C side.
3. What is missing, or answers wrongly, is left out: callers then use numcodecs itself.
"""

from __future__ import annotations

import ctypes
import importlib
import zlib
from dataclasses import astuple, dataclass

_TEXT = b"cuzarr cuzarr cuzarr cuzarr cuzarr cuzarr"
# one LZ4 block: 7 literals, a match of length 33 at offset 7, then the last literal
_LZ4 = bytes.fromhex("7f") + b"cuzarr " + bytes.fromhex("0700 0a") + b"\x50" + b"uzarr"
# one zstd frame of one run-length block: 41 times "c"
_ZSTD = bytes.fromhex("28b52ffd 20 29 4b0100 63")
# one blosclz stream: 41 literals, as two runs
_BLOSCLZ = b"\x1f" + _TEXT[:32] + b"\x08" + _TEXT[32:]


@dataclass(frozen=True)
class Functions:
    """Addresses of the codec functions; 0 = not available."""

    lz4: int = 0
    lz4_partial: int = 0
    zstd_create: int = 0
    zstd_free: int = 0
    zstd: int = 0
    zstd_begin: int = 0
    zstd_step: int = 0
    zstd_continue: int = 0
    blosclz: int = 0
    zlib: int = 0
    zstd_encoder: int = 0
    zstd_encoder_free: int = 0
    zstd_encoder_size: int = 0
    zstd_set: int = 0
    zstd_bound: int = 0
    zstd_encode: int = 0
    blosc_encode: int = 0

    def addresses(self) -> tuple[int, ...]:
        """Return them in the order of ``set_codecs``."""
        return astuple(self)

    @property
    def codecs(self) -> frozenset[str]:
        """Codecs of ``decode_batch`` that they make possible."""
        found = {"raw"}
        if self.lz4:
            found.add("lz4")
        if self.zstd:
            found.add("zstd")
        if self.lz4 and self.zstd and self.blosclz and self.zlib:
            found.add("blosc")
        return frozenset(found)

    @property
    def encoders(self) -> frozenset[str]:
        """Codecs of ``write_wave`` that they make possible."""
        found = {"raw"}
        if self.zstd_encode:
            found.add("zstd")
        if self.blosc_encode:
            found.add("blosc")
        return frozenset(found)


def find_functions() -> Functions:
    """Look the functions up and try each."""
    libraries = [
        library
        for name in ("numcodecs.blosc", "numcodecs.zstd", "numcodecs.lz4")
        if (library := _library(name)) is not None
    ]
    found: dict[str, int] = {}
    for library in libraries:
        if "lz4" not in found and _lz4_works(library):
            found["lz4"] = _address(library, "LZ4_decompress_safe")
        if "lz4_partial" not in found and _lz4_partial_works(library):
            found["lz4_partial"] = _address(library, "LZ4_decompress_safe_partial")
        if "zstd" not in found and _zstd_works(library):
            found["zstd_create"] = _address(library, "ZSTD_createDCtx")
            found["zstd_free"] = _address(library, "ZSTD_freeDCtx")
            found["zstd"] = _address(library, "ZSTD_decompressDCtx")
            if _zstd_steps_work(library):
                found["zstd_begin"] = _address(library, "ZSTD_decompressBegin")
                found["zstd_step"] = _address(library, "ZSTD_nextSrcSizeToDecompress")
                found["zstd_continue"] = _address(library, "ZSTD_decompressContinue")
        if "blosclz" not in found and _blosclz_works(library):
            found["blosclz"] = _address(library, "blosclz_decompress")
        if "blosc_encode" not in found and _blosc_encodes(library):
            found["blosc_encode"] = _address(library, "blosc_compress_ctx")
        if "zlib" not in found and _zlib_works(library):
            found["zlib"] = _address(library, "uncompress")
    newest = 0
    for library in (*libraries, _library("backports.zstd._zstd")):
        if library is not None and _zstd_encodes(library):
            version = int(library["ZSTD_versionNumber"]())
            if version > newest:
                newest = version
                found |= {name: _address(library, s) for name, s in _ZSTD_ENCODER.items()}
    return Functions(**found)


def _library(name: str) -> ctypes.CDLL | None:
    try:
        path = importlib.import_module(name).__file__
        return None if path is None else ctypes.CDLL(path)
    except (ImportError, OSError):
        return None


def _address(library: ctypes.CDLL, symbol: str) -> int:
    return ctypes.cast(library[symbol], ctypes.c_void_p).value or 0


def _lz4_works(library: ctypes.CDLL) -> bool:
    try:
        function = library["LZ4_decompress_safe"]
    except AttributeError:
        return False
    function.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
    out = ctypes.create_string_buffer(len(_TEXT) + 16)
    good = function(_LZ4, out, len(_LZ4), len(_TEXT))
    short = function(_LZ4, ctypes.create_string_buffer(64), len(_LZ4) - 1, len(_TEXT))
    return good == len(_TEXT) and out.raw[:good] == _TEXT and short != len(_TEXT)


def _lz4_partial_works(library: ctypes.CDLL) -> bool:
    try:
        function = library["LZ4_decompress_safe_partial"]
    except AttributeError:
        return False
    function.argtypes = (
        ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int,
    )  # fmt: skip
    # LZ4 before 1.9 stopped where a sequence ends, and returned more or less than was wanted
    for wanted in (3, 7, 20, 40):
        out = ctypes.create_string_buffer(64)
        if function(_LZ4, out, len(_LZ4), wanted, wanted) != wanted:
            return False
        if out.raw != _TEXT[:wanted] + bytes(64 - wanted):
            return False
    return True


def _zstd_works(library: ctypes.CDLL) -> bool:
    try:
        create, free = library["ZSTD_createDCtx"], library["ZSTD_freeDCtx"]
        decode = library["ZSTD_decompressDCtx"]
    except AttributeError:
        return False
    create.argtypes, create.restype = (), ctypes.c_void_p
    free.argtypes, free.restype = (ctypes.c_void_p,), ctypes.c_size_t
    decode.argtypes = (
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t,
    )  # fmt: skip
    decode.restype = ctypes.c_size_t
    context = create()
    if not context:
        return False
    out = ctypes.create_string_buffer(64)
    good = decode(context, out, 41, _ZSTD, len(_ZSTD))
    short = decode(context, ctypes.create_string_buffer(64), 40, _ZSTD, len(_ZSTD))
    free(context)
    too_small = ctypes.c_size_t(-70).value  # ZSTD_error_dstSize_tooSmall
    return good == 41 and out.raw[:41] == b"c" * 41 and short == too_small


def _zstd_steps_work(library: ctypes.CDLL) -> bool:
    try:
        begin, step = library["ZSTD_decompressBegin"], library["ZSTD_nextSrcSizeToDecompress"]
        proceed, create = library["ZSTD_decompressContinue"], library["ZSTD_createDCtx"]
        free = library["ZSTD_freeDCtx"]
    except AttributeError:
        return False
    create.argtypes, create.restype = (), ctypes.c_void_p
    for function in (begin, step, free):
        function.argtypes, function.restype = (ctypes.c_void_p,), ctypes.c_size_t
    proceed.argtypes = (
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t,
    )  # fmt: skip
    proceed.restype = ctypes.c_size_t
    context = create()
    if not context:
        return False
    out = ctypes.create_string_buffer(64)
    at, done = 0, 0
    good = begin(context) == 0
    # frame header in two steps, block header, block
    for _ in range(4):
        size = step(context)
        good = good and 0 < size <= len(_ZSTD) - at
        if not good:
            break
        done += proceed(context, ctypes.addressof(out) + done, 41 - done, _ZSTD[at:], size)
        good, at = done in (0, 41), at + size
    good = good and done == 41 and at == len(_ZSTD) and out.raw[:41] == b"c" * 41
    free(context)
    return bool(good)


_ZSTD_ENCODER = {
    "zstd_encoder": "ZSTD_createCCtx",
    "zstd_encoder_free": "ZSTD_freeCCtx",
    "zstd_encoder_size": "ZSTD_sizeof_CCtx",
    "zstd_set": "ZSTD_CCtx_setParameter",
    "zstd_bound": "ZSTD_compressBound",
    "zstd_encode": "ZSTD_compress2",
}


def _zstd_encodes(library: ctypes.CDLL) -> bool:
    """Whether parameters have the numbers they should, and frames state their content size."""
    try:
        create, free, held, put, bound, encode = (library[name] for name in _ZSTD_ENCODER.values())
        library["ZSTD_versionNumber"].argtypes = ()
    except AttributeError:
        return False
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    create.argtypes, create.restype = (), pointer
    for function in (free, held):
        function.argtypes, function.restype = (pointer,), size
    put.argtypes, put.restype = (pointer, ctypes.c_int, ctypes.c_int), size
    bound.argtypes, bound.restype = (size,), size
    encode.argtypes, encode.restype = (pointer, pointer, size, ctypes.c_char_p, size), size
    context = create()
    if not context:
        return False
    # what was set comes back; errors are small negative numbers
    good = put(context, 100, 1) == 1 and put(context, 201, 1) == 1 and held(context) > 0
    room = bound(len(_TEXT))
    out = ctypes.create_string_buffer(room)
    packed = encode(context, out, room, _TEXT, len(_TEXT)) if good else 0
    free(context)
    frame = out.raw[: min(packed, room)]
    # one segment, a checksum, one byte of content size (RFC 8878, section 3.1.1.1)
    return frame[:6] == bytes.fromhex("28b52ffd 24") + bytes([len(_TEXT)])


def _blosc_encodes(library: ctypes.CDLL) -> bool:
    """Whether it makes a container of the header that it should (README_CHUNK_FORMAT)."""
    try:
        function = library["blosc_compress_ctx"]
    except AttributeError:
        return False
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    function.argtypes = (
        number, number, size, size, ctypes.c_char_p, pointer, size, ctypes.c_char_p, size, number,
    )  # fmt: skip
    data = _TEXT * 8
    out = ctypes.create_string_buffer(len(data) + 16)
    packed = function(5, 0, 1, len(data), data, out, len(data) + 16, b"blosclz", 0, 1)
    header = out.raw[:16]
    return (
        16 < packed <= len(data) + 16
        and (header[0], header[3]) == (2, 1)
        and int.from_bytes(header[4:8], "little") == len(data)
        and int.from_bytes(header[12:16], "little") == packed
    )


def _blosclz_works(library: ctypes.CDLL) -> bool:
    try:
        function = library["blosclz_decompress"]
    except AttributeError:
        return False
    function.argtypes = (ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    out = ctypes.create_string_buffer(64)
    good = function(_BLOSCLZ, len(_BLOSCLZ), out, len(_TEXT))
    return good == len(_TEXT) and out.raw[:good] == _TEXT


def _zlib_works(library: ctypes.CDLL) -> bool:
    try:
        function = library["uncompress"]
    except AttributeError:
        return False
    function.argtypes = (
        ctypes.c_void_p, ctypes.POINTER(ctypes.c_ulong), ctypes.c_char_p, ctypes.c_ulong,
    )  # fmt: skip
    data, size = zlib.compress(_TEXT), ctypes.c_ulong(len(_TEXT))
    out = ctypes.create_string_buffer(64)
    good = function(out, ctypes.byref(size), data, len(data))
    return good == 0 and out.raw[: size.value] == _TEXT
