"""Fields of structured elements.

1. :func:`check_fields` and :func:`fields_dtype` say what a user's ``fields`` select.
2. :class:`FieldsChain` is a chain whose chunks are read as these fields alone; writing them needs
   no other chain, since the rest of each element is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import Bytes, ChunkType
from cuzarr.codecs.chain import CodecChain
from cuzarr.errors import SelectionError
from cuzarr.meta.dtypes import packed

Fields = str | list[str]  #: one field, or several as a structured type


@dataclass(frozen=True)
class FieldsChain(CodecChain):
    """A chain that decodes chunks and gives some fields of their elements.

    Attributes
    ----------
    fields : str or list of str
    """

    fields: Fields = ""

    @classmethod
    def of(cls, chain: CodecChain, fields: Fields) -> FieldsChain:
        """Make one of the chain of the whole elements."""
        dtype = fields_dtype(fields, chain.chunk.dtype)
        fill: Any = np.array(chain.chunk.fill_value, chain.chunk.dtype)[fields][()]
        # Without a layout the chunks are decoded by ``decode``.
        return cls(
            ChunkType(chain.chunk.shape, dtype, fill), chain.array_codecs, chain.serializer,
            chain.serialized, chain.byte_codecs, None, fields,
        )  # fmt: skip

    def decode(self, key: str, data: Bytes) -> npt.NDArray[Any]:
        """Decode one chunk to a view of its fields."""
        found: npt.NDArray[Any] = super().decode(key, data)[self.fields]
        return found


def check_fields(fields: Any, dtype: np.dtype[Any]) -> Fields | None:
    """Return the fields that a user asked for; None for whole elements.

    Raises
    ------
    SelectionError
        The data type has none, or not these.
    """
    if fields is None or (isinstance(fields, (list, tuple)) and not fields):
        return None
    names = [fields] if isinstance(fields, str) else fields
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise SelectionError(f"fields must be a name or a list of names, not {fields!r}"[:120])
    if dtype.names is None:
        raise SelectionError(f"data type {dtype} has no fields; {fields!r} was asked for"[:120])
    for name in names:
        if name not in dtype.names:
            known = ", ".join(dtype.names)
            raise SelectionError(f"there is no field {name!r}; the fields are {known}")
    if len(set(names)) < len(names):
        raise SelectionError(f"a field is named twice: {', '.join(names)}")
    return fields if isinstance(fields, str) else list(names)


def fields_dtype(fields: Fields, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the data type of the fields, several of them packed."""
    return dtype[fields] if isinstance(fields, str) else packed(dtype[fields])
