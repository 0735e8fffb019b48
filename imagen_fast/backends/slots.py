"""Tiles on their way through a device: in, through the network, out, several at once.

A slot holds one chunk of tiles. While its network runs, the next chunk is copied to the device in
another slot, and the one before comes back from a third place: on a GPU these are three streams,
and the network's launches one CUDA graph, recorded once for a shape. All slots of a program share
one piece of memory for feature maps, because only one of them computes at a time.

CUDA's part has not yet been run on a GPU.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from imagen_fast.backends.base import Tiles

if TYPE_CHECKING:
    from imagen_fast.kernels.triton.buffers import Place, Plan

MOST_SHAPES = 8  # that are kept ready
AT_ONCE = 2  # chunks of a batch: one computed, one copied
DTYPES = {np.dtype(np.uint8): torch.uint8, np.dtype(np.float32): torch.float32}


class Program(Protocol):
    """What a slot runs: `kernels.triton.network.Network` or `kernels.triton.listing.Listing`."""

    def plan(self, shape: tuple[int, ...]) -> Plan:
        """The memory for an input of this shape."""

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of the result."""

    def run(self, x: Tensor, place: Place, *, out: Tensor, not_finite: Tensor) -> object:
        """x → out; not_finite (1,) int32 becomes 1 if the result is not finite."""


class Slot:
    """One chunk, computed as soon as it is there: for the CPU.

    Args:
        program: what computes.
        shape: of the chunk.
        dtype: of its samples and of the result's.
        device: where.
        memory: for the program's plan.
    """

    def __init__(
        self,
        program: Program,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device,
        memory: Tensor,
    ) -> None:
        self.program, self.place = program, program.plan(shape).place(memory)
        self.given = torch.zeros(shape, dtype=dtype, device=device)
        self.result = torch.empty(program.output_shape(shape), dtype=dtype, device=device)
        self.not_finite = torch.zeros(1, dtype=torch.int32, device=device)

    def start(self, tiles: Tiles, out: Tensor) -> None:
        """Put a chunk on its way to `out`, in main memory. The last one has been waited for."""
        np.copyto(self.given.numpy(), tiles)
        self._compute()
        out.copy_(self.result)

    def finish(self) -> bool:
        """Wait until the result is in `out`; whether it is finite."""
        return not self.not_finite.item()

    def _compute(self) -> None:
        self.not_finite.zero_()
        self.program.run(self.given, self.place, out=self.result, not_finite=self.not_finite)


class Streams:
    """A device's three streams."""

    def __init__(self, device: torch.device) -> None:
        self.load, self.compute, self.store = (torch.cuda.Stream(device) for _ in range(3))


class CudaSlot(Slot):
    """One chunk on a GPU, where start() only queues the work."""

    def __init__(
        self,
        program: Program,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device,
        memory: Tensor,
        streams: Streams,
    ) -> None:
        super().__init__(program, shape, dtype, device, memory)
        self._streams = streams
        self._host = torch.empty(shape, dtype=dtype, pin_memory=True)
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
        # Thread-local: another engine's thread may allocate meanwhile.
        with torch.cuda.graph(graph, stream=compute, capture_error_mode="thread_local"):
            self._compute()
        return graph

    def start(self, tiles: Tiles, out: Tensor) -> None:
        """As `Slot.start`; `out` is pinned."""
        np.copyto(self._host.numpy(), tiles)
        streams = self._streams
        with torch.cuda.stream(streams.load):
            self.given.copy_(self._host, non_blocking=True)
            self._loaded.record()
        with torch.cuda.stream(streams.compute):
            streams.compute.wait_event(self._loaded)
            self._graph.replay()
            self._computed.record()
        with torch.cuda.stream(streams.store):
            streams.store.wait_event(self._computed)
            out.copy_(self.result, non_blocking=True)
            self._told.copy_(self.not_finite, non_blocking=True)
            self._stored.record()

    def finish(self) -> bool:
        """As `Slot.finish`."""
        self._stored.synchronize()
        return not self._told.item()


class Slots:
    """A program's slots by shape; the least recently used shape goes when there are too many.

    Not thread-safe.
    """

    def __init__(self, program: Program, device: torch.device) -> None:
        self.program, self.device = program, device
        self._memory = torch.empty(0, dtype=torch.uint8, device=device)
        self._ready: OrderedDict[Any, list[Slot]] = OrderedDict()
        self._streams = Streams(device) if device.type == "cuda" else None

    @property
    def memory(self) -> int:
        """Bytes that are held for feature maps."""
        return self._memory.numel()

    def get(self, shape: tuple[int, ...], dtype: torch.dtype, count: int) -> list[Slot]:
        """At least `count` slots for chunks of this shape and dtype."""
        size = self.program.plan(shape).size
        if size > self._memory.numel():
            self.clear()  # recorded launches write where the old memory is
            self._memory = torch.empty(size, dtype=torch.uint8, device=self.device)
        found = self._ready.setdefault((shape, dtype), [])
        self._ready.move_to_end((shape, dtype))
        while len(self._ready) > MOST_SHAPES:
            self._ready.popitem(last=False)
        try:
            while len(found) < count:
                found.append(self._made(shape, dtype))
        except BaseException:
            if not found:
                del self._ready[shape, dtype]
            raise
        return found

    def _made(self, shape: tuple[int, ...], dtype: torch.dtype) -> Slot:
        arguments = (self.program, shape, dtype, self.device, self._memory)
        return CudaSlot(*arguments, self._streams) if self._streams else Slot(*arguments)

    def run(self, tiles: Tiles, chunk: int) -> tuple[Tiles, bool]:
        """The program on all tiles, `chunk` at a time, which divides their number.

        Returns:
            The result, of the tiles' dtype, in memory that is pinned where there is a GPU; and
            whether it is finite.
        """
        dtype = DTYPES[tiles.dtype]
        shape = self.program.output_shape(tiles.shape)
        output = torch.empty(shape, dtype=dtype, pin_memory=self._streams is not None)
        count = len(tiles) // chunk
        slots = self.get((chunk, *tiles.shape[1:]), dtype, min(count, AT_ONCE))
        finite = through(slots, tiles, output, chunk)
        return output.numpy(), finite

    def clear(self) -> None:
        """Drop all slots and their memory."""
        self._ready.clear()
        self._memory = self._memory.new_empty(0)


def through(slots: Sequence[Slot], tiles: Tiles, output: Tensor, chunk: int) -> bool:
    """Chunks through slots in turn; a slot is waited for before it takes another chunk.

    Also when something fails: no slot is left at work. Returns whether all of it is finite.
    """
    busy: deque[Slot] = deque()
    finite = True
    try:
        for index, first in enumerate(range(0, len(tiles), chunk)):
            slot = slots[index % len(slots)]
            if len(busy) == len(slots):
                finite &= busy.popleft().finish()
            slot.start(tiles[first : first + chunk], output[first : first + chunk])
            busy.append(slot)
    finally:
        for slot in busy:
            finite &= slot.finish()
    return finite


def chunk_of(count: int, pixels: int, most: int) -> int:
    """How many of `count` tiles go together: the most that divide it, of `most` pixels at most."""
    fitting = [n for n in range(1, count + 1) if count % n == 0 and n * pixels <= most]
    return max(fitting, default=1)
