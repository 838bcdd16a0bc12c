"""AsyncArray, AsyncGroup and api.asynchronous."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.api import asynchronous as aapi

DATA = np.arange(24, dtype="i4").reshape(4, 6)


def test_array() -> None:
    async def work() -> None:
        a = await aapi.create_array({}, data=DATA, chunks=(2, 3), device="cpu")
        assert isinstance(a, cuzarr.AsyncArray)
        assert (a.shape, a.dtype, a.chunks, a.ndim) == ((4, 6), DATA.dtype, (2, 3), 2)
        assert np.array_equal(await a.getitem((slice(1, 3), 2)), DATA[1:3, 2])
        await a.setitem((0, 0), 7)
        assert await a.getitem((0, 0)) == 7
        await a.setitem((0, 0), 0)
        assert np.array_equal(await a.oindex.getitem(([0, 2], [1, 3])), DATA[[0, 2]][:, [1, 3]])
        assert np.array_equal(await a.vindex.getitem(([0, 2], [1, 3])), DATA[[0, 2], [1, 3]])
        assert np.array_equal(await a.blocks.getitem((0, 1)), DATA[:2, 3:])
        await a.oindex.setitem(([0], [0]), [[99]])
        assert await a.get_coordinate_selection(([0], [0])) == [99]
        assert np.array_equal(await a.get_mask_selection(a.array[...] == 99), [99])
        assert np.array_equal(await a.get_basic_selection((3,)), DATA[3])
        assert np.array_equal(await a.get_orthogonal_selection(([3],)), DATA[[3]])
        assert np.array_equal(await a.get_block_selection((1, 0)), DATA[2:, :3])
        assert await a.append(DATA) == (8, 6)
        await a.resize((4, 6))
        assert await a.nchunks_initialized() == 4
        assert await a.nbytes_stored() == a.array.nbytes_stored()
        assert (await a.update_attributes({"k": 1})).attrs["k"] == 1
        assert "Chunks initialized" in repr(await a.info_complete())
        assert a.with_config({"order": "F"}).order == "F"
        assert a.to_device("cpu").device == "cpu"
        assert repr(a).startswith("<AsyncArray memory://")
        assert a == a.array.async_array
        assert a != a.array
        with pytest.raises(AttributeError, match="AsyncArray has no method 'set_mask_selection'"):
            _ = a.set_mask_selection
        with pytest.raises(AttributeError):
            _ = a.nothing
        prototype = cuzarr.buffer.default_buffer_prototype()
        assert np.array_equal(await a.getitem(1, prototype=prototype), DATA[1])

    asyncio.run(work())


def test_group(tmp_path: Path) -> None:
    async def names(found: Any) -> list[Any]:
        return [item async for item in found]

    async def work() -> None:
        g = await cuzarr.AsyncGroup.from_store(tmp_path, attributes={"k": 1}, zarr_format=2)
        assert (g.path, g.zarr_format, dict(g.attrs)) == ("", 2, {"k": 1})
        h = await g.create_group("h")
        assert isinstance(h, cuzarr.AsyncGroup)
        a = await g.create_array("a", data=DATA)
        assert isinstance(a, cuzarr.AsyncArray)
        for name in ("zeros", "ones", "empty"):
            made = await getattr(h, name)(name=name, shape=(2,), dtype="i1")
            assert made.path == f"h/{name}"
        assert (await h.full(name="full", shape=2, fill_value=3)).fill_value == 3
        for name in ("zeros_like", "ones_like", "empty_like", "full_like"):
            assert (await getattr(h, name)(name=name, data=DATA)).shape == DATA.shape
        assert await names(g.keys()) == ["a", "h"]
        assert await names(g.array_keys()) == ["a"]
        assert await names(g.array_values()) == [a]
        assert await names(g.arrays()) == [("a", a)]
        assert await names(g.group_keys()) == ["h"]
        assert await names(g.group_values()) == [h]
        assert await names(g.groups()) == [("h", h)]
        assert [name for name, _ in await names(g.members(None))][:2] == ["a", "h"]
        assert await g.nmembers() == 2
        assert await g.getitem("a") == await g.get("a") == await g.get_array("a") == a
        assert await g.get_group("h") == h
        assert await g.get("q", 5) == 5
        assert await g.contains("a")
        assert await g.require_group("h") == h
        assert [group.path for group in await g.require_groups("h", "i")] == ["h", "i"]
        assert await g.require_array("a", shape=DATA.shape) == a
        await g.setitem("s", [1, 2])
        await g.move("s", "t")
        assert not await g.contains("s")
        await g.delitem("t")
        nodes = {"p/q": a.metadata}
        assert [path for path, _ in await names(g.create_hierarchy(nodes))] == ["p", "p/q"]
        assert (await g.update_attributes({"l": 2})).attrs["l"] == 2
        assert await g.group.update_attributes_async({"m": 3}) == g.group
        assert repr(await g.tree()).startswith("/")
        assert "No. members below" in repr(await g.info_complete())
        assert await cuzarr.AsyncGroup.open(tmp_path) == g
        assert (await cuzarr.AsyncArray.open(tmp_path / "a")).shape == DATA.shape
        assert repr(g).startswith("<AsyncGroup file://")
        with pytest.raises(AttributeError, match="AsyncGroup has no method 'popitem'"):
            _ = g.popitem
        assert copy.copy(g) == pickle.loads(pickle.dumps(g)) == g

    asyncio.run(work())


def test_functions(tmp_path: Path) -> None:
    async def work() -> None:
        await aapi.save(tmp_path / "a.zarr", DATA)
        assert np.array_equal(await aapi.load(tmp_path / "a.zarr"), DATA)
        a = await aapi.open(tmp_path / "a.zarr")
        assert isinstance(a, cuzarr.AsyncArray)
        assert (await aapi.zeros_like(a)).shape == DATA.shape
        g = await aapi.group()
        await aapi.copy(a, g, name="x")
        assert isinstance(await g.getitem("x"), cuzarr.AsyncArray)
        nodes = {"n": a.metadata}
        made = [path async for path, _ in aapi.create_hierarchy(store={}, nodes=nodes)]
        assert made == ["", "n"]
        assert repr(await aapi.tree(g)).startswith("/")

    asyncio.run(work())
    assert set(aapi.__all__) == set(cuzarr.api.__all__) == set(cuzarr.api.synchronous.__all__)


def test_the_loop_goes_on() -> None:
    """The work is done in a thread, so the loop is free meanwhile."""
    entered, released = threading.Event(), threading.Event()

    class Waiting(cuzarr.MemoryStore):
        def get_many(self, batch: Any) -> Any:
            entered.set()
            assert released.wait(30)
            return super().get_many(batch)

    released.set()
    store = Waiting()
    z = cuzarr.array(DATA, store=store)
    released.clear()
    entered.clear()

    async def work() -> Any:
        reading = asyncio.create_task(z.async_array.getitem(...))
        assert await asyncio.to_thread(entered.wait, 30)
        assert not reading.done()
        released.set()
        return await reading

    assert np.array_equal(asyncio.run(work()), DATA)


def test_copies_and_pickles() -> None:
    z = cuzarr.create_array(None, data=np.arange(4))
    a = cuzarr.AsyncArray(z)
    for other in (copy.copy(a), copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        assert asyncio.run(other.getitem(2)) == 2


def test_attributes_are_a_dict() -> None:
    async def run() -> None:
        group = cuzarr.AsyncGroup(cuzarr.create_group(attributes={"a": [1]}))
        array = cuzarr.AsyncArray(cuzarr.zeros(3, attributes={"b": {"c": None}}))
        assert json.dumps([group.attrs, array.attrs]) == '[{"a": [1]}, {"b": {"c": null}}]'
        await array.update_attributes({"d": 2})
        assert array.attrs == {"b": {"c": None}, "d": 2}

    asyncio.run(run())
