"""The emulated device catches what a real one would let pass, or crash on."""

from __future__ import annotations

import gc
import zlib

import numcodecs.lz4
import numcodecs.zstd
import numpy as np
import pytest

from cuzarr.errors import DeviceMemoryError
from tests.emulation.device import (
    FRESH_POISON,
    HOST_POISON,
    EmulationError,
    UndefinedBehaviourError,
    raw_bytes,
)
from tests.emulation.runtime import EmulatedRuntime

SEEDS = range(8)


@pytest.fixture
def runtime():
    made = EmulatedRuntime()
    yield made
    made.close(check=False)


def tables(runtime, stream, *columns):
    """Upload tables; return their buffers and pointers as kernel arguments."""
    buffers = []
    for column in columns:
        host = np.array(column)
        buffers.append(runtime.alloc(host.nbytes, stream))
        runtime.upload(buffers[-1].ptr, host, host.nbytes, stream)
        runtime.wait_event(runtime.record(stream))
    return buffers, [np.uint64(b.ptr) for b in buffers]


def queue_copy(runtime, stream, dst, src, nbytes):
    """Queue copy_segments of one segment."""
    buffers, (s, d, n, t) = tables(
        runtime, stream, np.array([src], np.uint64), np.array([dst], np.uint64),
        np.array([nbytes], np.int64), np.array([0, 1], np.int64),
    )  # fmt: skip
    runtime.launch("copy_segments", 1, 32, [s, d, n, t, np.int64(1)], stream)
    return buffers


def bytes_on(runtime, stream, host):
    buffer = runtime.alloc(host.nbytes, stream)
    runtime.upload(buffer.ptr, host, host.nbytes, stream)
    runtime.kept = [*getattr(runtime, "kept", []), host]
    return buffer


@pytest.mark.parametrize("seed", SEEDS)
def test_events_order_streams(seed):
    with EmulatedRuntime(seed) as runtime:
        first, second = runtime.new_stream(), runtime.new_stream()
        host = np.arange(100, dtype=np.uint8)
        source, target = bytes_on(runtime, first, host), runtime.alloc(100, second)
        runtime.stream_wait(second, runtime.record(first))
        held = queue_copy(runtime, second, target.ptr, source.ptr, 100)
        np.testing.assert_array_equal(runtime.read(target.ptr, 100, second), host)
        runtime.stream_wait(first, runtime.record(second))
        del source, target, held


@pytest.mark.parametrize("seed", SEEDS)
def test_a_missing_wait_is_caught(seed):
    runtime = EmulatedRuntime(seed)
    first, second = runtime.new_stream(), runtime.new_stream()
    host = np.arange(100, dtype=np.uint8)
    source, target = bytes_on(runtime, first, host), runtime.alloc(100, second)
    runtime.record(first)
    with pytest.raises(
        EmulationError, match=r"no event orders before it|never written|outside any"
    ):
        held = queue_copy(runtime, second, target.ptr, source.ptr, 100)  # noqa: F841
        runtime.synchronize()
    runtime.close(check=False)


def test_a_race_names_both_sides(runtime):
    first, second = runtime.new_stream(), runtime.new_stream()
    buffer = runtime.alloc(64, first)
    runtime.wait_event(runtime.record(first))
    runtime.memset(buffer.ptr, 1, 64, first)
    runtime.memset(buffer.ptr + 32, 2, 16, second)
    with pytest.raises(EmulationError, match=(
        r"memset of \d+ bytes \(stream \d+, queued at tests/unit/test_emulation.py:\d+\) writes .*"
        r"of the 64 bytes allocated at tests/unit/test_emulation.py:\d+; "
        r"the other operation is memset"
    )):  # fmt: skip
        runtime.synchronize()


def test_a_write_over_what_another_stream_reads_is_caught(runtime):
    first, second = runtime.new_stream(), runtime.new_stream()
    buffer = bytes_on(runtime, first, np.zeros(64, np.uint8))
    runtime.wait_event(runtime.record(first))
    out = np.empty(64, np.uint8)
    runtime.download(out, buffer.ptr, 64, second)
    runtime.memset(buffer.ptr, 1, 64, first)
    with pytest.raises(EmulationError, match="no event orders|has read"):
        runtime.synchronize()


