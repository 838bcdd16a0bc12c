# The C extension; cuzarr.native.calls documents what each function does.

from typing import Any

def read_files(
    root: bytes,
    keys: bytes,
    offsets: Any,
    starts: Any,
    lengths: Any,
    slab: Any,
    threads: int,
    positions: Any,
    sizes: Any,
    statuses: Any,
    /,
) -> int: ...
def format_keys(
    prefix: bytes,
    coords: Any,
    n: int,
    d: int,
    is_default: int,
    separator: int,
    suffix: bytes,
    offsets: Any,
    /,
) -> bytes: ...
def copy_rows(scatter: bool, chunk_ptrs: Any, rows: tuple[Any, ...], /) -> None: ...
def read_wave(
    source: tuple[Any, ...],
    present: Any,
    codec: int,
    crc32c: bool,
    nbytes: int,
    limit: int,
    shape: Any,
    rows: tuple[Any, ...],
    threads: int,
    statuses: Any,
    /,
) -> None: ...
def write_wave(
    root: bytes,
    keys: bytes,
    offsets: Any,
    temporary: bytes,
    codec: int,
    crc32c: bool,
    nbytes: int,
    shape: Any,
    parameters: tuple[int | str, ...],
    rows: tuple[Any, ...],
    write_empty: bool,
    threads: int,
    shards: tuple[Any, ...] | None,
    statuses: Any,
    /,
) -> None: ...
def set_codecs(
    lz4: int,
    lz4_partial: int,
    zstd_create: int,
    zstd_free: int,
    zstd: int,
    zstd_begin: int,
    zstd_step: int,
    zstd_continue: int,
    blosclz: int,
    zlib: int,
    zstd_encoder: int,
    zstd_encoder_free: int,
    zstd_encoder_size: int,
    zstd_set: int,
    zstd_bound: int,
    zstd_encode: int,
    blosc_encode: int,
    /,
) -> None: ...
def decode_batch(
    codec: int,
    crc32c: bool,
    src_ptrs: Any,
    src_sizes: Any,
    dst_ptrs: Any,
    dst_size: int,
    lo: Any,
    hi: Any,
    statuses: Any,
    /,
) -> None: ...
def blosc_count(
    ptrs: Any,
    sizes: Any,
    nbytes: int,
    statuses: Any,
    counts: Any,
    form: Any,
    shuffle: Any,
    memcpyed: Any,
    typesize: Any,
    blocksize: Any,
    /,
) -> None: ...
def blosc_fill(
    ptrs: Any,
    sizes: Any,
    first: Any,
    chunk: Any,
    source: Any,
    source_size: Any,
    destination: Any,
    destination_size: Any,
    raw: Any,
    /,
) -> None: ...
def zstd_frames(
    ptrs: Any,
    sizes: Any,
    statuses: Any,
    frames: Any,
    skippable: Any,
    checksums: Any,
    content_size: Any,
    window_size: Any,
    dictionary: Any,
    /,
) -> None: ...
def zstd_compress(data: Any, level: int, checksum: bool, /) -> bytes | None: ...
def crc32c(data: Any, /) -> int: ...
def find_values(
    mapping: Any,
    keys: bytes,
    offsets: Any,
    starts: Any,
    lengths: Any,
    pointers: Any,
    sizes: Any,
    statuses: Any,
    /,
) -> list[Any]: ...
def value_addresses(values: Any, pointers: Any, sizes: Any, statuses: Any, /) -> list[Any]: ...
def copy_values(pointers: Any, sizes: Any, positions: Any, slab: Any, threads: int, /) -> None: ...
