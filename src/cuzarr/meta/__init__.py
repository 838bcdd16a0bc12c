"""Metadata: documents of both formats to and from the frozen specs of :mod:`cuzarr.meta.spec`.

1. :func:`load_json`, :func:`dump_json` and :func:`dump_shaped` are the text of a document.
2. :mod:`cuzarr.meta.v2` and :mod:`cuzarr.meta.v3` translate documents to specs and back.
3. :mod:`cuzarr.meta.create` describes a new array from a user's arguments.
"""

from __future__ import annotations

from cuzarr.meta import codec_specs, create, v2, v3
from cuzarr.meta.chunking import default_chunks
from cuzarr.meta.text import dump_json, dump_shaped, load_json

__all__ = [
    "codec_specs", "create", "default_chunks", "dump_json", "dump_shaped", "load_json", "v2", "v3",
]  # fmt: skip
