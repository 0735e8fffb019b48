"""Attention in an ONNX file: over the picture, or within windows of it.

For a fixed shape the masks are constants of the file. For an open one they are computed from the
live height and width, once for all operations that share them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from .onnx_blocks import Blocks, Call
from .onnx_nodes import Nodes, Size

# Added to the logits of keys outside the picture. Finite, because some runtimes make NaN of
# infinities; far below every logit, which is at most τ √d; and within fp16.
NOWHERE = -30000.0
EPSILON = 1e-6


@dataclass(frozen=True)
class Windows:
    """How a value of `height` × `width` is cut: `rows` × `columns` windows, the first at -shift.

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


class _Cutter:
    """Cuts values into windows of `side` pixels.

    Args:
        batch: how many pictures there are.
        booleans: whether masks are booleans, as the operator Attention takes them, or float32 to
            be added to the logits.
    """

    def __init__(self, nodes: Nodes, side: int, batch: Size, *, booleans: bool) -> None:
        self.nodes, self.side, self.batch, self.booleans = nodes, side, batch, booleans

    def windows(self, height: Size, width: Size, shift: int) -> Windows:
        """The windows of a value of this size."""
        win, nodes = self.side, self.nodes
        with nodes.scope("windows"):
            rows, columns = (
                nodes.div(nodes.add(size, shift + win - 1), win) for size in (height, width)
            )
            bottom, right = (
                nodes.sub(nodes.sub(nodes.mul(count, win), shift), size)
                for count, size in ((rows, height), (columns, width))
            )
        return Windows(height, width, shift, rows, columns, bottom, right)

    def partition(self, x: str, c: int, windows: Windows) -> str:
        """(N, C, H, W) → (N·windows, win², C), zeros outside the picture."""
        nodes, win, w = self.nodes, self.side, windows
        x = nodes.op("Transpose", x, perm=[0, 2, 3, 1])  # (N, H, W, C): windows move rows of C
        if w.padded:
            x = nodes.op("Pad", x, nodes.vector(0, w.shift, w.shift, 0, 0, w.bottom, w.right, 0))
        x = nodes.op("Reshape", x, nodes.vector(-1, w.rows, win, w.columns, win, c))
        x = nodes.op("Transpose", x, perm=[0, 1, 3, 2, 4, 5])  # (N, rows, columns, win, win, C)
        return nodes.op("Reshape", x, nodes.vector(-1, win * win, c))

    def merge(self, x: str, c: int, windows: Windows) -> str:
        """The inverse of `partition`: (N·windows, win², C) → (N, C, H, W)."""
        nodes, win, w = self.nodes, self.side, windows
        x = nodes.op("Reshape", x, nodes.vector(-1, w.rows, w.columns, win, win, c))
        x = nodes.op("Transpose", x, perm=[0, 1, 3, 2, 4, 5])  # (N, rows, win, columns, win, C)
        sides = nodes.mul(w.rows, win), nodes.mul(w.columns, win)
        x = nodes.op("Reshape", x, nodes.vector(-1, *sides, c))
        if w.padded:
            x = nodes.crop(x, w.shift, (w.height, w.width), axis=1)
        return nodes.op("Transpose", x, perm=[0, 3, 1, 2])

    def mask(self, windows: Windows) -> str | None:
        """Which keys are in the picture; None if all of them are.

        (N·windows, 1, 1, win²) to be added, (N·windows, 1, win², win²) booleans: ONNX Runtime's
        Attention broadcasts a mask over heads but not over queries.
        """
        if not windows.padded:
            return None
        with self.nodes.scope("windows"):
            return self._mask(windows)

    def _mask(self, w: Windows) -> str:
        nodes, win = self.nodes, self.side
        shapes = (-1, 1, win, 1), (1, -1, 1, win)  # together (rows, columns, win, win)
        down = self._inside(w.rows, w.height, w.shift)
        across = self._inside(w.columns, w.width, w.shift)
        if isinstance(down, str) or isinstance(across, str):
            sides = (
                nodes.op("Reshape", str(side), nodes.vector(*shape))
                for side, shape in zip((down, across), shapes, strict=True)
            )
            mask = nodes.op("Reshape", nodes.op("And", *sides), nodes.vector(-1, 1, 1, win * win))
            if not self.booleans:
                values = (nodes.constant(value, np.float32) for value in (0, NOWHERE))
                mask = nodes.op("Where", mask, *values)
        else:
            within = down.reshape(shapes[0]) & across.reshape(shapes[1])
            within = within.reshape(-1, 1, 1, win * win)
            if self.booleans:
                mask = nodes.constant(within, np.bool_)
            else:
                mask = nodes.constant(
                    np.where(within, np.float32(0), np.float32(NOWHERE)), np.float32
                )
        queries = win * win if self.booleans else 1
        if (self.batch, queries) == (1, 1):
            return mask
        # Not folded even where the batch is fixed: equal masks would only make the file larger.
        return nodes.op("Tile", mask, nodes.vector(self.batch, 1, queries, 1))

    def _inside(self, count: Size, size: Size, shift: int) -> NDArray[np.bool_] | str:
        """Which of count·win pixels along a side are in the picture: booleans, now or live."""
        if isinstance(count, int) and isinstance(size, int):
            place = np.arange(count * self.side)
            inside: NDArray[np.bool_] = (place >= shift) & (place < size + shift)
            return inside
        nodes = self.nodes
        zero, one = (nodes.constant(value, np.int64) for value in (0, 1))
        end = nodes.op("Squeeze", nodes.vector(nodes.mul(count, self.side)))
        places = nodes.op("Range", zero, end, one)
        found = nodes.op("Less", places, nodes.vector(nodes.add(size, shift)))
        if not shift:
            return found
        first = nodes.constant(shift, np.int64)
        return nodes.op("And", found, nodes.op("GreaterOrEqual", places, first))


