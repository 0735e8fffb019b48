"""A bundle as an ONNX file.

Inputs and outputs have the graph's names: pictures (N, C, H, W) float32 in [0, 1], outputs not
clamped, or, with io "uint8", (N, H, W, C) bytes; anything else (N, C, H, W) float32. An output
named as an input is called NAME.out. Sizes that are not fixed may be any from 1 on, odd ones too.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from imagen_fast._version import __version__
from imagen_fast.bundle import OURS, Bundle
from imagen_fast.errors import ExportError
from imagen_fast.graph import Graph, Grid

from .onnx_blocks import Blocks
from .onnx_kinds import NODES
from .onnx_nodes import Initializer, Size
from .options import ExportOptions, chosen

FORMAT = "imagen-fast-onnx-2"
OPSETS = (20, 23)  # 23 has the operator Attention
PRECISIONS = ("fp32", "fp16")
IOS = ("float", "uint8")
MOST_PIXELS = 4096**2  # of a fixed shape: the file holds its masks
MOST_PICTURES = 1024  # of a fixed batch
KINDS = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}
MOST_BYTES = 2**31 - 1  # of an ONNX file
# Fields of a file that say something of it, and do nothing.
REMARKS = ("metadata_props", "producer_name", "producer_version", "doc_string")


def export(bundle: Bundle, options: ExportOptions, *, checksum: str = "") -> bytes:
    """The content of the file. `checksum` is that of the bundle's file, kept in the metadata.

    Raises:
        ExportError: the options are out of range or do not go with the model, ONNX has no nodes
            for an operation, or the weights are beyond fp16 or beyond what one file holds.
        WeightsError: the bundle's tensors do not fit its graph.
    """
    check(options, bundle.graph)
    bundle.check_tensors()
    graph = chosen(bundle.graph, options)
    model, initializers = _describe(graph, options, bundle)
    _check_range(initializers)
    if sum(x.array.size * x.dtype.itemsize for x in initializers) > MOST_BYTES - 2**24:
        raise ExportError("the model is larger than 2 GB, more than one ONNX file holds")
    metadata = _metadata(bundle, graph, options, checksum)
    metadata["digest"] = digest(model, metadata["graph"])
    model.producer_name, model.producer_version = "imagen-fast", __version__
    model.doc_string = _description(graph, options)
    helper.set_model_props(model, metadata)
    model.graph.initializer.extend(x.proto() for x in initializers)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"ONNX refuses the graph: {' '.join(str(error).split())}") from error
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def check(options: ExportOptions, graph: Graph) -> None:
    """Raise ExportError for options that are out of range or do not go with the model's graph."""
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
    graph = chosen(graph, options)
    if options.io == "uint8" and not _all_pictures(graph):
        raise ExportError("io uint8 is for models that read and give pictures alone; choose float")
    lacking = [x for x in graph.operations if x.kind not in NODES]
    if lacking:
        x = lacking[0]
        raise ExportError(f"operation {x.output!r} ({x.kind}) has no form in ONNX yet")


def interface(graph: Graph, options: ExportOptions) -> dict[str, list[dict[str, Any]]]:
    """Name, dtype and shape of the inputs and outputs of a chosen graph; open sizes have names."""

    def told(name: str, value: str) -> dict[str, Any]:
        c, sides = graph.values[value].channels, _sides(graph, graph.values[value].grid, options)
        bytes_ = options.io == "uint8"
        return {
            "name": name,
            "dtype": "uint8" if bytes_ else "float32",
            "shape": [options.batch or "batch", *((*sides, c) if bytes_ else (c, *sides))],
        }

    return {
        "inputs": [told(name, name) for name in graph.inputs],
        "outputs": [told(output_name(graph, n), x.value) for n, x in graph.outputs.items()],
    }


def output_name(graph: Graph, name: str) -> str:
    """What an output of the graph is called in the file."""
    return f"{name}.out" if name in graph.inputs else name


def digest(model: ModelProto, graph: str) -> str:
    """Of all of a model but its tensors and remarks, and of the graph that these hold as JSON."""
    bare = ModelProto()
    bare.CopyFrom(model)
    del bare.graph.initializer[:]
    for remark in REMARKS:
        bare.ClearField(remark)
    text = graph.encode() + bare.SerializeToString(deterministic=True)
    return hashlib.sha256(text).hexdigest()


