"""A model's file of any kind: a bundle, an ONNX file that this project exported, or another's."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imagen_fast import bundle, importers
from imagen_fast.bundle import Bundle
from imagen_fast.errors import WeightsError
from imagen_fast.extras import install


def load_model(path: Path) -> Bundle:
    """The whole model.

    Raises:
        WeightsError: as `load_bundle`, `importers.load` and `onnx_file.read`.
        OperationError: another's network has an operation that ours cannot have.
    """
    if importers.is_foreign(path):
        return importers.load(path)
    found: Bundle = _reader(path).read(path) if _is_exported(path) else bundle.load_bundle(path)
    return found


def read_header(path: Path) -> Bundle:
    """The model without its tensors where they need not be read. Raises as `load_model`."""
    if importers.is_foreign(path):
        return importers.load(path)
    header: Bundle
    header = _reader(path).read_header(path) if _is_exported(path) else bundle.read_header(path)
    return header


def _is_exported(path: Path) -> bool:
    """Whether it is an ONNX file that this project exported."""
    return path.suffix.lower() == importers.ONNX and not importers.is_foreign(path)


def _reader(path: Path) -> Any:
    """`imagen_fast.export.onnx_file`."""
    if find_spec("onnx") is None:
        raise WeightsError(f"{path}: to read it the package onnx is needed; {install('onnx')}")
    from imagen_fast.export import onnx_file

    return onnx_file
