"""A bundle as an ONNX file.

The picture goes in as `image` and comes out as `output`: (N, C, H, W) float32 in [0, 1], the output
not clamped; or, with io "uint8", (N, H, W, C) bytes. A listing reads and gives `rows`
(N, T, d_model) float32. Sizes that are not fixed may be any from 1 on, odd ones too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from imagen_fast._version import __version__
from imagen_fast.bundle import Bundle
from imagen_fast.errors import ExportError, WeightsError
from imagen_fast.spec import ModelSpec

from .onnx_graph import Graph, Initializer, Size
from .onnx_network import Network, Tensors
from .options import Options

FORMAT = "imagen-fast-onnx-1"
OPSETS = (20, 23)  # 23 has the operator Attention
PRECISIONS = ("fp32", "fp16")
IOS = ("float", "uint8")
MOST_PIXELS = 4096**2  # of a fixed shape: the file holds its masks
MOST_PICTURES = 1024  # of a fixed batch
GRAPH_OPTIONS = ("precision", "shape", "batch", "opset", "io")
KINDS = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}
MOST_BYTES = 2**31 - 1  # of an ONNX file


def export(bundle: Bundle, options: Options, *, checksum: str = "") -> bytes:
    """The content of the file. `checksum` is that of the bundle's file, kept in the metadata.

    Raises:
        ExportError: the options are out of range, do not go with the model, or its weights are
            beyond fp16 or beyond what one ONNX file holds.
        WeightsError: the bundle's tensors do not fit its spec.
    """
    check(options, bundle.spec)

    def tensors(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        found = bundle.tensors.get(name)
        if found is None or found.shape != shape:
            raise WeightsError(
                "the model's tensors do not fit its spec: "
                f"{name} is {'missing' if found is None else found.shape}, expected {shape}"
            )
        return found

    model, initializers = describe(bundle.spec, options, tensors)
    _check_range(initializers)
    model.producer_name, model.producer_version = "imagen-fast", __version__
    model.doc_string = _description(bundle.spec, options)
    helper.set_model_props(model, _metadata(bundle, options, checksum))
    if sum(x.array.size * x.dtype.itemsize for x in initializers) > MOST_BYTES - 2**24:
        raise ExportError("the model is larger than 2 GB, more than one ONNX file holds")
    model.graph.initializer.extend(x.proto() for x in initializers)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def check(options: Options, spec: ModelSpec) -> None:
    """Raise ExportError for options that are out of range or do not go with the model."""
    for name, value, known in (
        ("precision", options.precision, PRECISIONS),
        ("opset", options.opset, OPSETS),
        ("io", options.io, IOS),
    ):
        if value not in known:
            raise ExportError(f"{name} is {value!r}; ONNX expects {' or '.join(map(str, known))}")
    sides = options.shape or (1, 1)
    if min(sides) < 1 or sides[0] * sides[1] > MOST_PIXELS:
        raise ExportError(
            f"the shape is {'x'.join(map(str, sides))}; expected at least 1x1 and at most "
            f"{MOST_PIXELS:,} pixels, or no fixed shape, which serves pictures of any size"
        )
    if options.batch is not None and not 1 <= options.batch <= MOST_PICTURES:
        raise ExportError(f"the batch is {options.batch}; expected 1 to {MOST_PICTURES}")
    if spec.architecture == "listing" and (options.shape or options.io != "float"):
        raise ExportError("a listing reads rows of numbers: it has no shape to fix and no uint8")


def graph_options(options: Options) -> dict[str, Any]:
    """Those that the graph depends on, as JSON types."""
    return {name: getattr(options, name) for name in GRAPH_OPTIONS}


def interface(spec: ModelSpec, options: Options) -> dict[str, Any]:
    """Name, dtype and shape of input and output; open sizes have names."""
    given, shapes = "image", _picture_shapes(spec, options)
    if spec.architecture == "listing":
        rows = (options.batch or "batch", "rows", spec.levels[0].channels)
        given, shapes = "rows", (rows, rows)
    dtype = "uint8" if options.io == "uint8" else "float32"
    return {
        key: {"name": name, "dtype": dtype, "shape": list(sizes)}
        for key, name, sizes in zip(("input", "output"), (given, "output"), shapes, strict=True)
    }


def describe(
    spec: ModelSpec, options: Options, tensors: Tensors
) -> tuple[ModelProto, list[Initializer]]:
    """The model without its initializers, and these: nothing of them is copied yet."""
    graph = Graph()
    network = Network(
        graph, spec, tensors, half=options.precision == "fp16", attention=options.opset >= 23
    )
    if spec.architecture == "listing":
        output = network.listing("rows")
    else:
        output = _picture_to_picture(network, options)
    graph.finish(output, "output")
    given, result = (
        helper.make_tensor_value_info(x["name"], KINDS[x["dtype"]], x["shape"])
        for x in interface(spec, options).values()
    )
    opset = [helper.make_opsetid("", options.opset)]
    made = helper.make_graph(graph.nodes, f"imagen-fast-x{spec.scale}", [given], [result])
    model = helper.make_model(made, opset_imports=opset)
    model.ir_version = helper.find_min_ir_version_for(opset)
    return model, list(graph.initializers.values())


def _picture_shapes(spec: ModelSpec, options: Options) -> tuple[Sequence[Size], Sequence[Size]]:
    """Of input and output; open sizes have names."""
    n, c, s = options.batch or "batch", spec.image_channels, spec.scale
    h, w = options.shape or ("height", "width")
    tall, wide = (s * x if isinstance(x, int) else f"{s}*{x}" if s > 1 else x for x in (h, w))
    if options.io == "uint8":
        return (n, h, w, c), (n, tall, wide, c)
    return (n, c, h, w), (n, c, tall, wide)


def _picture_to_picture(network: Network, options: Options) -> str:
    graph, bytes_ = network.graph, options.io == "uint8"
    first = 1 if bytes_ else 2  # axis of the height

    def live(axis: int) -> Size:
        with graph.scope("shape"):
            return graph.op("Shape", "image", start=axis, end=axis + 1)

    height, width = options.shape or (live(first), live(first + 1))
    x = "image"
    if bytes_:
        with graph.scope("input"):
            x = graph.op("Cast", x, to=TensorProto.FLOAT)
            x = graph.op("Div", x, graph.constant(255, np.float32))
            x = graph.op("Transpose", x, perm=[0, 3, 1, 2])
    x = network.generator(x, options.batch or live(0), height, width)
    if bytes_:
        with graph.scope("output"):
            zero, one, full = (graph.constant(value, np.float32) for value in (0, 1, 255))
            x = graph.op("Mul", graph.op("Clip", x, zero, one), full)
            x = graph.op("Cast", graph.op("Round", x), to=TensorProto.UINT8)
            x = graph.op("Transpose", x, perm=[0, 2, 3, 1])
    return x


def _check_range(initializers: list[Initializer]) -> None:
    most = float(np.finfo(np.float16).max)
    for x in initializers:
        if x.dtype == np.float16 and x.array.size and not np.abs(x.array).max() <= most:
            raise ExportError(
                f"tensor {x.name!r} holds values beyond fp16's {most:.0f}; export in fp32"
            )


def _metadata(bundle: Bundle, options: Options, checksum: str) -> dict[str, str]:
    bytes_, listing = options.io == "uint8", bundle.spec.architecture == "listing"
    return {
        "format": FORMAT,
        "name": bundle.metadata.get("name", ""),
        "task": bundle.metadata.get("task", ""),
        "scale": str(bundle.spec.scale),
        "layout": "NTC" if listing else "NHWC" if bytes_ else "NCHW",
        "color": "" if listing else "RGB",
        "range": "any" if listing else "0..255" if bytes_ else "0..1",
        "clamped": "yes" if bytes_ else "no",
        "precision": options.precision,
        "license": bundle.metadata.get("license", ""),
        "version": __version__,
        "checksum": f"sha256:{checksum}" if checksum else "",
        "spec": bundle.spec.to_json(),
        "export": json.dumps(graph_options(options), sort_keys=True),
    }


def _description(spec: ModelSpec, options: Options) -> str:
    given, result = (
        f"{x['name']} ({', '.join(map(str, x['shape']))}) {x['dtype']}"
        for x in interface(spec, options).values()
    )
    if spec.architecture == "listing":
        return f"{given} to {result}"
    values = "RGB, 0 to 255" if options.io == "uint8" else "RGB, 0 to 1, the output not clamped"
    return f"{given} to {result}; {values}"
