"""Every public name of zarr-python 3 and 2 is here, or is left out with a reason.

The names of zarr-python 3.4 or newer are asked of it where it is installed; those of 2.18 are
written down, since both cannot be.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

import cuzarr
from cuzarr import aio, former

zarr = pytest.importorskip("zarr", minversion="3.4")
pytestmark = pytest.mark.interop

NO_PIPELINE = "the engine is no part that could be exchanged"
NO_BUFFERS = "arrays are NumPy and CuPy arrays, chosen by device="
TYPING = "a name for annotations of metadata documents"
NO_REGISTRY = "data types are NumPy's; a package adds one to NumPy, not to cuzarr"
SYNC_ONLY = "part of zarr-python's synchronous fast path; stores of cuzarr are synchronous"

LEFT_OUT = {
    "storage.ManagedMemoryStore": "memory:// is fsspec's; pass a dict or a MemoryStore",
    "codecs.numcodecs._NumcodecsArrayArrayCodec": "a private base of theirs",
    "codecs.numcodecs._NumcodecsArrayBytesCodec": "a private base of theirs",
    "codecs.numcodecs._NumcodecsBytesBytesCodec": "a private base of theirs",
    "codecs.numcodecs._NumcodecsCodec": "a private base of theirs",
    "abc.store.ByteGetter": SYNC_ONLY,
    "abc.store.ByteSetter": SYNC_ONLY,
    "abc.store.SupportsDeleteSync": SYNC_ONLY,
    "abc.store.SupportsGetSync": SYNC_ONLY,
    "abc.store.SupportsSetSync": SYNC_ONLY,
    "abc.store.SupportsSyncStore": SYNC_ONLY,
    "abc.store.SyncByteGetter": SYNC_ONLY,
    "abc.store.SyncByteSetter": SYNC_ONLY,
    "abc.store.set_or_delete": "two calls of a store",
    "abc.codec.ArrayBytesCodecPartialDecodeMixin": "shards are addressed by the engine",
    "abc.codec.ArrayBytesCodecPartialEncodeMixin": "shards are addressed by the engine",
    "abc.codec.CodecInput": NO_BUFFERS,
    "abc.codec.CodecOutput": NO_BUFFERS,
    "abc.codec.CodecPipeline": NO_PIPELINE,
    "abc.codec.GetResult": NO_PIPELINE,
    "abc.codec.SupportsSyncCodec": "every codec here is synchronous",
    "abc.buffer.ArrayLike": TYPING,
    "abc.buffer.NDArrayLike": TYPING,
    "abc.buffer.NDBuffer": NO_BUFFERS,
    "buffer.cpu.NDBuffer": NO_BUFFERS,
    "buffer.cpu.as_numpy_array_wrapper": NO_BUFFERS,
    "buffer.gpu.NDBuffer": NO_BUFFERS,
    "registry.Registry": NO_PIPELINE,
    "registry.get_buffer_class": NO_BUFFERS,
    "registry.get_ndbuffer_class": NO_BUFFERS,
    "registry.get_pipeline_class": NO_PIPELINE,
    "registry.get_chunk_key_encoding_class": "there are the two encodings of the specification",
    "registry.register_buffer": NO_BUFFERS,
    "registry.register_ndbuffer": NO_BUFFERS,
    "registry.register_pipeline": NO_PIPELINE,
    "registry.register_chunk_key_encoding": "there are the two encodings of the specification",
    "dtype.data_type_registry": NO_REGISTRY,
    "dtype.check_dtype_spec_v2": TYPING,
    "dtype.check_dtype_spec_no_object_codec_v2": TYPING,
    "dtype.DTypeSpec_V2": TYPING,
    "Array.from_dict": "metadata is read from a store, or given to create_hierarchy",
    "AsyncArray.from_dict": "metadata is read from a store, or given to create_hierarchy",
    "AsyncGroup.from_dict": "metadata is read from a store, or given to create_hierarchy",
    "AsyncGroup.synchronizer": "always None there",
    "Group.synchronizer": "always None there",
}  # fmt: skip
for name in getattr(importlib.import_module("zarr.dtype"), "__all__", ()):
    if "JSON" in name:
        LEFT_OUT[f"dtype.{name}"] = TYPING

MODULES = [
    "storage", "codecs", "codecs.numcodecs", "errors", "dtype", "registry", "experimental",
    "types", "buffer",
    "buffer.cpu", "buffer.gpu", "api.synchronous", "api.asynchronous", "abc.store", "abc.codec",
    "abc.metadata", "abc.buffer",
]  # fmt: skip

ARRAY_2 = """
append astype attrs basename blocks cdata_shape chunk_store chunks compressor digest dtype
fill_value filters get_basic_selection get_block_selection get_coordinate_selection
get_mask_selection get_orthogonal_selection hexdigest info info_items initialized is_view islice
itemsize meta_array name nbytes nbytes_stored nchunks nchunks_initialized ndim oindex order path
read_only resize set_basic_selection set_block_selection set_coordinate_selection
set_mask_selection set_orthogonal_selection shape size store synchronizer view vindex
write_empty_chunks
"""
GROUP_2 = """
array array_keys arrays attrs basename chunk_store clear create create_dataset create_group
create_groups empty empty_like full full_like get group_keys groups info info_items items keys
meta_array move name ones ones_like path pop popitem read_only require_dataset require_group
require_groups setdefault store synchronizer tree update values visit visititems visitkeys
visitvalues zeros zeros_like
"""
TOP_2 = """
AsType BZ2 Base64 BitRound Blosc CRC32 Adler32 Categorize Delta FixedScaleOffset GZip JSON LZ4 LZMA
MsgPack PackBits Pickle Quantize Shuffle VLenArray VLenBytes VLenUTF8 Zlib Zstd get_codec
Array CopyError DirectoryStore Group MemoryStore ZipStore array config consolidate_metadata copy
copy_all copy_store create empty empty_like full full_like group load ones ones_like open
open_array open_consolidated open_group open_like save save_array save_group storage tree zeros
zeros_like
"""
ONE_STORE = "metadata and chunks are in one store"
LEFT_OUT_2 = {
    "chunk_store": ONE_STORE,
    "meta_array": "device= chooses between NumPy and CuPy",
    "synchronizer": "chunks are replaced whole; there are no locks",
    "view": "reads stored bytes as something else; NumPy's views of what was read do that",
}


#: Names of ``zarr`` and ``zarr.storage`` in 2.18 that are gone; asked for, they say so.
GONE_2 = """
ABSStore DBMStore FSStore LMDBStore LRUStoreCache MongoDBStore N5FSStore N5Store
NestedDirectoryStore ProcessSynchronizer RedisStore SQLiteStore TempStore ThreadSynchronizer
"""


def public(module: object) -> list[str]:
    names = getattr(module, "__all__", None)
    return sorted(names or (name for name in vars(module) if not name.startswith("_")))


@pytest.mark.parametrize("path", MODULES)
def test_modules(path: str) -> None:
    theirs = importlib.import_module(f"zarr.{path}")
    ours = importlib.import_module(f"cuzarr.{path}")
    missing = {name for name in public(theirs) if not hasattr(ours, name)}
    reasons = {name for name in missing if f"{path}.{name}" in LEFT_OUT}
    assert missing - reasons == set()


def test_top() -> None:
    assert {name for name in zarr.__all__ if not hasattr(cuzarr, name)} == set()
    assert {name for name in TOP_2.split() if not hasattr(cuzarr, name)} == set()


@pytest.mark.parametrize("name", GONE_2.split())
def test_what_is_gone_says_what_to_take_instead(name: str) -> None:
    assert set(GONE_2.split()) == former.GONE.keys()
    for module in (cuzarr, cuzarr.storage):
        with pytest.raises(AttributeError, match=rf"no attribute '{name}' \(\w"):
            getattr(module, name)


@pytest.mark.parametrize("name", ["Array", "Group", "AsyncArray", "AsyncGroup"])
def test_attributes(name: str) -> None:
    theirs, ours = getattr(zarr, name), getattr(cuzarr, name)
    wraps = {"AsyncArray": cuzarr.Array, "AsyncGroup": cuzarr.Group}.get(name, ours)
    missing = set()
    for member in dir(theirs):
        if member.startswith("_"):
            continue
        # Attributes that need no store come from the array or group that is wrapped.
        found = hasattr(ours, member) or isinstance(
            inspect.getattr_static(wraps, member, None), property
        )
        if not found and f"{name}.{member}" not in LEFT_OUT:
            missing.add(member)
    assert missing == set()


@pytest.mark.parametrize(("cls", "names"), [(cuzarr.Array, ARRAY_2), (cuzarr.Group, GROUP_2)])
def test_attributes_of_2(cls: type, names: str) -> None:
    missing = {name for name in names.split() if not hasattr(cls, name)}
    assert missing <= set(LEFT_OUT_2)


def test_nothing_is_left_out_that_is_here() -> None:
    for path in LEFT_OUT:
        where, _, name = path.rpartition(".")
        owner = getattr(cuzarr, where, None) or importlib.import_module(f"cuzarr.{where}")
        assert not hasattr(owner, name), path
    for name in LEFT_OUT_2:
        assert not hasattr(cuzarr.Array, name)
        assert not hasattr(cuzarr.Group, name)


def test_awaitable_where_theirs_is() -> None:
    """What has to be awaited there has to be awaited here, and nothing else."""
    for name in ("AsyncArray", "AsyncGroup"):
        for member, method in inspect.getmembers(getattr(zarr, name)):
            ours = inspect.getattr_static(getattr(aio, name), member, None)
            if member.startswith("_") or ours is None:
                continue
            ours = getattr(getattr(aio, name), member)
            for kind in (inspect.iscoroutinefunction, inspect.isasyncgenfunction):
                assert kind(ours) == kind(method), f"{name}.{member}"


def accepted(function: Any) -> set[str] | None:
    """Return the names of the parameters, or None where any keyword is taken."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return {p.name for p in parameters}


