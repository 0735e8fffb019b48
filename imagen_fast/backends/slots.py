"""Tiles on their way through a device: in, through the network, out, several at once.

A slot holds one chunk of tiles. While its network runs, the next chunk is copied to the device in
another slot, and the one before comes back from a third place: on a GPU these are three streams,
and the network's launches one CUDA graph, recorded once for a shape. All slots of a device share
one piece of memory for feature maps, because only one of them computes at a time.

CUDA's part has not yet been run on a GPU.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from imagen_fast.backends.base import Tiles

if TYPE_CHECKING:
    from imagen_fast.kernels.triton.program import Program

MOST_SHAPES = 8  # that are kept ready
AT_ONCE = 2  # chunks of a batch: one computed, one copied
ALIGNMENT = 256  # bytes, of every buffer: more than any load or copy engine asks for
_RECORDING = threading.Lock()

Arrays = Mapping[str, Tiles]
Results = Mapping[str, Tensor]


class Slot:
    """One chunk, computed as soon as it is there: for the CPU.

    Args:
        program: what computes, over the shape of the chunk.
        packed: the packed tensors by name.
        device: where.
        memory: `work_bytes` of the program, for its feature maps.
    """

    def __init__(
        self, program: Program, packed: Results, device: torch.device, memory: Tensor
    ) -> None:
        self.program, self._device = program, device
        self.given = {name: self._made(x.of) for name, x in program.inputs.items()}
        self.results = {name: self._made(x.of) for name, x in program.outputs.items()}
        self.not_finite = self._made(program.flag.of)
        own = [*self.given.values(), *self.results.values(), self.not_finite]
        work = memory[: work_bytes(program)].split(_sizes(program))
        work = [x[: _bytes(program, i)] for i, x in zip(program.work, work, strict=True)]
        views = [x.view(_dtype(program, i)) for i, x in zip(program.work, work, strict=True)]
        self._memory: dict[int | str, Tensor] = dict(enumerate([*own, *views]))
        self._memory.update(packed)

    def _made(self, number: Any) -> Tensor:
        return torch.zeros(
            _elements(self.program, number), dtype=_dtype(self.program, number), device=self._device
        )

    def start(self, tiles: Arrays, out: Results) -> None:
        """Put a chunk on its way to `out`, in main memory. The last one has been waited for."""
        for name, x in self.given.items():
            np.copyto(x.numpy(), tiles[name].reshape(-1))
        self._compute()
        for name, x in self.results.items():
            out[name].copy_(x.view(out[name].shape))

    def finish(self) -> bool:
        """Wait until the result is in `out`; whether it is finite."""
        return not self.not_finite.item()

    def _compute(self) -> None:
        self.not_finite.zero_()
        self.program.run(self._memory)


def work_bytes(program: Program) -> int:
    """Of the memory for a program's feature maps."""
    return sum(_sizes(program))


