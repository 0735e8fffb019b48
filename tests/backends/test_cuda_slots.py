"""What a slot queues on a GPU, in which order: seen by a double of the driver that writes it down.

The double computes at once, on the CPU; what a real GPU does is for `test_triton.py` on one.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("triton")

from imagen_fast.kernels.triton.launch import Array
from imagen_fast.kernels.triton.program import Buffer, Program

from imagen_fast.backends import slots as slots_module
from imagen_fast.backends.slots import CudaSlot, Key, Slots

LOG: list[str] = []


class Halving(Program):
    """A program: every sample halved. Remembers its last run, which a graph repeats."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        size = int(np.prod(shape))
        kinds = [("u8", size), ("u8", size), ("i32", 1), ("fp32", size)]
        super().__init__(
            [Buffer(kind, [count]) for kind, count in kinds], [],
            {"x": Array(0, "u8", shape)}, {"y": Array(1, "u8", shape)}, Array(2, "i32"),
        )  # fmt: skip

    def run(self, memory: Any) -> None:
        def work() -> None:
            memory[1].copy_(memory[0] // 2)
            memory[2].fill_(int((memory[0] == 255).any()))

        LOG.append(f"launches on {Stream.current}")
        work()
        Graph.last = work


def halving(key: Key) -> Program:
    return Halving((*key[0][0][1], 1))


def run(slots: Slots, tiles: np.ndarray) -> tuple[np.ndarray, bool]:
    """Each image a chunk of its own."""
    outputs, finite = slots.run({"x": tiles}, ["y"], 1)
    return outputs["y"], finite


class Stream:
    """Its name says what it is for."""

    current = "default"
    names = iter(())

    def __init__(self, _: object = None) -> None:
        self.name = next(Stream.names)

    def wait_event(self, event: "Event") -> None:
        assert event.recorded, "waits for nothing"
        LOG.append(f"{self.name} waits for {event.recorded}")

    def wait_stream(self, other: Any) -> None:
        LOG.append(f"{self.name} waits for stream {other.name}")

    def synchronize(self) -> None:
        LOG.append(f"host waits for stream {self.name}")


class Event:
    recorded = ""

    def record(self) -> None:
        self.recorded = Stream.current

    def synchronize(self) -> None:
        LOG.append(f"host waits for {self.recorded}")


class Graph:
    last: Any = None

    def replay(self) -> None:
        LOG.append(f"replay on {Stream.current}")
        self.work()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        before, Stream.current = Stream.current, stream.name
        yield
        Stream.current = before

    @contextmanager
    def recording(graph: Graph, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        assert capture_error_mode == "thread_local"
        LOG.append("recording")
        with on(stream):
            yield
        graph.work = Graph.last

    monkeypatch.setattr(Stream, "names", iter(("load", "compute", "store")))
    for name, double in (("Stream", Stream), ("Event", Event), ("CUDAGraph", Graph)):
        monkeypatch.setattr(torch.cuda, name, double)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: SimpleNamespace(name="default"))
    for name in ("empty", "zeros"):  # nothing can be pinned here
        real = getattr(torch, name)
        monkeypatch.setattr(torch, name, lambda *a, real=real, pin_memory=False, **k: real(*a, **k))
    LOG.clear()


@pytest.fixture
def slots(cuda: None) -> Slots:
    made = Slots(halving, {}, torch.device("cpu"))
    made._streams = slots_module.Streams(torch.device("cpu"))
    return made


RECORDING = [
    "compute waits for stream default",  # where the slot's memory was made
    "launches on compute",  # compiles
    "host waits for stream compute",
    "recording",
    "launches on compute",
]
START = ["compute waits for load", "replay on compute", "store waits for compute"]


def test_copies_and_computation_on_three_streams(slots: Slots) -> None:
    tiles = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2, 1)
    output, finite = run(slots, tiles)
    np.testing.assert_array_equal(output, tiles // 2)
    assert finite
    (made,) = slots._ready.values()
    assert [type(slot) for slot in made] == [CudaSlot, CudaSlot]
    waits = "host waits for store"
    assert [
        *RECORDING, *RECORDING,
        *START, *START,  # two are on their way before the host waits for the first
        waits, *START, waits, *START, waits, *START, waits, waits,
    ] == LOG  # fmt: skip
    LOG.clear()
    run(slots, tiles[:1])
    assert [*START, waits] == LOG  # recorded once


def test_what_is_not_finite_comes_back_with_its_chunk(slots: Slots) -> None:
    tiles = np.zeros((4, 1, 1, 1), np.uint8)
    assert run(slots, tiles)[1]
    for index in range(4):
        wrong = tiles.copy()
        wrong[index] = 255
        assert not run(slots, wrong)[1]
    assert run(slots, tiles)[1]


def test_larger_memory_means_recording_anew(slots: Slots) -> None:
    small, large = np.zeros((1, 2, 2, 1), np.uint8), np.zeros((1, 40, 40, 1), np.uint8)
    run(slots, small)
    run(slots, large)
    held = slots.memory
    LOG.clear()
    run(slots, small)  # its old recording wrote where the memory was
    assert LOG[: len(RECORDING)] == RECORDING
    run(slots, large)
    assert "recording" not in LOG[len(RECORDING) + len(START) + 1 :]
    assert slots.memory == held


def test_two_engines_record_one_after_the_other(
    cuda: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two threads: PyTorch waits for the whole device first, which spoils a recording."""
    monkeypatch.setattr(Stream, "names", iter(2 * ("load", "compute", "store")))
    recording: list[Graph] = []
    both = Barrier(2)

    @contextmanager
    def slowly(graph: Graph, **_: object) -> Iterator[None]:
        recording.append(graph)
        time.sleep(0.05)
        assert recording == [graph]
        yield
        recording.remove(graph)
        graph.work = Graph.last

    def work(_: int) -> None:
        slots = Slots(halving, {}, torch.device("cpu"))
        slots._streams = slots_module.Streams(torch.device("cpu"))
        both.wait()
        assert run(slots, np.zeros((2, 2, 2, 1), np.uint8))[1]

    monkeypatch.setattr(torch.cuda, "graph", slowly)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == [None, None]
