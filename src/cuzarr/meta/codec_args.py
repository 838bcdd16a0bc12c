"""The codec arguments of a user -> a v3 chain, or the v2 fields.

1. :func:`codec_spec` and :func:`v2_config` turn one codec, however it was given, into a
   :class:`CodecSpec` or a ``{"id": ...}``.
2. :meth:`CodecArguments.chain` puts filters, serializer and compressors together.
3. :func:`complete` fills in what a user may leave out and a document may not: the type size of
   Blosc, the byte order of ``bytes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from cuzarr.meta import codec_specs, dtypes
from cuzarr.meta.problems import Problems, named, show
from cuzarr.meta.spec import JSON, CodecSpec

DType: TypeAlias = np.dtype[Any]

_REFUSED = CodecSpec("")  #: in place of one that is wrong


@dataclass(frozen=True)
class CodecArguments:
    """Codec arguments of one new array; ``"auto"`` where the user named none.

    Attributes
    ----------
    dtype : numpy.dtype
    variable : str or None
        The serializer that a variable-length data type needs.
    codecs, filters, serializer, compressors, compressor, object_codec : object
        As the user gave them.
    order : {"C", "F"}
    ndim : int
    problems : Problems
    """

    dtype: DType
    variable: str | None
    codecs: Any
    filters: Any
    serializer: Any
    compressors: Any
    compressor: Any
    object_codec: Any
    order: str
    ndim: int
    problems: Problems

    def chain(self, default: CodecSpec) -> tuple[CodecSpec, ...]:
        """Return the chain of a v3 array; ``default`` is the compressor if none is named."""
        if self.codecs is not None:
            return self._whole_chain()
        array: list[CodecSpec] = []
        after: list[CodecSpec] = []
        if self.order == "F" and self.ndim > 1:
            array.append(CodecSpec("transpose", {"order": list(range(self.ndim))[::-1]}))
        serializers = self._serializers()
        for i, given in enumerate(_listed(self.filters)):
            spec = self._spec(given, f"filters[{i}]")
            if codec_specs.is_serializer(spec):
                serializers.append(spec)
            else:
                (after if codec_specs.is_bytes_codec(spec) else array).append(spec)
        if len(serializers) > 1:
            names = ", ".join(repr(spec.name) for spec in serializers)
            self.problems.add("serializer", f"more than one is given: {names}")
        for i, given in enumerate(self._compressors(default)):
            spec = self._spec(given, f"compressors[{i}]")
            (serializers if codec_specs.is_serializer(spec) else after).append(spec)
        if not serializers:
            serialized = _dtype_after(array, self.dtype)
            serializers += codec_specs.bytes_codecs(dtypes.native(serialized))
        return complete((*array, *serializers, *after), self.dtype, self.problems)

    def v2_compressor(self, default: dict[str, JSON]) -> dict[str, JSON] | None:
        """Return the ``compressor`` of a v2 array."""
        given = self._compressors(default)
        if len(given) > 1:
            self.problems.add(
                "compressors", f"Zarr v2 has one, {len(given)} are given; use zarr_format=3"
            )
        return v2_config(given[0], self.dtype, "compressor", self.problems) if given else None

    def v2_filters(self) -> list[dict[str, JSON]] | None:
        """Return the ``filters`` of a v2 array."""
        given = [
            v2_config(one, self.dtype, f"filters[{i}]", self.problems)
            for i, one in enumerate(_listed(self.filters))
        ]
        ids = [entry.get("id") for entry in given]
        if self.object_codec is not None:
            first = v2_config(self.object_codec, self.dtype, "object_codec", self.problems)
            given.insert(0, first)
        elif self.variable is not None and self.variable not in ids:
            given.insert(0, {"id": self.variable})
        return given or None

    def refuse_v3_only(self, **others: object) -> None:
        """Note every argument that a v2 array cannot have."""
        given = {"codecs": self.codecs, **others}
        if not _is_auto(self.serializer):
            given["serializer"] = self.serializer
        for name, value in given.items():
            if value is not None and value is not False:
                self.problems.add(name, "does not exist in Zarr v2; use zarr_format=3")

    def _whole_chain(self) -> tuple[CodecSpec, ...]:
        parts = {
            "filters": self.filters, "serializer": self.serializer,
            "compressors": self.compressors, "compressor": self.compressor,
        }  # fmt: skip
        for name, value in parts.items():
            if not _is_auto(value):
                self.problems.add(name, "cannot be given together with 'codecs'")
        if self.order == "F":
            self.problems.add("order", "'F' cannot be given together with 'codecs'")
        specs = [self._spec(c, f"codecs[{i}]") for i, c in enumerate(_listed(self.codecs))]
        if not specs:
            self.problems.add("codecs", "is empty: an array-to-bytes codec is needed")
        return complete(specs, self.dtype, self.problems)

    def _serializers(self) -> list[CodecSpec]:
        if self.object_codec is not None:
            return [self._spec(self.object_codec, "object_codec")]
        if not _is_auto(self.serializer) and self.serializer is not None:
            return [self._spec(self.serializer, "serializer")]
        return [] if self.variable is None else [CodecSpec(self.variable)]

    def _compressors(self, default: Any) -> list[Any]:
        if not _is_auto(self.compressor):
            if not _is_auto(self.compressors):
                message = "cannot be given together with 'compressors', which it is a name of"
                self.problems.add("compressor", message)
            return _listed(self.compressor)
        return [default] if _is_auto(self.compressors) else _listed(self.compressors)

    def _spec(self, given: Any, place: str) -> CodecSpec:
        return codec_spec(given, self.dtype, place, self.problems)


def codec_spec(given: Any, dtype: DType, place: str, problems: Problems) -> CodecSpec:
    """Turn one codec of a user into a spec; see ``new_array_spec`` for what it may be."""
    if isinstance(given, CodecSpec):
        return given
    form = _form(given)
    if isinstance(form, Mapping) and "id" in form and "name" not in form:
        return codec_specs.codec_from_v2(form, dtype, problems, place)
    if form is None:
        problems.add(place, f"expected a codec, found {show(given)}")
        return _REFUSED
    parsed = named(form, place, problems)
    return _REFUSED if parsed is None else CodecSpec(*parsed)


def v2_config(given: Any, dtype: DType, place: str, problems: Problems) -> dict[str, JSON]:
    """Turn one codec of a user into a numcodecs configuration."""
    form = _form(given)
    if isinstance(form, Mapping) and "id" in form and "name" not in form:
        config = dict(form)
        if config.get("id") == "zstd" and config.get("checksum") is False:
            del config["checksum"]  # readers older than numcodecs 0.13 refuse the word
        return config
    before = len(problems.found)
    spec = codec_spec(given, dtype, place, problems)
    if len(problems.found) == before:
        try:
            return codec_specs.codec_to_v2(complete([spec], dtype, problems)[0])
        except ValueError as error:
            problems.add(place, str(error))
    return {}


def complete(
    codecs: Sequence[CodecSpec], dtype: DType, problems: Problems
) -> tuple[CodecSpec, ...]:
    """Fill in the parts of configurations that follow from the data type, or have a usual value."""
    result = []
    native = dtypes.native(dtype)
    for codec in codecs:
        result.append(_complete(codec, native, problems))
        native = _dtype_after([codec], native)
    return tuple(result)


def sharding(
    chunk_shape: Sequence[int], codecs: Sequence[CodecSpec], index_location: str = "end"
) -> CodecSpec:
    """Return the sharding codec around a chain, its index checked by a CRC-32C."""
    index_codecs = [CodecSpec("bytes", {"endian": "little"}), CodecSpec("crc32c")]
    return CodecSpec(
        "sharding_indexed",
        {
            "chunk_shape": list(chunk_shape),
            "codecs": codec_specs.to_v3(codecs),
            "index_codecs": codec_specs.to_v3(index_codecs),
            "index_location": index_location,
        },
    )


def _complete(codec: CodecSpec, dtype: DType, problems: Problems) -> CodecSpec:
    given = dict(codec.configuration)
    if codec.name == "blosc":
        typesize = codec_specs.blosc_typesize(dtype)
        usual = {
            "cname": "zstd",
            "clevel": 5,
            "shuffle": "bitshuffle" if typesize == 1 else "shuffle",
            "typesize": typesize,
            "blocksize": 0,
        }
        return CodecSpec("blosc", {**usual, **given})
    if codec.name == "zstd":
        return CodecSpec("zstd", {"level": 0, "checksum": False, **given})
    if codec.name == "gzip":
        return CodecSpec("gzip", {"level": 5, **given})
    if codec.name == "bytes":
        if dtype.names is not None:  # v3 fields have no byte order of their own
            return CodecSpec("bytes", {"endian": "little", **given})
        default = codec_specs.bytes_codecs(dtype) or [codec]
        return CodecSpec("bytes", {**default[0].configuration, **given})
    if codec.name == "sharding_indexed" and "chunk_shape" in given:
        inner = codec_specs.parse_v3(given.get("codecs", ["bytes"]), "codecs", problems)
        usual = dict(sharding((), complete(inner, dtype, problems)).configuration)
        return CodecSpec(codec.name, {**usual, **given, "codecs": usual["codecs"]})
    return codec


def _dtype_after(codecs: Sequence[CodecSpec], dtype: DType) -> DType:
    for codec in codecs:
        if codec_specs.is_serializer(codec):
            return np.dtype("u1") if dtype.hasobject else dtype
        if codec.name == "cast_value":
            found = dtypes.from_v3(codec.configuration.get("data_type"), codec.name, Problems())
            dtype = dtype if found is None else found[0]
        identifier = codec.name.removeprefix("numcodecs.")
        if identifier != codec.name:
            # A wrong data type in it is for the codec's own configuration to refuse.
            dtype = codec_specs.after_filter(
                identifier, codec.configuration, dtype, codec.name, Problems()
            )
    return dtype


def _form(given: Any) -> Any:
    """Return the document form of a codec object of numcodecs, zarr-python or this library."""
    if isinstance(given, (str, Mapping)):
        return given
    if isinstance(getattr(given, "name", None), str) and callable(
        getattr(given, "configuration", None)
    ):
        return {"name": given.name, "configuration": given.configuration()}
    for method in ("to_dict", "get_config"):
        if callable(getattr(given, method, None)):
            form = getattr(given, method)()
            return form if isinstance(form, Mapping) else None
    return None


def _listed(given: Any) -> list[Any]:
    if given is None or _is_auto(given):
        return []
    if isinstance(given, (list, tuple)):
        return list(given)
    return [given]


def _is_auto(given: Any) -> bool:
    return isinstance(given, str) and given == "auto"