def test_readers_of_two_streams_do_not_conflict(runtime):
    first, second = runtime.new_stream(), runtime.new_stream()
    buffer = bytes_on(runtime, first, np.arange(64, dtype=np.uint8))
    event = runtime.record(first)
    runtime.stream_wait(second, event)
    a, b = np.empty(64, np.uint8), np.empty(64, np.uint8)
    runtime.download(a, buffer.ptr, 64, first)
    runtime.download(b, buffer.ptr, 64, second)
    runtime.synchronize()
    np.testing.assert_array_equal(a, b)
    runtime.memset(buffer.ptr, 0, 64, first)  # the host has waited for both
    runtime.synchronize()


def test_memory_given_back_before_another_stream_is_done_is_caught(runtime):
    first, second = runtime.new_stream(), runtime.new_stream()
    buffer = bytes_on(runtime, first, np.zeros(64, np.uint8))
    runtime.stream_wait(second, runtime.record(first))
    out = np.empty(64, np.uint8)
    runtime.download(out, buffer.ptr, 64, second)
    del buffer
    gc.collect()
    with pytest.raises(EmulationError, match="given back|has read"):
        runtime.synchronize()


def test_memory_given_back_after_waiting_is_fine_and_is_reused(runtime):
    first, second = runtime.new_stream(), runtime.new_stream()
    buffer = bytes_on(runtime, first, np.zeros(64, np.uint8))
    runtime.stream_wait(second, runtime.record(first))
    out = np.empty(64, np.uint8)
    runtime.download(out, buffer.ptr, 64, second)
    runtime.stream_wait(first, runtime.record(second))
    old = buffer.ptr
    del buffer
    again = runtime.alloc(60, first)
    assert again.ptr == old
    runtime.synchronize()
    with pytest.raises(EmulationError, match="never written"):
        runtime.read(again.ptr, 60, first)


def test_use_after_free_is_caught(runtime):
    stream = runtime.new_stream()
    buffer = bytes_on(runtime, stream, np.zeros(64, np.uint8))
    ptr = buffer.ptr
    del buffer
    with pytest.raises(EmulationError, match="reads 64 bytes of memory that was given back"):
        runtime.read(ptr, 64, stream)


def test_host_memory_changed_before_the_copy_ran_is_caught(runtime):
    """A slab that is filled again before its upload event."""
    stream = runtime.new_stream()
    slab = runtime.pinned(64)
    slab.view[:] = bytes(64)
    buffer = runtime.alloc(64, stream)
    runtime.upload(buffer.ptr, slab, 32, stream, src_offset=16)
    slab.view[0] = 1  # outside the copy
    runtime.wait_event(runtime.record(stream))
    slab.view[20] = 1  # after the event
    runtime.upload(buffer.ptr, slab, 32, stream, src_offset=16)
    slab.view[20] = 2
    with pytest.raises(EmulationError, match="its host memory changed before it ran"):
        runtime.wait_event(runtime.record(stream))


def test_host_memory_dropped_before_the_copy_ran_is_caught(runtime):
    stream = runtime.new_stream()
    buffer = runtime.alloc(64, stream)
    runtime.upload(buffer.ptr, np.zeros(64, np.uint8), 64, stream)
    with pytest.raises(EmulationError, match="was dropped before"):
        runtime.wait_event(runtime.record(stream))


def test_a_view_of_living_host_memory_may_be_dropped(runtime):
    stream = runtime.new_stream()
    buffer = runtime.alloc(64, stream)
    slab, array = runtime.pinned(128), np.zeros((4, 64), np.uint8)
    runtime.upload(buffer.ptr, np.frombuffer(slab.view, np.uint8)[64:], 64, stream)
    runtime.upload(buffer.ptr, array[2][:64], 64, stream)
    runtime.wait_event(runtime.record(stream))


