"""Every error that cuzarr raises on purpose.

::

    CuzarrError
    ├── MetadataError (ValueError)            a metadata document is wrong; lists every problem
    │   └── UnknownCodecError                 a codec that is not registered
    ├── NodeNotFoundError (FileNotFoundError, KeyError)
    │   ├── ArrayNotFoundError
    │   └── GroupNotFoundError
    ├── NodeTypeError (TypeError)             an array where a group was asked for, or the reverse
    ├── ContainsNodeError (FileExistsError, ValueError)
    │   │                                     something is already stored at that path
    │   ├── ContainsArrayError
    │   └── ContainsGroupError
    ├── ChunkError (ValueError)               names .key, .codec and .cause
    │   ├── ChunkNotFoundError                it is not stored, and ``read_missing_chunks`` is False
    │   ├── ChunkDecodeError
    │   │   ├── ChecksumError
    │   │   └── ShardIndexError
    │   └── ChunkEncodeError
    ├── SelectionError (IndexError)           a selection that no array could answer
    │   └── BoundsCheckError                  an index outside the array
    ├── ShapeMismatchError (ValueError)       a value that does not fit the selection
    ├── UnequalChunksError (NotImplementedError, AttributeError)
    │                                         one chunk shape was asked for, and there are several
    ├── ReadOnlyError (PermissionError)
    ├── CopyError (RuntimeError)              something is in the way of a copy
    ├── StoreError (OSError)                  the store failed; names the key
    │   ├── StoreNotFoundError (FileNotFoundError)
    │   ├── StoreExistsError (FileExistsError)
    │   └── InvalidKeyError (ValueError)      a key or path that no store accepts
    ├── MissingPackageError (ImportError)     says what to install
    └── DeviceError (RuntimeError)
        ├── NoDeviceError                     a device was asked for by name and is not there
        └── DeviceMemoryError (MemoryError)   names the sizes
"""

from __future__ import annotations


class CuzarrError(Exception):
    """Root of every error that cuzarr raises on purpose."""


class MetadataError(CuzarrError, ValueError):
    """A metadata document is wrong.

    Parameters
    ----------
    key : str
        Store key of the document.
    problems : sequence of str
        Every problem found, each starting with its place in the document.
    """

    def __init__(self, key: str, problems: list[str] | tuple[str, ...]) -> None:
        self.key = key
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"invalid metadata in {key!r}:\n{lines}")

    def __reduce__(self) -> tuple[type[MetadataError], tuple[str, tuple[str, ...]]]:
        return type(self), (self.key, self.problems)


class UnknownCodecError(MetadataError):
    """A codec, or another extension, that is not registered."""


class NodeNotFoundError(CuzarrError, FileNotFoundError, KeyError):
    """Nothing is stored at that path."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ArrayNotFoundError(NodeNotFoundError):
    """No array is stored at that path."""


class GroupNotFoundError(NodeNotFoundError):
    """No group is stored at that path."""


class NodeTypeError(CuzarrError, TypeError):
    """An array is stored where a group was asked for, or the reverse."""


class ContainsNodeError(CuzarrError, FileExistsError, ValueError):
    """Something is already stored at that path."""


class ContainsArrayError(ContainsNodeError):
    """An array is already stored at that path."""


class ContainsGroupError(ContainsNodeError):
    """A group is already stored at that path."""


class ChunkError(CuzarrError, ValueError):
    """One chunk could not be decoded or encoded.

    Parameters
    ----------
    key : str
        Store key of the chunk (for an inner chunk, of its shard).
    codec : str
        Name of the codec, or of the step, that failed.
    cause : str
        What it said.
    """

    verb = "process"

    def __init__(self, key: str, codec: str, cause: str) -> None:
        self.key, self.codec, self.cause = key, codec, cause
        super().__init__(f"cannot {self.verb} chunk {key!r}: {codec}: {cause}")

    def __reduce__(self) -> tuple[type[ChunkError], tuple[str, str, str]]:
        return type(self), (self.key, self.codec, self.cause)


class ChunkNotFoundError(ChunkError):
    """A chunk is not stored, and ``read_missing_chunks`` of the configuration is False."""

    verb = "read"


class ChunkDecodeError(ChunkError):
    """One chunk could not be decoded: it is truncated, corrupt or not what the metadata says."""

    verb = "decode"


class ChecksumError(ChunkDecodeError):
    """The stored checksum is not that of the bytes."""


class ShardIndexError(ChunkDecodeError):
    """The index of a shard is truncated, corrupt, or points outside the shard."""


class ChunkEncodeError(ChunkError):
    """One chunk could not be encoded."""

    verb = "encode"


class SelectionError(CuzarrError, IndexError):
    """A selection that no array of this shape could answer."""


class BoundsCheckError(SelectionError):
    """An index outside the array."""


class ShapeMismatchError(CuzarrError, ValueError):
    """A value whose shape cannot be broadcast to the selection."""


class UnequalChunksError(CuzarrError, NotImplementedError, AttributeError):
    """One chunk shape was asked for of an array whose chunks have several.

    It is an ``AttributeError``, so that ``getattr(array, "chunks", None)`` gives None.
    """


class ReadOnlyError(CuzarrError, PermissionError):
    """A write to a node or store that was opened for reading."""


class CopyError(CuzarrError, RuntimeError):
    """Something is in the way of a copy, or it has no name."""


class StoreError(CuzarrError, OSError):
    """The store failed; the message names the key."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """The file that a store is does not exist."""


class StoreExistsError(StoreError, FileExistsError):
    """The file that a store was to be exists already."""


class InvalidKeyError(StoreError, ValueError):
    """A key or path that no store accepts: absolute, ``..``, empty parts, NUL or backslash."""


class MissingPackageError(CuzarrError, ImportError):
    """An optional package is needed; the message says what to install."""


class DeviceError(CuzarrError, RuntimeError):
    """The device refused or failed."""


class NoDeviceError(DeviceError):
    """A device was asked for by name and is not there."""


class DeviceMemoryError(DeviceError, MemoryError):
    """Device memory ran out; the message names the sizes."""


# The names of zarr-python, for code that catches its errors. One here may stand for several there.
BaseZarrError = CuzarrError
MetadataValidationError = DataTypeValidationError = MetadataError
NodeTypeValidationError = NodeTypeError
ContainsArrayAndGroupError = ContainsNodeError
ArrayIndexError = NegativeStepError = VindexInvalidSelectionError = SelectionError
PickleCodecDisabledError = ChunkDecodeError
PathNotFoundError = NodeNotFoundError


class ZarrUserWarning(UserWarning):
    """A warning of zarr-python, for filters; cuzarr gives none of these."""


class ZarrDeprecationWarning(DeprecationWarning):
    """A warning of zarr-python, for filters."""


class ZarrFutureWarning(FutureWarning):
    """A warning of zarr-python, for filters."""


class UnstableSpecificationWarning(ZarrFutureWarning):
    """A warning of zarr-python, for filters."""


class ZarrRuntimeWarning(RuntimeWarning):
    """A warning of zarr-python, for filters."""
