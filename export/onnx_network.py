"""The networks of `imagen_fast.models` as nodes of an ONNX graph, block by block.

Written by hand and not traced, because a trace knows one shape: here height, width and batch may be
open, and then windows, padding and masks follow the live shape. It needs no PyTorch. In fp16
weights and features are fp16; norms and softmax are computed in fp32, so that nothing overflows.

Features are (N, C, H, W), as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from imagen_fast.export.onnx_graph import Graph, Size
from imagen_fast.export.onnx_windows import Windows, WindowOps
from imagen_fast.spec import Level, ModelSpec

EPSILON = 1e-6

class Network:
    """Appends a model's nodes to a graph.

    Args:
        tensors: by name, as in the bundle.
        half: compute in fp16.
        attention: whether the opset has the operator Attention.
    """

    def __init__(
        self,
        graph: Graph,
        spec: ModelSpec,
        tensors: Mapping[str, NDArray[Any]],
        *,
        half: bool,
        attention: bool,
    ) -> None:
        self.graph, self.spec, self.tensors = graph, spec, tensors
        self.half, self.attention = half, attention
        self.dtype: Any = np.float16 if half else np.float32

    def generator(self, image: str, batch: Size, height: Size, width: Size) -> str:
        """`Generator.forward`: (N, C, H, W) float32 → (N, C, s·H, s·W) float32, not clamped."""
        graph, levels = self.graph, self.spec.levels
        sizes = [(height, width)]
        for _ in levels[1:]:
            height, width = (graph.div(graph.add(side, 1), 2) for side in (height, width))
            sizes.append((height, width))
        self.cut = WindowOps(graph, self.spec.window, batch, booleans=self.attention)
        stem = x = self.conv("encoder.stem", self.narrow(image), pads=[1, 1, 1, 1])
        features = []
        for index, level in enumerate(levels):
            if index:
                # Zeros below and to the right complete an odd side; of an even one they are not read.
                name = f"encoder.downs.{index - 1}.conv"
                x = self.conv(name, x, pads=[0, 0, 1, 1], strides=[2, 2])
            for number in range(level.depth):
                name = f"encoder.stages.{index}.{number}"
                x = self.stage(name, x, None, level, sizes[index], shifted=bool(number % 2))
            features.append(x)
        for index, level in reversed(list(enumerate(levels))):
            if index < len(levels) - 1:
                x = self.up(f"decoder.ups.{index}.conv", x, features[index], sizes[index])
            for number in range(level.depth):
                name, shifted = f"decoder.stages.{index}.{number}", (level.depth + number) % 2
                x = self.stage(name, x, features[index], level, sizes[index], bool(shifted))
        return self.head("heads.0.conv", graph.op("Add", x, stem), image)

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
            x = self.conv_block(f"{name}.convs.{index}.conv", x)
        with self.graph.scope(f"{name}.attention"):
            if level.attention == "global":
                return self.global_attention(x, context, level.channels, size)
            shift = self.spec.window // 2 if shifted else 0
            return self.window_attention(x, context, level.channels, self.cut.windows(*size, shift))

    def conv(self, name: str, x: str, **attributes: Any) -> str:
        """A convolution of the model."""
        with self.graph.scope(name):
            return self.graph.op("Conv", x, self.own("weight"), self.own("bias"), **attributes)

    def conv_block(self, name: str, x: str) -> str:
        """`ConvBlock`: x + SiLU(conv3x3(x) + b)."""
        y = self.conv(name, x, pads=[1, 1, 1, 1])
        with self.graph.scope(name):
            y = self.graph.op("Mul", y, self.graph.op("Sigmoid", y))
            return self.graph.op("Add", x, y)

    def up(self, name: str, x: str, skip: str, size: tuple[Size, Size]) -> str:
        """`Up`: skip + transposed convolution, cropped to the skip's size."""
        with self.graph.scope(name):
            weight, bias = self.own("weight"), self.own("bias")
            x = self.graph.op("ConvTranspose", x, weight, bias, strides=[2, 2])
            return self.graph.op("Add", skip, self.graph.crop(x, 0, size))

    def head(self, name: str, x: str, base: str) -> str:
        """`Head`: pixels of the picture, each repeated, plus a convolution's; float32."""
        x = self.wide(self.conv(name, x, pads=[1, 1, 1, 1]))
        s = self.spec.scale
        with self.graph.scope(name):
            if s == 1:
                return self.graph.op("Add", x, base)
            each = np.repeat(np.arange(self.spec.image_channels), s * s)  # channel of the base
            base = self.graph.op("Gather", base, self.graph.constant(each, np.int64), axis=1)
            x = self.graph.op("Add", x, base)
            return self.graph.op("DepthToSpace", x, blocksize=s, mode="CRD")

    def global_attention(
        self, x: str, context: str | None, c: int, size: tuple[Size, Size]
    ) -> str:
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
        graph = self.graph
        position = self.own("position")
        queries = graph.op("Add", self.cut.partition(x, c, windows), position)
        keys = queries
        if context is not None:
            keys = graph.op("Add", self.cut.partition(context, c, windows), position)
        out = self.attend(queries, keys, c, self.cut.mask(windows))
        return graph.op("Add", x, self.cut.merge(out, c, windows))

    def attend(self, queries: str, keys: str, c: int, mask: str | None) -> str:
        """`AttentionBlock.attend`: (B, Q, C), (B, K, C) → (B, Q, C)."""
        graph, d = self.graph, self.spec.head_dim
        split = graph.vector(0, 0, c // d, d)
        q = graph.op("Reshape", self.linear("q", queries), split)  # (B, Q, heads, d)
        k, v = graph.ops("Split", 2, self.linear("kv", keys), axis=2, num_outputs=2)
        k, v = graph.op("Reshape", k, split), graph.op("Reshape", v, split)
        scale = self.temperature(d)
        q = self.narrow(graph.op("Mul", self.rms_norm(q), scale))
        k = self.narrow(self.rms_norm(k))
        q, v = (graph.op("Transpose", y, perm=[0, 2, 1, 3]) for y in (q, v))  # (B, heads, ·, d)
        if self.attention:
            k = graph.op("Transpose", k, perm=[0, 2, 1, 3])
            masks = [mask] if mask else []
            out = graph.op("Attention", q, k, v, *masks, scale=1.0, softmax_precision=1)
        else:
            k = graph.op("Transpose", k, perm=[0, 2, 3, 1])  # (B, heads, d, K)
            logits = self.wide(graph.op("MatMul", q, k))
            if mask:
                logits = graph.op("Add", logits, mask)
            weights = self.narrow(graph.op("Softmax", logits, axis=-1))
            out = graph.op("MatMul", weights, v)
        out = graph.op("Transpose", out, perm=[0, 2, 1, 3])
        return self.linear("proj", graph.op("Reshape", out, graph.vector(0, 0, c)))

    def temperature(self, d: int) -> str:
        """τ / √d, (heads, 1) float32."""
        name = f"{self.graph.current}.temperature"
        scale = self.tensors[name].astype(np.float32).reshape(-1, 1) * np.float32(d**-0.5)
        return self.graph.weight(name, scale, np.float32)

    def rms_norm(self, x: str) -> str:
        """x / rms(x) over the last axis, in float32."""
        graph, x = self.graph, self.wide(x)
        axes = graph.constant([-1], np.int64)
        mean = graph.op("ReduceMean", graph.op("Mul", x, x), axes, keepdims=1)
        rms = graph.op("Sqrt", graph.op("Add", mean, graph.constant(EPSILON, np.float32)))
        return graph.op("Div", x, rms)

    def own(self, part: str) -> str:
        """A tensor of the block that is being written, in the graph's precision."""
        name = f"{self.graph.current}.{part}"
        return self.graph.weight(name, self.tensors[name], self.dtype)

    def linear(self, name: str, x: str) -> str:
        """x Wᵀ of the block that is being written."""
        name = f"{self.graph.current}.{name}.weight"
        return self.graph.op("MatMul", x, self.graph.weight(name, self.tensors[name].T, self.dtype))

    def wide(self, x: str) -> str:
        """To float32."""
        return self.graph.op("Cast", x, to=TensorProto.FLOAT) if self.half else x

    def narrow(self, x: str) -> str:
        """From float32 to the graph's precision."""
        return self.graph.op("Cast", x, to=TensorProto.FLOAT16) if self.half else x