def test_a_download_is_not_there_before_its_event(runtime):
    stream = runtime.new_stream()
    buffer = bytes_on(runtime, stream, host := np.zeros(64, np.uint8))
    out = np.zeros(64, np.uint8)
    runtime.download(out, buffer.ptr, 64, stream)
    assert (out == HOST_POISON).all()
    event = runtime.record(stream)
    polls = 0
    while not runtime.event_done(event):
        polls += 1
        assert polls < 100
    assert (out == host).all()


@pytest.mark.parametrize(("offset", "nbytes"), [(60, 8), (-1, 4), (64, 1), (1 << 40, 4)])
def test_every_copy_is_bounded(runtime, offset, nbytes):
    stream = runtime.new_stream()
    buffer = bytes_on(runtime, stream, np.zeros(64, np.uint8))
    with pytest.raises(EmulationError, match="outside any allocation"):
        runtime.read(buffer.ptr + offset, nbytes, stream)


def test_every_kernel_access_is_bounded(runtime):
    stream = runtime.new_stream()
    source, target = bytes_on(runtime, stream, np.zeros(64, np.uint8)), runtime.alloc(63, stream)
    held = queue_copy(runtime, stream, target.ptr, source.ptr, 64)
    with pytest.raises(EmulationError, match=(
        r"kernel copy_segments .*, block 0 thread \d+, writes \d+ bytes of outside any allocation: "
        "byte (48|63) of the 63 bytes"
    )):  # fmt: skip
        runtime.synchronize()
    del held


def test_host_pointers_do_not_work_in_kernels(runtime):
    stream = runtime.new_stream()
    host = np.zeros(64, np.uint8)
    target = runtime.alloc(64, stream)
    held = queue_copy(runtime, stream, target.ptr, host.ctypes.data, 64)
    with pytest.raises(EmulationError, match="host memory from a kernel"):
        runtime.synchronize()
    del held


def test_fresh_memory_is_poisoned_and_must_be_written_first(runtime):
    stream = runtime.new_stream()
    buffer = runtime.alloc(16, stream)
    runtime.synchronize()
    assert (raw_bytes(buffer.ptr, 16) == FRESH_POISON).all()
    with pytest.raises(EmulationError, match="never written"):
        runtime.read(buffer.ptr, 16, stream)


def test_launches_that_meet_in_an_atomic_need_no_event_but_a_reader_does():
    statuses = np.full(4, 3, np.int32)
    for ordered in (True, False):
        runtime = EmulatedRuntime()
        streams = [runtime.new_stream() for _ in range(2)]
        word = runtime.alloc(8, streams[0])
        runtime.memset(word.ptr, 0xFF, 8, streams[0])
        runtime.stream_wait(streams[1], runtime.record(streams[0]))
        held, (table,) = tables(runtime, streams[0], statuses)
        zero = np.uint64(0)
        for base, stream in enumerate(streams):
            runtime.launch("check_statuses", 1, 32, [
                table, zero, zero, zero, np.int64(4), np.uint64(10 - base), zero,
                np.uint64(word.ptr),
            ], stream)  # fmt: skip
        if ordered:
            runtime.stream_wait(streams[0], runtime.record(streams[1]))
            assert int(runtime.read(word.ptr, 8, streams[0]).view(np.uint64)[0]) == 9
            del held, word
            runtime.close()
        else:
            runtime.scheduler.drain()
            with pytest.raises(EmulationError, match="no event orders"):
                runtime.read(word.ptr, 8, streams[0])
            runtime.close(check=False)


def test_leaks_are_errors_at_close():
    runtime = EmulatedRuntime()
    buffer = runtime.alloc(64, runtime.new_stream())
    with pytest.raises(
        EmulationError, match=r"still held at close: 64 bytes allocated at tests/unit/"
    ):
        runtime.close()
    assert buffer.nbytes == 64
    with pytest.raises(EmulationError, match="runtime is closed"):
        runtime.new_stream()