def _describe(
    graph: Graph, options: ExportOptions, bundle: Bundle
) -> tuple[ModelProto, list[Initializer]]:
    """The model without its initializers, and these: nothing of them is copied yet."""
    b = Blocks(graph, options, bundle.tensors)
    names = {name: _from_bytes(b, name) for name in graph.inputs}
    for operation in graph.operations:
        with b.nodes.scope(operation.output):
            names[operation.output] = NODES[operation.kind](b, b.call(operation, names))
    outputs = {}
    for name, output in graph.outputs.items():
        with b.nodes.scope(f"output/{name}"):
            outputs[output_name(graph, name)] = _to_bytes(b, b.widen(names[output.value]))
    b.nodes.finish(outputs)
    given, results = (
        [helper.make_tensor_value_info(x["name"], KINDS[x["dtype"]], x["shape"]) for x in side]
        for side in interface(graph, options).values()
    )
    opset = [helper.make_opsetid("", options.opset)]
    made = helper.make_graph(b.nodes.nodes, "imagen-fast", given, results)
    model = helper.make_model(made, opset_imports=opset)
    model.ir_version = helper.find_min_ir_version_for(opset)
    _check_names([x.name for x in given], b)
    return model, list(b.nodes.initializers.values())


def _from_bytes(b: Blocks, name: str) -> str:
    """(N, H, W, C) bytes → (N, C, H, W) float32."""
    if b.options.io != "uint8":
        return name
    with b.nodes.scope(f"input/{name}"):
        x = b.nodes.op("Cast", name, to=TensorProto.FLOAT)
        x = b.nodes.op("Div", x, b.nodes.constant(255, np.float32))
        return b.wide(b.nodes.op("Transpose", x, perm=[0, 3, 1, 2]))


def _to_bytes(b: Blocks, x: str) -> str:
    """(N, C, H, W) float32 → (N, H, W, C) bytes."""
    if b.options.io != "uint8":
        return x
    zero, one, full = (b.nodes.constant(value, np.float32) for value in (0, 1, 255))
    x = b.nodes.op("Mul", b.nodes.op("Clip", x, zero, one), full)
    x = b.nodes.op("Cast", b.nodes.op("Round", x), to=TensorProto.UINT8)
    return b.nodes.op("Transpose", x, perm=[0, 2, 3, 1])


def _check_names(inputs: list[str], b: Blocks) -> None:
    """Raise ExportError if two things in the file have one name."""
    names = [*inputs, *b.nodes.initializers, *(n for x in b.nodes.nodes for n in x.output)]
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ExportError(f"two things in the file would be called {name!r}; rename one")
        seen.add(name)


def _sides(graph: Graph, grid: Grid, options: ExportOptions) -> tuple[Size, Size]:
    """Height and width on a grid; open ones as a formula."""
    if not grid.of:
        return 1, 1
    if options.shape:
        return grid.size(*options.shape)
    own = "" if grid.of == next(iter(graph.inputs)) else f"{grid.of}."
    found = []
    for side in (f"{own}height", f"{own}width"):
        text = f"ceil({side}/{2**grid.halvings})" if grid.halvings else side
        text = f"{grid.factor}*{text}" if grid.factor > 1 else text
        found.append(f"{text}+{grid.around}" if grid.around else text)
    return found[0], found[1]


def _all_pictures(graph: Graph) -> bool:
    given = all(x.picture for x in graph.inputs.values())
    return given and all(x.picture for x in graph.outputs.values())


def _check_range(initializers: list[Initializer]) -> None:
    most = float(np.finfo(np.float16).max)
    for x in initializers:
        if x.dtype == np.float16 and x.array.size and not np.abs(x.array).max() <= most:
            raise ExportError(
                f"tensor {x.name!r} holds values beyond fp16's {most:.0f}; export in fp32"
            )


def _metadata(
    bundle: Bundle, graph: Graph, options: ExportOptions, checksum: str
) -> dict[str, str]:
    bytes_, pictures = options.io == "uint8", _all_pictures(graph)
    latents = bundle.metadata.get("generation")
    return {
        **({"generation": latents} if latents else {}),
        "format": FORMAT,
        "name": bundle.metadata.get("name", ""),
        "task": bundle.metadata.get("task", ""),
        "architecture": OURS if bundle.is_ours else "",
        "scale": str(graph.scale),
        "layout": "NHWC" if bytes_ else "NCHW",
        "range": "0..255" if bytes_ else "0..1" if pictures else "any",
        "clamped": "yes" if bytes_ else "no",
        "precision": options.precision,
        "license": bundle.metadata.get("license", ""),
        "version": __version__,
        "checksum": f"sha256:{checksum}" if checksum else "",
        "graph": graph.to_json(),
    }


def _description(graph: Graph, options: ExportOptions) -> str:
    given, results = (
        " and ".join(f"{x['name']} ({', '.join(map(str, x['shape']))}) {x['dtype']}" for x in side)
        for side in interface(graph, options).values()
    )
    if not _all_pictures(graph):
        return f"{given} to {results}"
    values = "0 to 255" if options.io == "uint8" else "0 to 1, outputs not clamped"
    return f"{given} to {results}; {values}"