def refused(theirs: Any, ours: Any) -> set[str]:
    """Return the parameters of theirs that ours do not take."""
    names = accepted(ours)
    if names is None or not callable(theirs):
        return set()
    parameters = inspect.signature(theirs).parameters.values()
    return {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)} - names


PARAMETERS_LEFT_OUT = {
    "open_consolidated.use_consolidated": "which key to read is found out",
}


@pytest.mark.parametrize("name", zarr.api.synchronous.__all__)
def test_parameters_of_functions(name: str) -> None:
    missing = refused(getattr(zarr, name), getattr(cuzarr, name))
    assert {p for p in missing if f"{name}.{p}" not in PARAMETERS_LEFT_OUT} == set()


@pytest.mark.parametrize("name", ["Array", "Group", "AsyncArray", "AsyncGroup"])
def test_parameters_of_methods(name: str) -> None:
    problems = {}
    for member, theirs in inspect.getmembers(getattr(zarr, name), callable):
        ours = getattr(getattr(cuzarr, name), member, None)
        if member.startswith("_") or ours is None:
            continue
        missing = refused(theirs, ours)
        missing = {p for p in missing if f"{name}.{member}.{p}" not in PARAMETERS_LEFT_OUT}
        if missing:
            problems[member] = missing
    assert problems == {}
