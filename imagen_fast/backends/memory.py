"""How much memory this process may still take, and how many pixels fit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from imagen_fast.errors import BackendError
from imagen_fast.graph import Graph
from imagen_fast.graph.passes import needed
from imagen_fast.graph.reach import averages

# A larger tile is no faster per pixel on a CPU, and costs memory that someone else may want.
CPU_BUDGET = 1 << 30
# Input pixels: smaller tiles are mostly halo, and readings of free memory are sometimes too low.
LEAST_PIXELS = 192**2


def available() -> int:
    """Bytes of main memory, by the kernel's estimate and within the limits of the container.

    Where the native engine is not built, half of what the machine has.
    """
    try:
        from imagen_fast._native import available_memory
    except ImportError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return available_memory()


def budget(graph: Graph) -> int:
    """Bytes of main memory that a run may take: a part, since others use it too.

    A larger part of means over the picture, which must not be cut to be exact.
    """
    return available() // 2 if averages(graph) else min(available() // 4, CPU_BUDGET)


def pixels(graph: Graph, bytes_: int, bytes_per_channel: int) -> int:
    """How many input pixels fit into so many bytes, of which a pixel of each channel takes some."""
    return max(int(bytes_ / (widest(graph) * bytes_per_channel)), LEAST_PIXELS)


def widest(graph: Graph) -> float:
    """Channels of the widest value between first input and first output, for an input pixel.

    A finer grid's count as often as it has pixels.
    """
    optional = [name for name, x in graph.inputs.items() if x.optional]
    graph = needed(graph.without(optional), [next(iter(graph.outputs))])
    whole = [x for x in graph.values.values() if x.grid.of]
    areas = [float(x.grid.factor**2) / (1 << 2 * x.grid.halvings) for x in whole]
    return max(x.channels * area for x, area in zip(whole, areas, strict=True))


@contextmanager
def enough(device: str, shape: Sequence[int]) -> Iterator[None]:
    """Says what to do where PyTorch runs out of memory in the block, for an input of this shape.

    Raises:
        BackendError: it did.
    """
    try:
        yield
    except RuntimeError as error:
        if "out of memory" not in str(error) and "allocate memory" not in str(error):
            raise
        raise BackendError(
            f"out of memory on {device} for an input of shape {tuple(shape)}; choose a smaller tile"
        ) from error
