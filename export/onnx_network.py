"""The networks of `imagen_fast.models` as nodes of an ONNX graph, block by block.

Written by hand and not traced, because a trace knows one shape: here height, width and batch may be
open, and then windows, padding and masks follow the live shape. It needs no PyTorch.

In fp16 weights and features are fp16; norms, softmax and the picture are computed in float32, so
that nothing overflows that the model's own features do not. Features are (N, C, H, W), as there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from imagen_fast.spec import Level, ModelSpec

from .onnx_graph import Graph, Size
from .onnx_windows import WindowOps, Windows

EPSILON = 1e-6
# A bundle's tensor by its name, which must have this shape.
Tensors = Callable[[str, tuple[int, ...]], NDArray[Any]]
SAME = {"pads": [1, 1, 1, 1]}  # of a 3×3 convolution


class Network:
    """Appends a model's nodes to a graph.

    Args:
        tensors: of the model.
        half: compute in fp16.
        attention: whether the opset has the operator Attention.
    """

    def __init__(
        self, graph: Graph, spec: ModelSpec, tensors: Tensors, *, half: bool, attention: bool
    ) -> None:
        self.graph, self.spec, self.tensors = graph, spec, tensors
        self.half, self.attention = half, attention

    def generator(self, image: str, batch: Size, height: Size, width: Size) -> str:
        """`Generator.forward`: (N, C, H, W) float32 → (N, C, s·H, s·W) float32, not clamped."""
        levels, picture = self.spec.levels, self.spec.image_channels
        self.cut = WindowOps(self.graph, self.spec.window, batch, booleans=self.attention)
        sizes = [(height, width)]
        for _ in levels[1:]:
            height, width = (self._halved(side) for side in (height, width))
            sizes.append((height, width))
        finest = levels[0].channels
        stem = x = self.conv("encoder.stem", self.narrow(image), (finest, picture, 3, 3), **SAME)
        features: list[str] = []
        for index, level in enumerate(levels):
            if index:
                x = self.down(index - 1, x)
            for number in range(level.depth):
                name = f"encoder.stages.{index}.{number}"
                x = self.stage(name, x, None, level, sizes[index], shifted=number % 2 == 1)
            features.append(x)
        for index, level in reversed(list(enumerate(levels))):
            if index < len(levels) - 1:
                x = self.up(index, x, features[index], sizes[index])
            for number in range(level.depth):
                name, shifted = f"decoder.stages.{index}.{number}", (level.depth + number) % 2 == 1
                x = self.stage(name, x, features[index], level, sizes[index], shifted)
        return self.head("heads.0.conv", self.graph.op("Add", x, stem), image)

    def stage(
        self,
        name: str,
        x: str,
        context: str | None,
        level: Level,
        size: tuple[Size, Size],
        shifted: bool,
    ) -> str:
        """`Stage`: convolution blocks, then attention."""
        for index in range(level.convs):
            x = self.conv_block(f"{name}.convs.{index}.conv", x, level.channels)
        with self.graph.scope(f"{name}.attention"):
            if level.attention == "global":
                return self.global_attention(x, context, level.channels, size)
            shift = self.spec.window // 2 if shifted else 0
            return self.window_attention(x, context, level.channels, self.cut.windows(*size, shift))

    def conv(self, name: str, x: str, shape: tuple[int, ...], **attributes: Any) -> str:
        """A convolution of the model; `shape` is its weight's."""
        with self.graph.scope(name):
            weight, bias = self.own("weight", *shape), self.own("bias", shape[0])
            return self.graph.op("Conv", x, weight, bias, **attributes)

    def conv_block(self, name: str, x: str, c: int) -> str:
        """`ConvBlock`: x + SiLU(conv3x3(x) + b)."""
        y = self.conv(name, x, (c, c, 3, 3), **SAME)
        with self.graph.scope(name):
            y = self.graph.op("Mul", y, self.graph.op("Sigmoid", y))
            return self.graph.op("Add", x, y)

    def down(self, index: int, x: str) -> str:
        """`Down`. Zeros complete an odd side, below and to the right; an even one reads none."""
        fine, coarse = (level.channels for level in self.spec.levels[index : index + 2])
        name, shape = f"encoder.downs.{index}.conv", (coarse, fine, 2, 2)
        return self.conv(name, x, shape, pads=[0, 0, 1, 1], strides=[2, 2])

    def up(self, index: int, x: str, skip: str, size: tuple[Size, Size]) -> str:
        """`Up`: skip + transposed convolution, cropped to the skip's size."""
        fine, coarse = (level.channels for level in self.spec.levels[index : index + 2])
        with self.graph.scope(f"decoder.ups.{index}.conv"):
            weight, bias = self.own("weight", coarse, fine, 2, 2), self.own("bias", fine)
            x = self.graph.op("ConvTranspose", x, weight, bias, strides=[2, 2])
            return self.graph.op("Add", skip, self.graph.crop(x, 0, size, axis=2))

    def head(self, name: str, x: str, base: str) -> str:
        """`Head`: pixels of the picture, each repeated, plus a convolution's; float32."""
        s, picture = self.spec.scale, self.spec.image_channels
        shape = (picture * s * s, self.spec.levels[0].channels, 3, 3)
        x = self.wide(self.conv(name, x, shape, **SAME))
        with self.graph.scope(name):
            if s == 1:
                return self.graph.op("Add", x, base)
            each = self.graph.constant(np.repeat(np.arange(picture), s * s), np.int64)
            x = self.graph.op("Add", x, self.graph.op("Gather", base, each, axis=1))
            return self.graph.op("DepthToSpace", x, blocksize=s, mode="CRD")

    def global_attention(self, x: str, context: str | None, c: int, size: tuple[Size, Size]) -> str:
        """`AttentionBlock` with window 0: every pixel looks at all of them."""
        graph, flat = self.graph, self.graph.vector(0, c, -1)

        def tokens(y: str) -> str:  # (N, C, H, W) → (N, H·W, C)
            return graph.op("Transpose", graph.op("Reshape", y, flat), perm=[0, 2, 1])

        queries = tokens(x)
        out = self.attend(queries, queries if context is None else tokens(context), c, None)
        out = graph.op("Transpose", out, perm=[0, 2, 1])
        return graph.op("Add", x, graph.op("Reshape", out, graph.vector(-1, c, *size)))

    def window_attention(self, x: str, context: str | None, c: int, windows: Windows) -> str:
        """`AttentionBlock` in windows."""
        graph, cut = self.graph, self.cut
        position = self.own("position", self.spec.window**2, c)
        queries = keys = graph.op("Add", cut.partition(x, c, windows), position)
        if context is not None:
            keys = graph.op("Add", cut.partition(context, c, windows), position)
        out = self.attend(queries, keys, c, cut.mask(windows))
        return graph.op("Add", x, cut.merge(out, c, windows))

    def attend(self, queries: str, keys: str, c: int, mask: str | None) -> str:
        """`AttentionBlock.attend`: (B, Q, C), (B, K, C) → (B, Q, C)."""
        graph, d = self.graph, self.spec.head_dim
        split = graph.vector(0, 0, c // d, d)
        q = graph.op("Reshape", self.linear("q", queries, c, c), split)  # (B, Q, heads, d)
        k, v = graph.ops("Split", 2, self.linear("kv", keys, c, 2 * c), axis=2, num_outputs=2)
        k, v = graph.op("Reshape", k, split), graph.op("Reshape", v, split)
        q = self.narrow(graph.op("Mul", self.rms_norm(q), self.temperature(c // d)))
        k = self.narrow(self.rms_norm(k))
        q, v = (graph.op("Transpose", y, perm=[0, 2, 1, 3]) for y in (q, v))  # (B, heads, ·, d)
        if self.attention:
            k = graph.op("Transpose", k, perm=[0, 2, 1, 3])
            masks = [mask] if mask else []
            out = graph.op("Attention", q, k, v, *masks, scale=1.0, softmax_precision=1)
        else:
            k = graph.op("Transpose", k, perm=[0, 2, 3, 1])  # (B, heads, d, K)
            logits = self.wide(graph.op("MatMul", q, k))
            logits = graph.op("Add", logits, mask) if mask else logits
            out = graph.op("MatMul", self.narrow(graph.op("Softmax", logits, axis=-1)), v)
        out = graph.op("Transpose", out, perm=[0, 2, 1, 3])
        return self.linear("proj", graph.op("Reshape", out, graph.vector(0, 0, c)), c, c)

    def rms_norm(self, x: str) -> str:
        """x / rms(x) over the last axis, in float32."""
        graph, x = self.graph, self.wide(x)
        axes = graph.constant([-1], np.int64)
        mean = graph.op("ReduceMean", graph.op("Mul", x, x), axes, keepdims=1)
        rms = graph.op("Sqrt", graph.op("Add", mean, graph.constant(EPSILON, np.float32)))
        return graph.op("Div", x, rms)

    def temperature(self, heads: int) -> str:
        """τ / √d of the block that is being written, (heads, 1) float32."""
        name = f"{self.graph.current}.temperature"
        tau = self.tensors(name, (heads,)).astype(np.float32)
        scale = tau.reshape(-1, 1) * np.float32(self.spec.head_dim**-0.5)
        return self.graph.weight(name, scale, np.float32)

    def listing(self, rows: str) -> str:
        """`ListingGenerator.forward`: (N, T, d_model) float32 → same."""
        x, level = self.narrow(rows), self.spec.levels[0]
        for part in ("encoder", "decoder"):
            for number in range(level.depth):
                with self.graph.scope(f"{part}.{number}"):
                    x = self.listing_attention(x, level.channels)
        return self.wide(x)

    def listing_attention(self, x: str, d: int) -> str:
        """`SelfAttention` of the listing. Its scores have no bound: they are float32."""
        graph = self.graph

        def linear(name: str, y: str) -> str:
            return graph.op("Add", self.linear(name, y, d, d), self.own(f"{name}.bias", d))

        q, k, v = (linear(name, x) for name in "qkv")
        k = graph.op("Transpose", self.wide(k), perm=[0, 2, 1])
        q = graph.op("Mul", self.wide(q), graph.constant(d**-0.5, np.float32))
        scores = graph.op("Relu", graph.op("MatMul", q, k))
        weights = self.narrow(graph.op("Softmax", scores, axis=-1))
        return linear("out", graph.op("MatMul", weights, v))

    def own(self, part: str, *shape: int) -> str:
        """A tensor of the block that is being written, in the graph's precision."""
        name = f"{self.graph.current}.{part}"
        return self.graph.weight(name, self.tensors(name, shape), self._dtype)

    def linear(self, name: str, x: str, inputs: int, outputs: int) -> str:
        """x Wᵀ of the block that is being written; (…, inputs) → (…, outputs)."""
        name = f"{self.graph.current}.{name}.weight"
        weight = self.tensors(name, (outputs, inputs)).T
        return self.graph.op("MatMul", x, self.graph.weight(name, weight, self._dtype))

    def wide(self, x: str) -> str:
        """To float32."""
        return self.graph.op("Cast", x, to=TensorProto.FLOAT) if self.half else x

    def narrow(self, x: str) -> str:
        """From float32 to the graph's precision."""
        return self.graph.op("Cast", x, to=TensorProto.FLOAT16) if self.half else x

    @property
    def _dtype(self) -> Any:
        return np.float16 if self.half else np.float32

    def _halved(self, side: Size) -> Size:
        return self.graph.div(self.graph.add(side, 1), 2)
