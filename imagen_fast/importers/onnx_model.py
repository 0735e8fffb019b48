"""An ONNX file as data: its nodes and weights, checked for size and for what it refers to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper, numpy_helper

from imagen_fast import stand_in
from imagen_fast.errors import OperationError, WeightsError
from imagen_fast.importers.assembly import Array

MOST_BYTES = 2 << 30  # of a file, and of the weights that lie beside it
MOST_NODES = 20_000
OPSETS = range(7, 27)
DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class Node:
    """One operator: its kind, what the file calls it, names of what it reads and gives."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OnnxModel:
    """A file's content.

    Attributes:
        shape: of the picture that goes in; None where it is open.
        integer: samples are whole numbers, not floats.
    """

    opset: int
    nodes: list[Node]
    weights: dict[str, Array]
    image: str
    shape: tuple[int | None, ...]
    integer: bool
    output: str


def read(path: Path) -> OnnxModel:
    """Read a file. Raises WeightsError: missing, damaged, too large or of more than a picture."""
    model = parse(path)
    opset = max((x.version for x in model.opset_import if x.domain in DOMAINS), default=0)
    if opset not in OPSETS:
        raise OperationError(f"{path}: opset {opset}; expected {OPSETS.start} to {OPSETS.stop - 1}")
    graph = model.graph
    if len(graph.node) > MOST_NODES:
        raise _error(path, f"{len(graph.node)} operations; expected {MOST_NODES} at most")
    try:
        weights = {x.name: _tensor(path, x) for x in graph.initializer}
        nodes = [_node(path, x) for x in graph.node]
        image, shape, integer = picture_input(path, graph)
    except (ValueError, TypeError, KeyError) as error:  # of types and sizes that do not fit
        raise _error(path, f"damaged ({_line(error)})") from error
    if not graph.output:
        raise _error(path, "no output")
    return OnnxModel(opset, nodes, weights, image, shape, integer, graph.output[0].name)


def parse(path: Path) -> ModelProto:
    """The file as protobuf has it. Raises WeightsError: missing, too large or no ONNX file."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _error(path, f"larger than {MOST_BYTES >> 30} GB")
        data = path.read_bytes()
    except OSError as error:
        raise _error(path, f"cannot read the model: {error.strerror or error}") from error
    if what := stand_in.explain(data[: stand_in.BEGINNING]):
        raise _error(path, f"not an ONNX file: it is {what}")
    try:
        model: ModelProto = ModelProto.FromString(data)
        return model
    except (DecodeError, ValueError) as error:
        raise _error(path, f"not an ONNX file, or damaged ({_line(error)})") from error


def picture_input(path: Path, graph: GraphProto) -> tuple[str, tuple[int | None, ...], bool]:
    """Name and shape of what goes in, and whether it is whole numbers. Raises WeightsError."""
    weights = {x.name for x in graph.initializer}
    given = [x for x in graph.input if x.name not in weights]
    if len(given) != 1:
        raise _error(path, f"{len(given)} inputs; expected one, a picture")
    kind = given[0].type.tensor_type
    shape = tuple(x.dim_value if x.dim_value > 0 else None for x in kind.shape.dim)
    if len(shape) != 4:
        raise _error(path, f"its input has {len(shape)} dimensions; expected 4, a picture's")
    return given[0].name, shape, kind.elem_type == TensorProto.UINT8


def _node(path: Path, x: Any) -> Node:
    if x.domain not in DOMAINS:
        raise OperationError(f"{path}: operator {x.op_type} of {x.domain[:60]!r} is not ONNX's own")
    attributes = {}
    for attribute in x.attribute:
        if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
            raise OperationError(
                f"{path}: operator {x.op_type} ({x.name[:60]!r}) has graphs inside"
            )
        value = helper.get_attribute_value(attribute)
        if attribute.type == AttributeProto.TENSOR:
            value = _tensor(path, value)
        attributes[attribute.name] = value.decode() if isinstance(value, bytes) else value
    return Node(x.op_type, x.name, tuple(x.input), tuple(x.output), attributes)


def _tensor(path: Path, x: TensorProto) -> Array:
    if x.data_location == TensorProto.EXTERNAL or x.external_data:
        data = _beside(path, {entry.key: entry.value for entry in x.external_data})
        x = TensorProto(dims=x.dims, data_type=x.data_type, raw_data=data, name=x.name)
    if np.prod([max(0, side) for side in x.dims], dtype=float) > MOST_BYTES:
        raise _error(path, f"tensor {x.name[:60]!r} is of shape {tuple(x.dims)[:8]}")
    array: Array = numpy_helper.to_array(x)
    if array.dtype.kind == "c":
        raise _error(path, f"tensor {x.name[:60]!r} holds complex numbers; expected real ones")
    half = array.dtype.kind == "V" or array.dtype.itemsize == 2  # float16 and bfloat16
    return array.astype(np.float32) if half and array.dtype.kind not in "iu" else array


def _beside(path: Path, said: dict[str, str]) -> bytes:
    """Bytes of a file in the model's own folder. Raises WeightsError: it is no such file."""
    name = said.get("location", "")
    file = path.parent / name
    if Path(name).name != name or file.is_symlink() or not file.is_file():
        raise _error(path, f"its weights lie in {name[:100]!r}, which is no file beside it")
    offset, length = int(said.get("offset", "0")), int(said.get("length", "-1"))
    size = file.stat().st_size
    length = size - offset if length < 0 else length
    if not 0 <= offset <= offset + length <= size or length > MOST_BYTES:
        raise _error(path, f"{name}: {length} bytes at {offset} of {size}")
    with file.open("rb") as data:
        data.seek(offset)
        return data.read(length)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _error(path: Path, problem: str) -> WeightsError:
    return WeightsError(f"{path}: {problem}")