def test_a_failure_is_raised_again_by_whatever_follows(runtime):
    stream = runtime.new_stream()
    runtime.memset(1, 0, 4, stream)
    for _ in range(2):
        with pytest.raises(EmulationError, match="outside any allocation"):
            runtime.wait_event(runtime.record(stream))


def test_memory_has_an_end(runtime):
    small = EmulatedRuntime(capacity=1000)
    stream = small.new_stream()
    first = small.alloc(600, stream)
    with pytest.raises(DeviceMemoryError, match="500 bytes asked for, 400 of 1000 are free"):
        small.alloc(500, stream)
    del first
    assert small.alloc(1000, stream).nbytes == 1000
    assert small.peak == 1000
    small.close()


def test_launches_are_checked(runtime):
    stream = runtime.new_stream()
    u, q = np.uint64(0), np.int64(0)
    for kernel, args, message in [
        ("nothing", [], "no kernel 'nothing'"),
        ("copy_segments", [u, u, u, u], "arguments .* wanted"),
        ("copy_segments", [u, u, u, u, 0], "arguments .*'int'.* wanted .*'int64'"),
        ("copy_segments", [q, u, u, u, q], "wanted"),
    ]:
        with pytest.raises(EmulationError, match=message):
            runtime.launch(kernel, 1, 32, args, stream)
    with pytest.raises(EmulationError, match="grid 0"):
        runtime.launch("copy_segments", 0, 32, [u, u, u, u, q], stream)


def test_arrays_hide_their_elements(runtime):
    array = runtime.to_device(np.arange(24, dtype=">i4").reshape(2, 3, 4))
    assert (array.shape, array.dtype, array.strides) == ((2, 3, 4), np.dtype("i4"), (48, 16, 4))
    for read in (np.asarray, list, bool, float, lambda a: a == 1, lambda a: a + 1,
                 lambda a: np.ones(4) + a):  # fmt: skip
        with pytest.raises(TypeError):
            read(array)
    with pytest.raises(TypeError):
        array[0] = 1
    host = np.arange(24).reshape(2, 3, 4)
    for view in (
        lambda a: a, lambda a: a.T, lambda a: a[1], lambda a: a[:, ::-1, 1::2],
        lambda a: a[..., None, -1],
        lambda a: a.reshape(6, 4), lambda a: a.reshape((4, -1)), lambda a: a.reshape(2, 1, 3, 4),
        lambda a: a[:, :, :2].reshape(2, 3, 1, 2), lambda a: a.transpose(1, 0, 2),
    ):  # fmt: skip
        np.testing.assert_array_equal(runtime.to_host(view(array)), view(host))
    with pytest.raises(ValueError, match="would need a copy"):
        array.T.reshape(24)
    assert runtime.to_device(array) is array
    assert runtime.is_device_array(array)
    assert not runtime.is_device_array(host)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fmt", ["LZ4", "Zstd", "Deflate", "Gzip"])
def test_nvcomp_decodes(fmt, seed):
    with EmulatedRuntime(seed) as runtime:
        plain = [bytes(range(200)) * 5, b"x" * 70, b""]
        held, status, actual, out = decompress(runtime, fmt, [encode(fmt, p) for p in plain], 1000)
        assert status.tolist() == [0, 0, 0]
        assert actual.tolist() == [1000, 70, 0]
        for i, p in enumerate(plain):
            assert out[i, : len(p)].tobytes() == p
        del held


def encode(fmt, plain):
    if fmt == "LZ4":
        return bytes(numcodecs.lz4.compress(plain))[4:] if plain else b"\0"
    if fmt == "Zstd":
        return bytes(numcodecs.zstd.compress(plain, 3))
    maker = zlib.compressobj(6, zlib.DEFLATED, {"Deflate": -15, "Gzip": 31}[fmt])
    return maker.compress(plain) + maker.flush()


