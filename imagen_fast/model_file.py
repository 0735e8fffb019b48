"""A model's file of any kind: a bundle, an ONNX file that this project exported, or another's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imagen_fast import atomic, bundle, importers
from imagen_fast.bundle import Bundle
from imagen_fast.errors import OperationError, WeightsError
from imagen_fast.extras import install


def load_model(path: Path, backend: str = "auto") -> Bundle:
    """The whole model.

    Another's ONNX file that cannot be imported is one for ONNX Runtime, if that is the backend.

    Raises:
        BackendError: ONNX Runtime does not run the file.
        WeightsError: as `load_bundle`, `importers.load` and `onnx_file.read`.
        OperationError: another's network has an operation that ours cannot have.
    """
    if importers.is_foreign(path):
        return _imported(path, backend)
    found: Bundle = _reader(path).read(path) if _is_exported(path) else bundle.load_bundle(path)
    return found


@contextmanager
def as_bundle(path: Path) -> Iterator[Path]:
    """A bundle's path: the file itself, or, of a model in another, one that is there meanwhile."""
    if not importers.is_foreign(path) and not _is_exported(path):
        yield path
        return
    with atomic.scratch() as folder:
        made = folder / f"{path.stem}{importers.SAFETENSORS}"
        bundle.save_bundle(load_model(path), made)
        yield made


def read_header(path: Path, backend: str = "auto") -> Bundle:
    """The model without its tensors where they need not be read. Raises as `load_model`."""
    if importers.is_foreign(path):
        return _imported(path, backend)
    header: Bundle
    header = _reader(path).read_header(path) if _is_exported(path) else bundle.read_header(path)
    return header


def _imported(path: Path, backend: str) -> Bundle:
    try:
        return importers.load(path)
    except OperationError as error:
        if path.suffix.lower() != importers.ONNX:
            raise
        if backend != "onnxruntime":
            raise OperationError(
                f"{error}; if it makes pictures, backend onnxruntime runs the file as it is"
            ) from error
    from imagen_fast.importers.onnx_whole import whole

    return whole(path)


def _is_exported(path: Path) -> bool:
    """Whether it is an ONNX file that this project exported."""
    return path.suffix.lower() == importers.ONNX and not importers.is_foreign(path)


def _reader(path: Path) -> Any:
    """`imagen_fast.export.onnx_file`."""
    if find_spec("onnx") is None:
        raise WeightsError(f"{path}: to read it the package onnx is needed; {install('onnx')}")
    from imagen_fast.export import onnx_file

    return onnx_file
