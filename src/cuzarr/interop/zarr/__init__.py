"""zarr-python: its arrays decoded by cuzarr, and stores of cuzarr as stores of zarr-python.

1. ``zarr.config.set({"codec_pipeline.path": "cuzarr.interop.zarr.CodecPipeline"})`` makes
   zarr-python decode and encode with :class:`CodecPipeline`.
2. ``zarr.open(as_zarr_store(store))`` opens any store of cuzarr.

The other way round needs no call: every function of cuzarr that takes a store takes one of
zarr-python.
"""

from __future__ import annotations

from cuzarr.errors import MissingPackageError

try:
    import zarr as _zarr  # noqa: F401
except ImportError as error:
    raise MissingPackageError("cuzarr.interop.zarr needs the package zarr: pip install zarr>=3") \
        from error  # fmt: skip

from cuzarr.interop.zarr.pipeline import CodecPipeline
from cuzarr.interop.zarr.store import ZarrStore, as_zarr_store

__all__ = ["CodecPipeline", "ZarrStore", "as_zarr_store"]
