"""ONNX files that are not imported but run as they are, by ONNX Runtime: what they take and give.

Found by running a photograph through them, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto

from imagen_fast.backends import backend_class
from imagen_fast.backends.onnx_process import OnnxFile, OnnxFileSession, OnnxProcess, Planes
from imagen_fast.errors import BackendError, WeightsError
from imagen_fast.export.photograph import load, shaped
from imagen_fast.graph import Graph, Input, Operation, Output
from imagen_fast.importers.onnx_model import parse, picture_input
from imagen_fast.importers.probe import CLOSE, is_painted

MULTIPLES = (1, 2, 4, 8, 16, 32, 64)


def whole(path: Path) -> OnnxFile:
    """The file as a model for the backend onnxruntime.

    Raises:
        WeightsError: missing, damaged, too large, with weights in other files, or not of a picture.
        BackendError: ONNX Runtime does not run it.
    """
    if missing := backend_class("onnxruntime").missing():
        raise BackendError(f"backend 'onnxruntime' cannot run here: {missing}")
    state = path.stat()
    return _whole(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _whole(path: Path, changed: int, size: int) -> OnnxFile:
    model = parse(path)
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise WeightsError(
                f"{path}: tensor {tensor.name[:60]!r} lies in another file, which is not read for "
                "ONNX Runtime; save the model as one file"
            )
    name, (_, channels, height, width), integer = picture_input(path, model.graph)
    if integer or channels not in (None, 1, 3):
        raise WeightsError(f"{path}: its input is no picture (N, 1 or 3, H, W) in floats")
    data, only = model.SerializeToString(), (height, width) if height and width else None
    process = OnnxProcess(data)
    try:
        multiple, scale = _sides(process, name, channels or 3, only)
    except BackendError as error:
        raise BackendError(f"{path}: {error}") from error
    finally:
        process.close()
    about = {"name": path.stem, "format": "onnx"}
    file = OnnxFile(_stand_in(scale), {}, about, data, name, channels or 3, only, multiple)
    file = replace(file, metadata={**about, "task": file.task.name})
    white = replace(file, full=255)
    (found, far), (found_white, far_white) = _run(file), _run(white)
    close = far_white < CLOSE and far_white < far / 2
    return white if close or is_painted(found_white, found) else file


def _tensors(message: Any) -> Iterator[TensorProto]:
    """All that a file holds, those of graphs within operators and functions as well."""
    if isinstance(message, TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            parts = value if field.is_repeated else [value]
            for part in parts:
                yield from _tensors(part)


def _sides(
    process: OnnxProcess, name: str, channels: int, only: tuple[int, int] | None
) -> tuple[int, int]:
    """Of how many pixels sides have to be multiples, and by how much the result is larger."""
    problem = BackendError("it takes pictures of no size that was tried")
    for multiple in MULTIPLES:
        high, wide = only or ((64 // multiple | 1) * multiple, (72 // multiple | 1) * multiple)
        image = np.full((1, channels, high, wide), 0.5, np.float32)
        try:
            shape = process.run(name, image).shape
        except BackendError as error:
            problem = error
            continue
        scale = shape[-1] // wide
        if scale and shape == (1, channels, scale * high, scale * wide):
            return multiple, scale
        problem = BackendError(f"it makes {shape} of {image.shape}; expected a picture")
    raise problem


def _stand_in(scale: int) -> Graph:
    """A graph with the file's input and output, of which every pixel depends on all."""
    mean = Operation("reduce", "mean", ("image",), {}, {"function": "mean", "over": "picture"})
    large = [Operation("nearest", "large", ("image",), {}, {"factor": scale})] if scale > 1 else []
    result = Operation("sum", "result", ("large" if large else "image", "mean"))
    graph = (mean, *large, result)
    return Graph({"image": Input(3, True)}, graph, {"picture": Output("result", True)})


def _run(file: OnnxFile) -> tuple[Planes, float]:
    """What it makes of a photograph, and how far that is from the same with its pixels repeated."""
    side = file.size or (64, 64)
    photograph = shaped(load(None), 1, *side, 3).transpose(0, 3, 1, 2).astype(np.float32) / 255
    planes: Planes = OnnxFileSession(file).run({"image": photograph})["picture"]
    scale = file.graph.scale
    large = photograph.repeat(scale, 2).repeat(scale, 3)
    return planes, float(np.sqrt(np.square(planes - large).mean()))