def window_attention(b: Blocks, call: Call) -> str:
    """x + proj(attention(x, context or x)) + added."""
    cutter, windows, queries, keys = _cut(b, call, booleans=b.attention)
    out = _attend(b, call, queries, keys, cutter.mask(windows))
    out = cutter.merge(out, call.value(0).channels, windows)
    return b.plus(out, [call.read[0], *call.read[2:]])


def global_attention(b: Blocks, call: Call) -> str:
    """The same over the picture, or as the article's listing has it."""
    c, nodes = call.value(0).channels, b.nodes
    flat = nodes.vector(0, c, -1)

    def tokens(y: str) -> str:  # (N, C, H, W) → (N, H·W, C)
        return nodes.op("Transpose", nodes.op("Reshape", y, flat), perm=[0, 2, 1])

    queries = keys = tokens(b.narrow(call.read[0]))
    if context := call.optional(1):
        keys = tokens(b.narrow(context))
    out = _plain(b, call, queries) if call.a["plain"] else _attend(b, call, queries, keys, None)
    out = nodes.op("Transpose", out, perm=[0, 2, 1])
    out = nodes.op("Reshape", out, nodes.vector(-1, c, *b.size(call.result.grid)))
    return out if call.a["plain"] else b.plus(out, [call.read[0], *call.read[2:]])


def attention_map(b: Blocks, call: Call) -> str:
    """The probabilities: for each pixel those of the first head's keys, then the next one's."""
    cutter, windows, queries, keys = _cut(b, call, booleans=False)
    q, k, _ = _projected(b, call, queries, keys)
    weights = _softmax(b, q, k, cutter.mask(windows))  # (B, heads, win², win²)
    weights = b.nodes.op("Transpose", weights, perm=[0, 2, 1, 3])
    maps = call.result.channels
    weights = b.nodes.op("Reshape", weights, b.nodes.vector(0, 0, maps))
    return cutter.merge(weights, maps, windows)


def _cut(b: Blocks, call: Call, *, booleans: bool) -> tuple[_Cutter, Windows, str, str]:
    """Queries and keys in windows, (B, win², C), the learned position added."""
    cutter = _Cutter(b.nodes, call.a["window"], b.batch, booleans=booleans)
    windows = cutter.windows(*b.size(call.value(0).grid), call.a["shift"])
    c, position = call.value(0).channels, b.tensor(call, "position")

    def part(x: str) -> str:
        return b.nodes.op("Add", cutter.partition(b.narrow(x), c, windows), position)

    context = call.optional(1)
    queries = part(call.read[0])
    return cutter, windows, queries, part(context) if context else queries


