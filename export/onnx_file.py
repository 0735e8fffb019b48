"""Reading the ONNX files that `imagen_fast.export.onnx` writes, and nothing else.

A runtime trusts the graph that it is given, and can be crashed by one. So nothing of a file's nodes
ever runs: what is taken is the graph in its metadata, which is checked as any bundle's, and the
tensors that it names. A digest tells whether somebody changed graph or nodes since; what points to
other files is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from imagen_fast import stand_in
from imagen_fast.bundle import Bundle
from imagen_fast.errors import SpecError, WeightsError
from imagen_fast.graph import Graph

from .onnx import FORMAT, digest
from .onnx_blocks import TRANSPOSED

MOST_BYTES = 1 << 30
DTYPES: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT: np.dtype("<f4"),
    TensorProto.FLOAT16: np.dtype("<f2"),
}
# That a bundle keeps.
FACTS = ("name", "task", "architecture", "license", "checksum", "precision", "generation")


def read(path: Path) -> Bundle:
    """The bundle that a file was exported from, as far as it was.

    Raises:
        WeightsError: the file is missing, damaged, of another kind, or was changed since.
    """
    model, header = _parsed(path)
    given = {tensor.name: tensor for tensor in model.graph.initializer}
    if len(given) != len(model.graph.initializer):
        raise _error(path, "two of its tensors have one name")
    tensors = {
        name: _values(path, given, name, shape) for name, shape in header.graph.tensors.items()
    }
    return Bundle(header.source, tensors, header.metadata)


def read_header(path: Path) -> Bundle:
    """The bundle without its tensors. Raises WeightsError as `read`, but for what is of these."""
    return _parsed(path)[1]


def _parsed(path: Path) -> tuple[ModelProto, Bundle]:
    """The file, and what it says of itself."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _error(path, f"larger than {MOST_BYTES >> 30} GB, which no model of ours is")
        data = path.read_bytes()
        if what := stand_in.explain(data[: stand_in.BEGINNING]):
            raise _error(path, f"not an ONNX file: it is {what}")
        model = ModelProto.FromString(data)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        if not all(isinstance(text, str) for text in (*metadata, *metadata.values())):
            raise ValueError("its metadata is not UTF-8")  # which protobuf gives as bytes
        found = digest(model, metadata.get("graph", ""))
    except OSError as error:
        raise _error(path, f"cannot read the model: {error.strerror or error}") from error
    except (DecodeError, ValueError) as error:
        raise _error(path, f"not an ONNX file, or damaged ({error})") from error
    form = metadata.get("format", "")
    if form != FORMAT:
        start = FORMAT.rpartition("-")[0]
        raise _error(
            path,
            f"its format is {form[:40]!r}, expected {FORMAT!r}: it was exported by another "
            "version of imagen-fast; export the model anew, or install that version"
            if form.startswith(start)
            else "not an ONNX file that `imagen-fast export` wrote",
        )
    try:
        graph = Graph.from_json(metadata.get("graph", ""))
    except SpecError as error:
        raise _error(path, str(error)) from error
    if metadata.get("digest") != found:
        raise _error(path, "it was changed since it was exported; export the model anew")
    return model, Bundle(graph, {}, {key: metadata.get(key, "") for key in FACTS})


def _values(
    path: Path, given: dict[str, TensorProto], name: str, shape: tuple[int, ...]
) -> NDArray[Any]:
    """A tensor of the model: finite, and of this shape."""
    tensor, order = given.get(name), shape
    if tensor is None:
        tensor, order = given.get(name + TRANSPOSED), shape[::-1]
    if tensor is None:
        raise _error(path, f"tensor {name!r} is missing")
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        raise _error(path, "its weights lie in another file (external data), which is not read")
    dtype, dims = DTYPES.get(tensor.data_type), tuple(tensor.dims)
    if dtype is None or [x for x in dims if x != 1] != [x for x in order if x != 1]:
        raise _error(
            path,
            f"tensor {name!r} is of shape {dims[:8]} and type {tensor.data_type}; expected {order} "
            "in float32 or float16",
        )
    if len(tensor.raw_data) != int(np.prod(order)) * dtype.itemsize:
        raise _error(path, f"tensor {name!r} is cut short or stored in an unexpected way")
    values = np.frombuffer(tensor.raw_data, dtype).reshape(order)
    if not np.isfinite(values).all():
        raise _error(path, f"tensor {name!r} holds values that are not finite")
    values = values if order == shape and tensor.name == name else values.T
    return values.astype(np.float16 if dtype.itemsize == 2 else np.float32, order="C")


def _error(path: Path, problem: str) -> WeightsError:
    return WeightsError(f"{path}: {problem}")
