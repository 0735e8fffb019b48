"""Published networks as graphs: written by hand, with the weights of their ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagen_fast.bundle import Bundle
from imagen_fast.graph import Input, Output
from imagen_fast.graph.builder import Builder

Tensors = dict[str, NDArray[np.float32]]


def weights_of(path: Path) -> Tensors:
    """An ONNX file's initializers by name."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    return {x.name: numpy_helper.to_array(x) for x in graph.initializer}


def constants_of(path: Path) -> list[NDArray[np.float32]]:
    """The values of an ONNX file's Constant nodes, in order."""
    import onnx
    from onnx import numpy_helper

    nodes = [node for node in onnx.load(path).graph.node if node.op_type == "Constant"]
    return [numpy_helper.to_array(node.attribute[0].t) for node in nodes]


def disp(path: Path) -> Bundle:
    """DISP: residual blocks of four convolutions with SiLU, a 1×1, a long skip, pixel shuffle."""
    weights = weights_of(path)
    b = Builder()
    b.inputs["image"] = Input(3, picture=True)

    def conv(name: str, x: str, *added: str, act: str = "silu", kernel: int = 3) -> str:
        return b.convolution(
            "convolution", name, x, *added, module=name, channels=32, kernel=kernel, activation=act
        )

    start = x = conv("conv_1.eval_conv", "image", act="none")
    for block in range(4):
        name = f"blocks.{block}"
        y = conv(f"{name}.c1_r.eval_conv", x)
        y = conv(f"{name}.c2_r.eval_conv", y)
        y = conv(f"{name}._extern_conv_block.0.eval_conv", y)
        x = conv(f"{name}.c3_r.eval_conv", y, x)
    x = conv("conv_2", x, start, act="none", kernel=1)
    b.convolution("subpixel_convolution", "picture", x, module="upsampler.0", channels=3, factor=4)
    b.outputs["picture"] = Output("picture", picture=True)
    return Bundle(b.graph(), used(b, weights))


def span(path: Path) -> Bundle:
    """SPAN with 28 channels: gates of a sigmoid less a half, and a concatenation of four values."""
    weights = weights_of(path)
    mean, factor, *halves = constants_of(path)
    assert {float(x) for x in halves} == {0.5}
    # The picture is shifted and scaled before its border is: a 1×1 convolution says so.
    weights["shift.weight"] = (float(factor) * np.eye(3, dtype=np.float32)).reshape(3, 3, 1, 1)
    weights["shift.bias"] = (-float(factor) * mean.reshape(3)).astype(np.float32)
    b = Builder()
    b.inputs["image"] = Input(3, picture=True)

    def conv(name: str, x: str, act: str = "none", kernel: int = 3) -> str:
        module = f"{name}.eval_conv" if f"{name}.eval_conv.weight" in weights else name
        channels = len(weights[f"{module}.weight"])
        return b.convolution(
            "convolution", name, x, module=module, channels=channels, kernel=kernel, activation=act
        )

    start = x = conv("conv_1", conv("shift", "image", kernel=1))
    blocks, firsts = [], []
    for block in range(1, 7):
        name = f"block_{block}"
        firsts.append(conv(f"{name}.c1_r", x, "silu"))
        y = conv(f"{name}.c3_r", conv(f"{name}.c2_r", firsts[-1], "silu"))
        gate = b.add("sum", f"{name}.gate", y, activation="sigmoid", offset=-0.5)
        x = b.add("product", name, b.add("sum", f"{name}.sum", y, x), gate)
        blocks.append(x)
    joined = b.add("concatenate", "joined", start, conv("conv_2", x), blocks[0], firsts[-1])
    x = conv("conv_cat", joined, kernel=1)
    b.convolution("subpixel_convolution", "picture", x, module="upsampler.0", channels=3, factor=4)
    b.outputs["picture"] = Output("picture", picture=True)
    return Bundle(b.graph(), used(b, weights))


def used(b: Builder, weights: Tensors) -> Tensors:
    """The tensors that a graph names."""
    return {name: weights[name] for name in b.graph().tensors}
