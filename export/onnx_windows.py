"""Attention windows in an ONNX graph: cutting a level up, putting it together, masking what is not.

For a fixed shape the masks are constants of the file. For an open one the graph computes them from
the live height and width, once for all blocks that share them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .onnx_graph import Graph, Size

# Added to the logits of keys outside the picture. Finite, because some runtimes make NaN of
# infinities; far below every logit, which is at most τ √d; and within fp16.
NOWHERE = -30000.0


@dataclass(frozen=True)
class Windows:
    """How a level of `height` × `width` is cut: `rows` × `columns` windows, the first at -shift.

    `bottom`, `right`: pixels outside the picture that complete the last ones.
    """

    height: Size
    width: Size
    shift: int
    rows: Size
    columns: Size
    bottom: Size
    right: Size

    @property
    def padded(self) -> bool:
        """Whether pixels outside the picture are, or may be, among them."""
        return any(side != 0 for side in (self.shift, self.bottom, self.right))


class WindowOps:
    """Appends to a graph what windows of `side` pixels need.

    Args:
        batch: how many pictures there are.
        booleans: whether masks are booleans, as the operator Attention takes them, or float32 to
            be added to the logits.
    """

    def __init__(self, graph: Graph, side: int, batch: Size, *, booleans: bool) -> None:
        self.graph, self.side, self.batch, self.booleans = graph, side, batch, booleans

    def windows(self, height: Size, width: Size, shift: int) -> Windows:
        """The windows of a level of this size."""
        win, graph = self.side, self.graph
        with graph.scope("windows"):
            rows, columns = (
                graph.div(graph.add(size, shift + win - 1), win) for size in (height, width)
            )
            bottom, right = (
                graph.sub(graph.sub(graph.mul(count, win), shift), size)
                for count, size in ((rows, height), (columns, width))
            )
        return Windows(height, width, shift, rows, columns, bottom, right)

    def partition(self, x: str, c: int, windows: Windows) -> str:
        """(N, C, H, W) → (N·windows, win², C), zeros outside the picture."""
        graph, win, w = self.graph, self.side, windows
        x = graph.op("Transpose", x, perm=[0, 2, 3, 1])  # (N, H, W, C): windows move rows of C
        if w.padded:
            x = graph.op("Pad", x, graph.vector(0, w.shift, w.shift, 0, 0, w.bottom, w.right, 0))
        x = graph.op("Reshape", x, graph.vector(-1, w.rows, win, w.columns, win, c))
        x = graph.op("Transpose", x, perm=[0, 1, 3, 2, 4, 5])  # (N, rows, columns, win, win, C)
        return graph.op("Reshape", x, graph.vector(-1, win * win, c))

    def merge(self, x: str, c: int, windows: Windows) -> str:
        """The inverse of `partition`: (N·windows, win², C) → (N, C, H, W)."""
        graph, win, w = self.graph, self.side, windows
        x = graph.op("Reshape", x, graph.vector(-1, w.rows, w.columns, win, win, c))
        x = graph.op("Transpose", x, perm=[0, 1, 3, 2, 4, 5])  # (N, rows, win, columns, win, C)
        sides = graph.mul(w.rows, win), graph.mul(w.columns, win)
        x = graph.op("Reshape", x, graph.vector(-1, *sides, c))
        if w.padded:
            x = graph.crop(x, w.shift, (w.height, w.width), axis=1)
        return graph.op("Transpose", x, perm=[0, 3, 1, 2])

    def mask(self, windows: Windows) -> str | None:
        """Which keys are in the picture; None if all of them are.

        (N·windows, 1, 1, win²) to be added, (N·windows, 1, win², win²) booleans: ONNX Runtime's
        Attention broadcasts a mask over heads but not over queries.
        """
        if not windows.padded:
            return None
        with self.graph.scope("windows"):
            return self._mask(windows)

    def _mask(self, w: Windows) -> str:
        graph, win = self.graph, self.side
        shapes = (-1, 1, win, 1), (1, -1, 1, win)  # together (rows, columns, win, win)
        down = self._inside(w.rows, w.height, w.shift)
        across = self._inside(w.columns, w.width, w.shift)
        if isinstance(down, str) or isinstance(across, str):
            sides = (
                graph.op("Reshape", str(side), graph.vector(*shape))
                for side, shape in zip((down, across), shapes, strict=True)
            )
            mask = graph.op("Reshape", graph.op("And", *sides), graph.vector(-1, 1, 1, win * win))
            if not self.booleans:
                values = (graph.constant(value, np.float32) for value in (0, NOWHERE))
                mask = graph.op("Where", mask, *values)
        else:
            within = down.reshape(shapes[0]) & across.reshape(shapes[1])
            within = within.reshape(-1, 1, 1, win * win)
            if self.booleans:
                mask = graph.constant(within, np.bool_)
            else:
                mask = graph.constant(
                    np.where(within, np.float32(0), np.float32(NOWHERE)), np.float32
                )
        queries = win * win if self.booleans else 1
        if (self.batch, queries) == (1, 1):
            return mask
        # Not folded even where the batch is fixed: equal masks would only make the file larger.
        return graph.op("Tile", mask, graph.vector(self.batch, 1, queries, 1))

    def _inside(self, count: Size, size: Size, shift: int) -> NDArray[np.bool_] | str:
        """Which of count·win pixels along a side are in the picture: booleans, now or live."""
        if isinstance(count, int) and isinstance(size, int):
            place = np.arange(count * self.side)
            inside: NDArray[np.bool_] = (place >= shift) & (place < size + shift)
            return inside
        graph = self.graph
        zero, one = (graph.constant(value, np.int64) for value in (0, 1))
        end = graph.op("Squeeze", graph.vector(graph.mul(count, self.side)))
        places = graph.op("Range", zero, end, one)
        found = graph.op("Less", places, graph.vector(graph.add(size, shift)))
        if not shift:
            return found
        first = graph.constant(shift, np.int64)
        return graph.op("And", found, graph.op("GreaterOrEqual", places, first))
