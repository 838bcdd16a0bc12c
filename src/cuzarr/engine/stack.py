"""Small reads of many arrays as one read.

1. :func:`stack_reads` finds reads that differ in their arrays alone: the same store, codecs, data
   type and shape of the result; lists of an orthogonal selection must be those of one plan. Their
   results become one array with one axis more.
2. :class:`StackPlan` puts the chunks of the members one behind another; where a row goes along the
   new axis is the number of its member, which tells :class:`StackAddress` whose keys to ask for.

So a store, the threads of the host or a device get one batch of all the chunks, where each array
alone has too few to be worth it. A large read is left alone: it has enough of its own, and its
result should not share memory with others.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.stacked import StackedChain
from cuzarr.engine.address import Address, changed, watching
from cuzarr.engine.batch import Job, Wave
from cuzarr.engine.read import Read
from cuzarr.plan.chunk_plan import Axis, ChunkPlan, Int64, PlanRows
from cuzarr.storage.base import RequestBatch

_SMALL_BYTES = 4 * 2**20  #: of the decoded chunks of a read; more is enough work by itself


@dataclass(frozen=True, slots=True)
class StackPlan(ChunkPlan):
    """Plans of one shape, stacked.

    Attributes
    ----------
    members : tuple of ChunkPlan
    ends : (m,) int64
        Number of chunks up to each member, itself included.
    """

    members: tuple[ChunkPlan, ...] = ()
    ends: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, members: Sequence[ChunkPlan]) -> StackPlan:
        """Stack plans of equal shapes."""
        shape = (len(members), *members[0].shape)
        ends = np.array(list(accumulate(plan.n_chunks for plan in members)), np.int64)
        out_shape = (len(members), *members[0].out_shape)
        axes = (_axis_of(len(members)), *members[0].axes)  # the lists are those of every member
        return cls(shape, out_shape, int(ends[-1]), axes, members=tuple(members), ends=ends)

    def rows(self, first: int, last: int) -> PlanRows:
        """Expand chunks ``first <= i < last``; the first axis is that of the members."""
        parts, numbers = [], []
        known: dict[tuple[int, int, int], PlanRows] = {}  # one selection of many arrays
        member = int(np.searchsorted(self.ends, first, side="right"))
        while first < last:
            plan, end = self.members[member], int(self.ends[member])
            begin = end - plan.n_chunks
            stop = min(last, end)
            key = id(plan), first - begin, stop - begin
            if key not in known:
                known[key] = plan.rows(*key[1:])
            parts.append(known[key])
            numbers.append(np.full((stop - first, 1), member, np.int64))
            first, member = stop, member + 1
        number = np.concatenate(numbers)
        zero, one = np.zeros_like(number), np.ones_like(number)
        return PlanRows(
            _joined(parts, "coords"),
            np.hstack([zero, _joined(parts, "start")]),
            np.hstack([one, _joined(parts, "count")]),
            np.hstack([number, _joined(parts, "out")]),
            np.append(1, parts[0].step),
            (None, *parts[0].lists),
            _joined(parts, "complete"),
        )


@dataclass(frozen=True, slots=True)
class StackAddress:
    """The addresses of the members of a stack."""

    members: tuple[Address, ...]

    def watching(self) -> StackAddress:
        """Return the same address, which remembers what it reads for :meth:`changed`."""
        return StackAddress(tuple(watching(member) for member in self.members))

    def changed(self) -> bool:
        """Whether a shard was replaced since its index was read."""
        return any(changed(member) for member in self.members)

    def wave(self, index: int, rows: PlanRows) -> Wave:
        """Return a wave with the requests of every member."""
        number = rows.out[:, 0]
        bounds = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(rows)]
        waves: list[Wave] = [
            self.members[number[first]].wave(index, rows.take(slice(first, last)))
            for first, last in pairwise(bounds)
        ]
        if len(waves) == 1:
            return waves[0]
        parts = [wave.rows for wave in waves]
        joined = PlanRows(
            _joined(parts, "coords"), _joined(parts, "start"), _joined(parts, "count"),
            _joined(parts, "out"), rows.step, rows.lists, _joined(parts, "complete"),
        )  # fmt: skip
        numbers = [wave.numbers for wave in waves if wave.numbers is not None]
        return Wave(
            index,
            joined,
            RequestBatch.join([wave.requests for wave in waves]),
            np.concatenate([wave.present for wave in waves]),
            np.concatenate(numbers) if len(numbers) == len(waves) else None,
        )


@dataclass(slots=True)
class Stack:
    """Reads that run as one.

    Attributes
    ----------
    numbers : list of int
        Which of the reads that were given.
    reads : list of Read
    """

    numbers: list[int]
    reads: list[Read]

    def read(self) -> Read:
        """Return the read of them all; of one, itself."""
        one = self.reads[0]
        if len(self.reads) == 1:
            return one
        job = replace(
            one.job,
            chain=StackedChain.of(one.job.chain),
            plan=StackPlan.of([read.job.plan for read in self.reads]),
        )
        return Read(job, StackAddress(tuple(read.address for read in self.reads)), one.backend)

    def results(self, found: Any) -> list[Any]:
        """Take the result of :meth:`read` apart; every member reports where the steps ran."""
        if len(self.reads) == 1:
            return [found]
        report = self.reads[0].job.report
        for other in self.reads[1:]:
            other.job.report.extend(report)
        return [found[i, ...] for i in range(len(self.reads))]


def stack_reads(reads: Sequence[Read]) -> list[Stack]:
    """Group reads; the order within a stack, and of their first members, is that of the reads."""
    stacks: list[Stack] = []
    open_stacks: dict[Hashable, list[Stack]] = {}
    for number, one in enumerate(reads):
        key = _key(one)
        if key is not None:
            alike = open_stacks.setdefault(key, [])
            stack = next((s for s in alike if _same_codecs(s.reads[0].job, one.job)), None)
            if stack is not None:
                stack.numbers.append(number)
                stack.reads.append(one)
                continue
            alike.append(Stack([number], [one]))
            stacks.append(alike[-1])
        else:
            stacks.append(Stack([number], [one]))
    return stacks


def _key(read: Read) -> Hashable | None:
    """Return what is equal for reads that may be stacked; None for one that may not."""
    job = read.job
    plan, chain = job.plan, job.chain
    if read.parts is not None:
        return None
    affine = plan.points is None and plan.boxes is None and type(chain) is CodecChain
    small = plan.n_chunks * chain.chunk.nbytes <= _SMALL_BYTES
    if not affine or not small or read.out is not None or job.dtype.hasobject:
        return None
    lists = any(axis.index is not None for axis in plan.axes)
    what = id(plan) if lists else tuple(axis.step for axis in plan.axes)
    fill = np.asarray(job.fill_value).tobytes()
    where = id(job.store), id(read.backend), job.resident, job.refuse_missing
    return where, plan.shape, plan.out_shape, what, job.dtype.str, chain.chunk.shape, fill


def _same_codecs(a: Job, b: Job) -> bool:
    one, other = a.chain, b.chain
    return (
        one.byte_codecs == other.byte_codecs
        and one.serializer == other.serializer
        and [codec for codec, _ in one.array_codecs] == [codec for codec, _ in other.array_codecs]
        and one.chunk.dtype == other.chunk.dtype
    )


def _axis_of(members: int) -> Axis:
    """Return the axis of a stack: every member has one chunk of its own along it."""
    number = np.arange(members)
    one = np.ones(members, np.int64)
    return Axis(number, 0 * one, one, number, 1, members, np.ones(members, np.bool_))


def _joined(parts: Sequence[PlanRows], name: str) -> Any:
    return np.concatenate([getattr(rows, name) for rows in parts])
