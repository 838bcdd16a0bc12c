"""Codecs: what to derive from, and register with ``cuzarr.registry.register_codec``.

The methods differ from those of zarr-python: a codec here works on one chunk, without ``await``;
batches and threads are the engine's. See ``cuzarr.codecs.base``.
"""

from cuzarr.codecs.base import ArrayArrayCodec, ArrayBytesCodec, BytesBytesCodec
from cuzarr.codecs.base import Codec as BaseCodec

__all__ = ["ArrayArrayCodec", "ArrayBytesCodec", "BaseCodec", "BytesBytesCodec"]
