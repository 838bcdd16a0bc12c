"""The frozen outputs of numcodecs' own codecs: ours decode them, and numcodecs decodes ours.

1. A folder of fixtures holds arrays and, for each configuration of a codec, their encoded bytes.
2. The chain of the one codec, as a v2 array with it would have, decodes each to its array, and
   encodes the array to something that numcodecs decodes to it.
3. :data:`REFUSED` lists what no implementation can read; the error is that of unknown codecs.

The data is not part of the repository: see ``test_real_data.py``.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numcodecs
import numcodecs.registry
import numpy as np
import pytest

import cuzarr
from cuzarr.codecs.base import ChunkType
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.registry import build_codecs
from cuzarr.errors import ChunkEncodeError, CuzarrError, UnknownCodecError
from cuzarr.meta import codec_specs
from cuzarr.meta.problems import Problems

DATA = Path(
    os.environ.get("CUZARR_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")
).resolve()
FIXTURES = DATA / "numcodecs" / "fixture"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no fixtures in {DATA}")

#: Relative errors of codecs that round.
LOSSY = {"quantize": 0.6, "fixedscaleoffset": 0.1, "astype": 1e-3, "zfpy": 1e-3}
#: Codecs that no implementation reads, and why.
REFUSED = {"json": "json2 replaced it, and numcodecs has dropped it"}
#: Codecs that numcodecs has only beside another package.
OPTIONAL = {"msgpack2", "pcodec", "zfpy", "crc32c"}


def fixtures() -> list[str]:
    """Return the paths of encoded chunks."""
    return sorted(str(path.relative_to(FIXTURES)) for path in FIXTURES.rglob("encoded.*.dat"))


def load(path: str) -> tuple[dict[str, Any], np.ndarray, bytes]:
    """Return configuration, array and encoded bytes."""
    encoded = FIXTURES / path
    config = json.loads((encoded.parent / "config.json").read_text())
    name = encoded.name.replace("encoded", "array").replace(".dat", ".npy")
    # The arrays of objects are pickled: they come with the tests.
    array = np.load(encoded.parent.parent / name, allow_pickle=True)
    return config, array, encoded.read_bytes()


def chain_of(config: dict[str, Any], array: np.ndarray) -> CodecChain:
    """Return the chain of a v2 array with this one codec; a Fortran array has order F."""
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    problems = Problems(".zarray")
    filters = [config] if is_filter(config) else None
    compressor = None if filters else config
    order = "F" if fortran else "C"
    specs = codec_specs.from_v2(compressor, filters, order, array.dtype, array.ndim, problems)
    problems.raise_if_any()
    fill = None if array.dtype.hasobject else np.zeros(1, array.dtype)[0]
    return CodecChain.bind(
        build_codecs(".zarray", specs), ChunkType(array.shape, array.dtype, fill)
    )


def is_filter(config: dict[str, Any]) -> bool:
    return config["id"] in codec_specs.SERIALIZERS | codec_specs.ARRAYS


def same(found: np.ndarray, expected: np.ndarray, config: dict[str, Any]) -> bool:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    if expected.dtype.hasobject:
        return all(
            np.array_equal(a, b) if isinstance(b, np.ndarray) else a == b or (a != a and b != b)
            for a, b in zip(found.flat, expected.flat, strict=True)
        )
    if config["id"] in LOSSY:
        return np.allclose(
            found.astype("f8"), expected.astype("f8"), rtol=LOSSY[config["id"]], atol=10
        )
    return found.tobytes() == expected.tobytes()


def installed(identifier: str) -> bool:
    registry = numcodecs.registry
    return identifier in registry.codec_registry or identifier in registry.entries


@pytest.mark.parametrize("path", fixtures())
def test_fixture(path: str) -> None:
    config, array, encoded = load(path)
    if not installed(config["id"]):
        with pytest.raises(UnknownCodecError, match="unknown codec"):
            chain_of(config, array).decode(path, encoded)
        return
    with cuzarr.config.set({"allow_pickle": True}):
        chain = chain_of(config, array)
        assert same(np.asarray(chain.decode(path, encoded)), array, config)
        problem = what_numcodecs_cannot_write(config, array)
        if problem is not None:
            with pytest.raises(ChunkEncodeError, match=re.escape(problem)):
                chain.encode(path, array)
            return
        ours = chain.encode(path, array)
        assert same(np.asarray(chain.decode(path, ours)), array, config)
    if config["id"] != "pickle":
        found = numcodecs.get_codec(config).decode(bytes(ours))
        assert same(as_array(found, array), array, config)


def what_numcodecs_cannot_write(config: dict[str, Any], array: np.ndarray) -> str | None:
    """Return its error: it may be built without a compressor, or beside an older package."""
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    try:
        numcodecs.get_codec(config).encode(array.T if fortran else array)
    except Exception as error:
        return str(error)
    return None


def as_array(found: Any, like: np.ndarray) -> np.ndarray:
    """Return what numcodecs decoded as an array, as Zarr v2 does."""
    flat = np.frombuffer(found, np.uint8) if isinstance(found, bytes) else np.asarray(found)
    flat = flat.reshape(-1, order="A")
    flat = flat.view(like.dtype) if not like.dtype.hasobject else flat
    fortran = like.flags.f_contiguous and not like.flags.c_contiguous
    return flat.reshape(like.shape, order="F" if fortran else "C")


@pytest.mark.parametrize("path", [p for p in fixtures() if p.startswith("pickle")])
def test_pickles_need_permission(path: str) -> None:
    config, array, encoded = load(path)
    with pytest.raises(CuzarrError, match="allow_pickle"):
        chain_of(config, array).decode(path, encoded)


def test_the_list_of_refused_codecs_is_exact() -> None:
    ids = {load(path)[0]["id"] for path in fixtures()}
    assert {"blosc", "zstd", "vlen-utf8", "pickle", "delta"} <= ids
    assert {name for name in ids if not installed(name)} - OPTIONAL == set(REFUSED)
