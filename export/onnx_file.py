"""Reading the ONNX files that `imagen_fast.export.onnx` writes, and nothing else.

A runtime trusts the graph that it is given, and can be crashed by one. So a file is no more than a
spec, options and weights: the graph that these ask for is made anew, the file's must be equal to
it, and what runs is the one that was made here, with the file's weights. Anything else is refused,
a file that refers to others by their paths among it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from imagen_fast import stand_in
from imagen_fast._version import __version__
from imagen_fast.bundle import Bundle
from imagen_fast.errors import ExportError, SpecError, WeightsError
from imagen_fast.spec import ModelSpec

from .onnx import FORMAT, GRAPH_OPTIONS, check, describe
from .onnx_graph import Initializer
from .options import Options

SUFFIX = ".onnx"
MOST_BYTES = 1 << 30
# Fields of the file that say something of it, and do nothing.
REMARKS = ("metadata_props", "producer_name", "producer_version", "doc_string")


def read(path: Path) -> Bundle:
    """A bundle with the file's content in place of tensors; `options_of` says how it was exported.

    Raises:
        WeightsError: the file is missing, damaged, of another kind, or its graph is not the one
            that this version writes for its spec.
    """
    model, spec, metadata = _parsed(path)
    options = options_of(metadata)
    check_size = sum(2 * level.depth * (4 * level.convs + 4) for level in spec.levels)
    if len(model.graph.node) < check_size:
        raise _error(path, "its graph is smaller than its spec; the file is damaged")
    expected, initializers = describe(spec, options, _any_values)
    try:
        _check_external(path, model)
        weights = _weights(path, model, initializers)
        del model.graph.initializer[:]
        for remark in REMARKS:
            model.ClearField(remark)
        if model != expected:
            by = metadata.get("version", "")[:20]
            raise _error(
                path,
                f"its graph is not the one that imagen-fast {__version__} writes for its spec: it "
                f"is another version's ({by!r}) or was changed since; export the model anew",
            )
    except ValueError as error:  # a name that is no text
        raise _error(path, f"damaged ({error})") from error
    expected.graph.initializer.extend(weights)
    return Bundle(spec, {}, metadata, expected.SerializeToString())


def read_header(path: Path) -> Bundle:
    """Spec and metadata. Raises WeightsError as `read`, but for what is wrong with the graph."""
    _, spec, metadata = _parsed(path)
    return Bundle(spec, {}, metadata)


def options_of(metadata: dict[str, str]) -> Options:
    """How a file with this metadata was exported. Raises WeightsError."""
    try:
        data = json.loads(metadata["export"])
        if not isinstance(data, dict) or data.keys() != set(GRAPH_OPTIONS):
            raise ValueError("keys are missing or unknown")
        if data["shape"] is not None:
            height, width = data["shape"]
            data["shape"] = (height, width)
        sizes = (*(data["shape"] or ()), *([] if data["batch"] is None else [data["batch"]]))
        if not all(type(size) is int for size in (*sizes, data["opset"])):
            raise ValueError("a size is no integer")
        return Options(**data)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"the ONNX file's metadata does not say how it was exported ({error}); it is damaged, "
            "or of another version: export the model anew"
        ) from error


def _parsed(path: Path) -> tuple[ModelProto, ModelSpec, dict[str, str]]:
    """The file and what it says of itself; its options go with its spec, its graph is unread."""
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
    except OSError as error:
        raise _error(path, f"cannot read the model: {error.strerror or error}") from error
    except (DecodeError, ValueError) as error:
        raise _error(path, f"not an ONNX file, or damaged ({error})") from error
    found = metadata.get("format", "")
    if found != FORMAT:
        start = FORMAT.rpartition("-")[0]
        raise _error(
            path,
            f"its format is {found[:40]!r}, expected {FORMAT!r}: it was exported by another "
            "version of imagen-fast; export the model anew, or install that version"
            if found.startswith(start)
            else "not an ONNX file that `imagen-fast export` wrote, and others are not run",
        )
    try:
        spec = ModelSpec.from_json(metadata.get("spec", ""))
        check(options_of(metadata), spec)
    except (SpecError, ExportError, WeightsError) as error:
        raise _error(path, str(error)) from error
    return model, spec, metadata


def _any_values(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """A tensor of this shape that takes no memory, whatever a file's spec promises."""
    return np.broadcast_to(np.float32(0), shape)


def _check_external(path: Path, model: ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
            raise _error(path, "its weights lie in another file (external data), which is not read")


def _weights(path: Path, model: ModelProto, initializers: list[Initializer]) -> list[TensorProto]:
    """The file's tensors: those that are expected, with finite values."""
    given = {tensor.name: tensor for tensor in model.graph.initializer}
    if len(given) != len(model.graph.initializer) or given.keys() != {x.name for x in initializers}:
        raise _error(path, "its tensors are not those that its spec asks for")
    found = []
    for x in initializers:
        tensor = given[x.name]
        expected = helper.np_dtype_to_tensor_dtype(x.dtype), x.array.shape
        if (tensor.data_type, tuple(tensor.dims)) != expected:
            raise _error(
                path,
                f"tensor {x.name!r} is of shape {tuple(tensor.dims)[:8]} and type "
                f"{tensor.data_type}; expected {expected[1]} and {expected[0]}",
            )
        if len(tensor.raw_data) != x.array.size * x.dtype.itemsize:
            raise _error(path, f"tensor {x.name!r} is cut short or stored in an unexpected way")
        values = np.frombuffer(tensor.raw_data, x.dtype.newbyteorder("<")).reshape(x.array.shape)
        if x.constant and not np.array_equal(values, x.array):
            raise _error(path, f"tensor {x.name!r}, a constant of the graph, was changed")
        if not np.isfinite(values).all():
            raise _error(path, f"tensor {x.name!r} holds values that are not finite")
        found.append(Initializer(x.name, values, x.dtype, x.constant).proto())
    return found


def _error(path: Path, problem: str) -> WeightsError:
    return WeightsError(f"{path}: {problem}")
