"""Copy arrays and groups, decoded and encoded again, or the objects of a store as they are.

Sources may be of other libraries: what has a ``shape`` is an array, what has ``items`` a group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, cast, get_args

from cuzarr import hierarchy
from cuzarr.array import Array
from cuzarr.errors import CopyError
from cuzarr.group import Group
from cuzarr.making import kept, trimmed
from cuzarr.plan import chunk_counts
from cuzarr.storage.base import RequestBatch, Store
from cuzarr.storage.place import overlap, place
from cuzarr.storage.prefix import join, normalize_path
from cuzarr.storage.resolve import StoreLike, as_store
from cuzarr.storage.status import status_error

IfExists = Literal["raise", "replace", "skip", "skip_initialized"]
Log = Callable[[str], None]


@dataclass
class Copied:
    """What was copied, skipped and written so far."""

    nodes: int = 0
    skipped: int = 0
    nbytes: int = 0

    def done(self, log: Log, *, dry_run: bool) -> tuple[int, int, int]:
        """Write the summary to the log and return the three counts."""
        verb = "would be copied" if dry_run else "copied"
        log(f"all done: {self.nodes:,} {verb}, {self.skipped:,} skipped, {self.nbytes:,} bytes")
        return self.nodes, self.skipped, self.nbytes


def copy(
    source: Any,
    dest: Group,
    name: str | None = None,
    shallow: bool = False,
    without_attrs: bool = False,
    log: Any = None,
    if_exists: IfExists = "raise",
    dry_run: bool = False,
    **options: Any,
) -> tuple[int, int, int]:
    """Copy an array or a group into a group.

    Parameters
    ----------
    source : Array, Group, or array or group of zarr-python or h5py
    dest : Group
    name : str or None
        In ``dest``; by default that of the source.
    shallow : bool
        Copy the arrays of a group, not the groups in it.
    without_attrs : bool
        Leave attributes out.
    log : callable, path, text file or None
        Is told what is done.
    if_exists : {"raise", "replace", "skip", "skip_initialized"}
        What to do where ``dest`` has an array of that name; "skip_initialized" skips it if all
        of its chunks are stored.
    dry_run : bool
        Do nothing, but log and count.
    **options
        For the new arrays, as in ``cuzarr.create_array``.

    Returns
    -------
    n_copied, n_skipped, n_bytes : int
        Arrays and groups copied and skipped, and bytes of data, decoded.

    Raises
    ------
    CopyError
        The source has no name and none is given, something is in the way, or a group would be
        copied to a place below itself.
    """
    _check_choice(if_exists, IfExists)
    if name is None:
        name = str(getattr(source, "name", "") or "").rpartition("/")[2]
        if not name:
            raise CopyError("the source has no name: give name=")
    if not shallow:
        _refuse_below(source, dest, name)
    counts = Copied()
    with _logging(log) as told:
        job = _Job(dest, shallow, without_attrs, if_exists, dry_run, options, told, counts)
        job.copy(source, name, top=True)
        return counts.done(told, dry_run=dry_run)


def copy_all(
    source: Any,
    dest: Group,
    shallow: bool = False,
    without_attrs: bool = False,
    log: Any = None,
    if_exists: IfExists = "raise",
    dry_run: bool = False,
    **options: Any,
) -> tuple[int, int, int]:
    """Copy every member of a group, and its attributes, into a group; see :func:`copy`."""
    _check_choice(if_exists, IfExists)
    if not shallow:
        _refuse_below(source, dest, "")
    counts = Copied()
    with _logging(log) as told:
        job = _Job(dest, shallow, without_attrs, if_exists, dry_run, options, told, counts)
        for name, member in source.items():
            job.copy(member, name, top=True)
        if not dry_run and not without_attrs:
            dest.attrs.update(dict(source.attrs))
        return counts.done(told, dry_run=dry_run)


def copy_store(
    source: StoreLike,
    dest: StoreLike,
    source_path: str = "",
    dest_path: str = "",
    excludes: str | Iterable[str] | None = None,
    includes: str | Iterable[str] | None = None,
    flags: int = 0,
    if_exists: Literal["raise", "replace", "skip"] = "raise",
    dry_run: bool = False,
    log: Any = None,
) -> tuple[int, int, int]:
    """Copy the objects of a store as they are: nothing is decoded.

    Parameters
    ----------
    source, dest : path, mapping or Store
    source_path, dest_path : str
        Copy what is below one to below the other.
    excludes, includes : str, iterable of str, or None
        Regular expressions, searched for in the keys below ``source_path``; a key that an exclude
        matches is copied only if an include matches it too.
    flags : int
        Of ``re``.
    if_exists : {"raise", "replace", "skip"}
        What to do where ``dest`` has the key.
    dry_run : bool
        Do nothing, but log and count.
    log : callable, path, text file or None

    Returns
    -------
    n_copied, n_skipped, n_bytes : int
        Objects copied and skipped, and their bytes.

    Raises
    ------
    CopyError
        A key is in the way. Nothing was copied.
    """
    _check_choice(if_exists, Literal["raise", "replace", "skip"])
    reader, writer = as_store(source), as_store(dest)
    below, onto = normalize_path(source_path), normalize_path(dest_path)
    keys = _selected_keys(reader, below, excludes, includes, flags)
    targets = [join(onto, key[len(below) + 1 :] if below else key) for key in keys]
    there = set(writer.list(onto)) if onto or if_exists != "replace" else set()
    clashes = [target for target in targets if target in there]
    if clashes and if_exists == "raise":
        raise CopyError(f"{clashes[0]!r} is in {writer} already: give if_exists=")
    counts = Copied()
    with _logging(log) as told:
        pairs = list(zip(keys, targets, strict=True))
        if if_exists == "skip":
            counts.skipped = len(clashes)
            pairs = [(key, target) for key, target in pairs if target not in there]
        renamed = dict(pairs)
        for batch in hierarchy.batches(reader, renamed):
            batch_pairs = [(key, renamed[key]) for key in batch]
            _copy_objects(reader, writer, batch_pairs, told, counts, dry_run=dry_run)
        return counts.done(told, dry_run=dry_run)


@dataclass
class _Job:
    dest: Group
    shallow: bool
    without_attrs: bool
    if_exists: str
    dry_run: bool
    options: Mapping[str, Any]
    log: Log
    counts: Copied

    def copy(self, source: Any, name: str, *, top: bool = False) -> None:
        """Copy a node to ``name`` below the destination."""
        if hasattr(source, "shape"):
            self._array(source, name)
            return
        if not hasattr(source, "items"):
            raise CopyError(f"{type(source).__name__} is neither an array nor a group")
        if self.shallow and not top:
            return
        found = self.dest.get(name)
        if isinstance(found, Array) and self.if_exists != "replace":
            if self.if_exists == "raise":
                raise CopyError(f"an array is in the way of group {name!r}: give if_exists=")
            self._skip(name)
            return
        self.log(f"copy group {name}")
        self.counts.nodes += 1
        if not self.dry_run:
            group = self.dest.require_group(name, overwrite=isinstance(found, Array))
            if not self.without_attrs:
                group.attrs.update(dict(source.attrs))
        for member_name, member in source.items():
            self.copy(member, f"{name}/{member_name}")

    def _array(self, source: Any, name: str) -> None:
        found = self.dest.get(name)
        if found is not None and self.if_exists != "replace":
            if self.if_exists == "raise":
                raise CopyError(f"{name!r} is in {self.dest!r} already: give if_exists=")
            full = not isinstance(found, Array) or found.nshards_initialized == _stored(found)
            if self.if_exists == "skip" or full:
                self._skip(name)
                return
        self.log(f"copy array {name} {tuple(source.shape)} {source.dtype}")
        self.counts.nodes += 1
        if self.dry_run:
            return
        options: dict[str, Any] = {}
        if isinstance(source, Array):
            given = {"zarr_format": self.dest.zarr_format, **self.options}
            options = trimmed(kept(source) | {"fill_value": source.fill_value}, given)
        array = self.dest.create_array(
            name, data=source, overwrite=found is not None, **{**options, **self.options}
        )
        if not self.without_attrs:
            array.attrs.update(dict(getattr(source, "attrs", {})))
        self.counts.nbytes += array.nbytes

    def _skip(self, name: str) -> None:
        self.counts.skipped += 1
        self.log(f"skip {name}")


def _refuse_below(source: Any, dest: Group, name: str) -> None:
    """Raise ``CopyError`` where a group would be copied to a place below itself, without end."""
    store, path = getattr(source, "store", None), getattr(source, "path", None)
    if store is None or not isinstance(path, str) or hasattr(source, "shape"):
        return
    above, below = place(store, path), place(dest.store, join(dest.path, name))
    if above != below and overlap(above, below) and len(below[1]) > len(above[1]):
        target = join(dest.path, name)
        raise CopyError(f"cannot copy {path or '/'!r} to {target!r}, which is below it")


def _stored(array: Array) -> int:
    return chunk_counts(array.shape, array.metadata.grid)


def _selected_keys(
    store: Store, prefix: str, excludes: Any, includes: Any, flags: int
) -> list[str]:
    dropped, saved = _patterns(excludes, flags), _patterns(includes, flags)
    start = len(prefix) + 1 if prefix else 0
    return sorted(
        key
        for key in store.list(prefix)
        if not any(p.search(key[start:]) for p in dropped)
        or any(p.search(key[start:]) for p in saved)
    )


def _patterns(given: str | Iterable[str] | None, flags: int) -> list[re.Pattern[str]]:
    texts = [given] if isinstance(given, str) else list(given or ())
    return [re.compile(text, flags) for text in texts]


def _copy_objects(
    reader: Store,
    writer: Store,
    pairs: list[tuple[str, str]],
    log: Log,
    counts: Copied,
    *,
    dry_run: bool,
) -> None:
    values = []
    answer = reader.get_many(RequestBatch.of([key for key, _ in pairs]))
    for (key, target), value, status in zip(
        pairs, answer.values, answer.statuses.tolist(), strict=True
    ):
        if value is None:
            raise status_error(reader, key, status)
        log(f"copy {key}" if key == target else f"copy {key} -> {target}")
        values.append(value)
    if not dry_run:
        writer.set_many([target for _, target in pairs], values)
        counts.nbytes += int(answer.sizes.sum())
    counts.nodes += len(pairs)


@contextmanager
def _logging(log: Any) -> Iterator[Log]:
    """Yield the function that the log is told with."""
    if log is None:
        yield lambda _: None
    elif isinstance(log, str | PathLike):
        with Path(fspath(log)).open("w", encoding="utf-8") as file:
            yield lambda text: print(text, file=file)  # to a file
    elif callable(log):
        yield cast("Log", log)
    elif hasattr(log, "write"):
        yield lambda text: print(text, file=log)  # to a file
    else:
        raise TypeError(f"log must be a function, a path or a text file, not {log!r}")


def _check_choice(given: str, choices: Any) -> None:
    if given not in get_args(choices):
        raise ValueError(f"if_exists must be one of {', '.join(get_args(choices))}, not {given!r}")