def _sizes(program: Program) -> list[int]:
    return [-(-_bytes(program, i) // ALIGNMENT) * ALIGNMENT for i in program.work]


def _elements(program: Program, number: int) -> int:
    elements = program.buffers[number].elements
    assert isinstance(elements, int)
    return elements


def _bytes(program: Program, number: int) -> int:
    return _elements(program, number) * _dtype(program, number).itemsize


def _dtype(program: Program, number: int) -> torch.dtype:
    from imagen_fast.kernels.triton.launch import DTYPES

    dtype: torch.dtype = DTYPES[program.buffers[number].kind]
    return dtype


class Streams:
    """A device's three streams."""

    def __init__(self, device: torch.device) -> None:
        self.load, self.compute, self.store = (torch.cuda.Stream(device) for _ in range(3))


class CudaSlot(Slot):
    """One chunk on a GPU, where start() only queues the work."""

    def __init__(
        self,
        program: Program,
        packed: Results,
        device: torch.device,
        memory: Tensor,
        streams: Streams,
    ) -> None:
        super().__init__(program, packed, device, memory)
        self._streams = streams
        self._host = {
            name: torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
            for name, x in self.given.items()
        }
        self._told = torch.zeros(1, dtype=torch.int32, pin_memory=True)
        self._loaded, self._computed, self._stored = (torch.cuda.Event() for _ in range(3))
        self._graph = self._recorded()

    def _recorded(self) -> torch.cuda.CUDAGraph:
        """The launches of one run. A first one before it compiles what is not compiled yet."""
        compute = self._streams.compute
        compute.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(compute):
            self._compute()
        compute.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Thread-local: another engine's thread may allocate meanwhile. One at a time: PyTorch waits
        # for the whole device before it records, which would spoil another thread's recording.
        with (
            _RECORDING,
            torch.cuda.graph(graph, stream=compute, capture_error_mode="thread_local"),
        ):
            self._compute()
        return graph

    def start(self, tiles: Arrays, out: Results) -> None:
        """As `Slot.start`; `out` is pinned."""
        streams = self._streams
        for name, host in self._host.items():
            np.copyto(host.numpy(), tiles[name].reshape(-1))
        with torch.cuda.stream(streams.load):
            for name, host in self._host.items():
                self.given[name].copy_(host, non_blocking=True)
            self._loaded.record()
        with torch.cuda.stream(streams.compute):
            streams.compute.wait_event(self._loaded)
            self._graph.replay()
            self._computed.record()
        with torch.cuda.stream(streams.store):
            streams.store.wait_event(self._computed)
            for name, x in self.results.items():
                out[name].copy_(x.view(out[name].shape), non_blocking=True)
            self._told.copy_(self.not_finite, non_blocking=True)
            self._stored.record()

    def finish(self) -> bool:
        """As `Slot.finish`."""
        self._stored.synchronize()
        return not self._told.item()


class Slots:
    """Slots by what is run; the least recently used goes when there are too many.

    Not thread-safe.

    Args:
        plan: makes the program for a key: shapes, kind of samples and outputs, as `key_of` has it.
        packed: the packed tensors by name; programs may add to it.
        device: where.
    """

    def __init__(
        self, plan: Callable[[Key], Program], packed: dict[str, Tensor], device: torch.device
    ) -> None:
        self._plan, self._packed, self.device = plan, packed, device
        self._memory = torch.empty(0, dtype=torch.uint8, device=device)
        self._ready: OrderedDict[Key, list[Slot]] = OrderedDict()
        self._streams = Streams(device) if device.type == "cuda" else None

    @property
    def memory(self) -> int:
        """Bytes that are held for feature maps."""
        return self._memory.numel()

    def get(self, key: Key, count: int) -> list[Slot]:
        """At least `count` slots."""
        if len(self._ready.get(key, ())) < count:
            program = self._plan(key)
            if (size := work_bytes(program)) > self.memory:
                self.clear()  # recorded launches write where the old memory is
                self._memory = torch.empty(size, dtype=torch.uint8, device=self.device)
            made = self._ready.get(key, [])
            while len(made) < count:
                made.append(self._made(program))
            self._ready[key] = made
        self._ready.move_to_end(key)
        while len(self._ready) > MOST_SHAPES:
            self._ready.popitem(last=False)
        return self._ready[key]

    def _made(self, program: Program) -> Slot:
        arguments = (program, self._packed, self.device, self._memory)
        return CudaSlot(*arguments, self._streams) if self._streams else Slot(*arguments)

    def run(self, given: Arrays, wanted: Sequence[str], most: int) -> tuple[dict[str, Tiles], bool]:
        """The network on a batch, in chunks of `most` pixels that divide it.

        Returns:
            The outputs by name, in memory that is pinned where there is a GPU; and whether all of
            it is finite.
        """
        chunk = chunk_of(given, most)
        count = len(next(iter(given.values()))) // chunk
        slots = self.get(key_of(given, wanted, chunk), min(count, AT_ONCE))
        program = slots[0].program
        outputs = {
            name: torch.empty(
                (chunk * count, *x.shape[1:]),
                dtype=_dtype(program, x.of),
                pin_memory=self._streams is not None,
            )
            for name, x in program.outputs.items()
        }
        finite = through(slots, given, outputs, chunk)
        return {name: x.numpy() for name, x in outputs.items()}, finite

    def clear(self) -> None:
        """Drop all slots and their memory."""
        self._ready.clear()
        self._memory = self._memory.new_empty(0)


# Shapes (N, H, W) of one chunk by input, kind of pictures' samples, names of outputs.
Key = tuple[tuple[tuple[str, tuple[int, ...]], ...], str, tuple[str, ...]]


def key_of(given: Arrays, wanted: Sequence[str], chunk: int) -> Key:
    """What tells programs apart."""
    shapes = tuple((name, (chunk, *x.shape[1:3])) for name, x in given.items())
    in_bytes = any(x.dtype == np.uint8 for x in given.values())
    return shapes, "u8" if in_bytes else "fp32", tuple(wanted)


def through(slots: Sequence[Slot], given: Arrays, outputs: Results, chunk: int) -> bool:
    """Chunks through slots in turn; a slot is waited for before it takes another chunk.

    Also when something fails: no slot is left at work. Returns whether all of it is finite.
    """
    busy: deque[Slot] = deque()
    finite = True
    count = len(next(iter(given.values())))
    try:
        for index, first in enumerate(range(0, count, chunk)):
            slot = slots[index % len(slots)]
            if len(busy) == len(slots):
                finite &= busy.popleft().finish()
            part = slice(first, first + chunk)
            slot.start(
                {name: x[part] for name, x in given.items()},
                {name: x[part] for name, x in outputs.items()},
            )
            busy.append(slot)
    finally:
        for slot in busy:
            finite &= slot.finish()
    return finite


def chunk_of(given: Arrays, most: int) -> int:
    """How many images go together: the most that divide their number, of `most` pixels at most."""
    count = len(next(iter(given.values())))
    pixels = max(math.prod(x.shape[1:3]) for x in given.values())
    fitting = [n for n in range(1, count + 1) if count % n == 0 and n * pixels <= most]
    return max(fitting, default=1)
