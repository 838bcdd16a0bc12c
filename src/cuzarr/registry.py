"""Codecs by name, under the import path of zarr-python."""

from cuzarr.codecs.registry import codec_class as get_codec_class
from cuzarr.codecs.registry import register_codec, registered_codecs

__all__ = ["get_codec_class", "register_codec", "registered_codecs"]
