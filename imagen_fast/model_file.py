"""A model's file of either kind: a bundle, or an ONNX file that this project exported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imagen_fast import bundle
from imagen_fast.bundle import Bundle
from imagen_fast.errors import WeightsError
from imagen_fast.extras import install

ONNX = ".onnx"


def is_onnx(path: Path) -> bool:
    """Whether the name says so."""
    return path.suffix.lower() == ONNX


def load_model(path: Path) -> Bundle:
    """The whole model. Raises WeightsError as `load_bundle`, and if an ONNX file is not ours."""
    found: Bundle = _reader(path).read(path) if is_onnx(path) else bundle.load_bundle(path)
    return found


def read_header(path: Path) -> Bundle:
    """The model without its tensors. Raises WeightsError as `load_model`."""
    header: Bundle
    header = _reader(path).read_header(path) if is_onnx(path) else bundle.read_header(path)
    return header


def _reader(path: Path) -> Any:
    """`imagen_fast.export.onnx_file`."""
    if find_spec("onnx") is None:
        raise WeightsError(f"{path}: to read it the package onnx is needed; {install('onnx')}")
    from imagen_fast.export import onnx_file

    return onnx_file