def _attend(b: Blocks, call: Call, queries: str, keys: str, mask: str | None) -> str:
    """(B, Q, C), (B, K, C) → proj(attention), (B, Q, C)."""
    nodes = b.nodes
    q, k, v = _projected(b, call, queries, keys)
    v = nodes.op("Transpose", v, perm=[0, 2, 1, 3])
    if b.attention:
        masks = [mask] if mask else []
        k = nodes.op("Transpose", k, perm=[0, 2, 1, 3])
        out = nodes.op("Attention", q, k, v, *masks, scale=1.0, softmax_precision=TensorProto.FLOAT)
    else:
        out = nodes.op("MatMul", _softmax(b, q, k, mask), v)
    out = nodes.op("Transpose", out, perm=[0, 2, 1, 3])
    out = nodes.op("Reshape", out, nodes.vector(0, 0, call.value(0).channels))
    return nodes.op("MatMul", out, b.matrix(call, "proj"))


def _projected(b: Blocks, call: Call, queries: str, keys: str) -> tuple[str, str, str]:
    """q̂ τ / √d (B, heads, Q, d), k̂ and v (B, K, heads, d)."""
    nodes, c, d = b.nodes, call.value(0).channels, call.a["head_dim"]
    split = nodes.vector(0, 0, c // d, d)
    q = nodes.op("Reshape", nodes.op("MatMul", queries, b.matrix(call, "q")), split)
    both = nodes.op("MatMul", keys, b.matrix(call, "kv"))
    k, v = nodes.ops("Split", 2, both, axis=2, num_outputs=2)
    k, v = nodes.op("Reshape", k, split), nodes.op("Reshape", v, split)
    temperature = b.tensor(call, "temperature", shape=(-1, 1), wide=True)
    # With the sum of squares in place of their mean q̂ is divided by √d as well.
    q = nodes.op("Mul", _normed(b, q, "ReduceSum", d * EPSILON), temperature)
    q = b.narrow(b.wide(q))
    k = b.narrow(_normed(b, k, "ReduceMean", EPSILON))
    return nodes.op("Transpose", q, perm=[0, 2, 1, 3]), k, v


def _normed(b: Blocks, x: str, reduce: str, epsilon: float) -> str:
    """x / √(mean or sum of squares + epsilon) over the last axis, in float32."""
    nodes, x = b.nodes, b.widen(x)
    square = nodes.op(reduce, nodes.op("Mul", x, x), nodes.constant([-1], np.int64), keepdims=1)
    root = nodes.op("Sqrt", nodes.op("Add", square, nodes.constant(epsilon, np.float32)))
    return b.wide(nodes.op("Div", x, root))


def _softmax(b: Blocks, q: str, k: str, mask: str | None) -> str:
    """Probabilities (B, heads, Q, K) of q (B, heads, Q, d) and k (B, K, heads, d)."""
    nodes = b.nodes
    k = nodes.op("Transpose", k, perm=[0, 2, 3, 1])  # (B, heads, d, K)
    logits = b.widen(nodes.op("MatMul", q, k))
    logits = nodes.op("Add", logits, mask) if mask else logits
    return b.narrow(b.wide(nodes.op("Softmax", logits, axis=-1)))


def _plain(b: Blocks, call: Call, x: str) -> str:
    """`SelfAttention` of the listing. Its scores have no bound: they are float32."""
    nodes, d = b.nodes, call.value(0).channels

    def linear(role: str, y: str) -> str:
        y = nodes.op("MatMul", y, b.matrix(call, role))
        return nodes.op("Add", y, b.tensor(call, f"{role}_bias"))

    q, k, v = (linear(role, x) for role in "qkv")
    k = nodes.op("Transpose", b.widen(k), perm=[0, 2, 1])
    q = nodes.op("Mul", b.widen(q), nodes.constant(d**-0.5, np.float32))
    scores = nodes.op("Relu", nodes.op("MatMul", q, k))
    weights = b.narrow(b.wide(nodes.op("Softmax", scores, axis=-1)))
    return linear("proj", nodes.op("MatMul", weights, v))