def decompress(runtime, fmt, streams, capacity):
    """Run one batch; return buffers to keep, statuses, sizes and outputs."""
    nvcomp, stream, n = runtime.nvcomp, runtime.new_stream(), len(streams)
    data = [np.frombuffer(s, np.uint8) for s in streams]
    inputs, pointers = tables(runtime, stream, *data)
    target = runtime.alloc(capacity * n, stream)
    runtime.memset(target.ptr, 0, capacity * n, stream)
    temp_bytes = nvcomp.decompress_temp_bytes(fmt, n, capacity, capacity * n)
    temp, status, actual = (runtime.alloc(size, stream) for size in (temp_bytes, 4 * n, 8 * n))
    columns, (p, sizes, caps, outs) = tables(
        runtime, stream, np.array(pointers, np.uint64),
        np.array([len(s) for s in streams], np.uint64), np.full(n, capacity, np.uint64),
        np.array([target.ptr + i * capacity for i in range(n)], np.uint64),
    )  # fmt: skip
    nvcomp.decompress(
        fmt, p, sizes, caps, actual.ptr, n, temp.ptr, temp_bytes, outs, status.ptr, stream
    )
    codes = runtime.read(status.ptr, 4 * n, stream).view(np.int32)
    made = runtime.read(actual.ptr, 8 * n, stream).view(np.uint64)
    out = runtime.read(target.ptr, capacity * n, stream).reshape(n, capacity)
    return [inputs, columns, target, temp, status, actual], codes, made, out


def test_nvcomp_answers_corrupt_lz4_with_a_status(runtime):
    good = encode("LZ4", bytes(range(250)) * 4)
    _, status, actual, _ = decompress(runtime, "LZ4", [good, good[:-3], b"\xff\xff", good], 1000)
    assert (status == 0).tolist() == [True, False, False, True]
    assert actual.tolist() == [1000, 0, 0, 1000]
    _, status, _, _ = decompress(runtime, "LZ4", [good], 999)
    assert status[0] != 0


@pytest.mark.parametrize("fmt", ["Zstd", "Deflate", "Gzip"])
def test_nvcomp_does_not_define_other_corrupt_input(fmt):
    good = encode(fmt, bytes(range(250)) * 4)
    for bad in (good[:-9], b"\0" * 20, good + good):
        if fmt == "Deflate" and bad == good + good:
            continue  # ends where it ends
        runtime = EmulatedRuntime()
        with pytest.raises(UndefinedBehaviourError, match=f"a {fmt} stream of {len(bad)} bytes"):
            decompress(runtime, fmt, [bad], 1000)
        runtime.close(check=False)
        runtime = EmulatedRuntime(on_undefined="garbage")
        held, status, actual, out = decompress(runtime, fmt, [bad], 1000)
        assert (status[0], actual[0]) == (0, 1000)
        held.clear()
        assert (out != np.frombuffer(bytes(range(250)) * 4, np.uint8)).any()
        runtime.close()


def test_nvcomp_decodes_snappy(runtime):
    # "abcd" as a literal, then a copy of 8 from 4 back, then of 12 from 12 back, then of 1.
    stream = bytes([25, 3 << 2]) + b"abcd" + bytes([(8 - 4) << 2 | 1, 4, 11 << 2 | 2, 12, 0])
    stream += bytes([0 << 2 | 3, 24, 0, 0, 0])
    _, status, actual, out = decompress(runtime, "Snappy", [stream], 30)
    assert (status[0], actual[0]) == (0, 25)
    assert out[0, :25].tobytes() == b"abcd" * 6 + b"a"


def test_nvcomp_holds_callers_to_alignment_and_temporary_memory(runtime):
    nvcomp, stream = runtime.nvcomp, runtime.new_stream()
    with pytest.raises(EmulationError, match="refuses an empty batch"):
        nvcomp.decompress("LZ4", 0, 0, 0, 0, 0, 0, 0, 0, 0, stream)
    with pytest.raises(EmulationError, match="no such format: 'LZ5'"):
        nvcomp.alignments("LZ5")
    assert nvcomp.alignments("Deflate") == (4, 1, 1)
