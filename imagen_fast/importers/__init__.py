"""Networks that others published, as graphs of ours: one door for each kind of file."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_fast.bundle import FAMILY, Bundle
from imagen_fast.errors import OperationError, WeightsError
from imagen_fast.extras import install

if TYPE_CHECKING:
    from imagen_fast.importers.fitting import Fitted, Foreign

ONNX, NCNN = ".onnx", (".param", ".bin")
CHECKPOINTS, SAFETENSORS = (".pth", ".pt", ".ckpt"), ".safetensors"


def is_foreign(path: Path) -> bool:
    """Whether it is a file of somebody's network, and none of a model of ours.

    Raises:
        WeightsError: the package that tells is missing.
    """
    suffix = path.suffix.lower()
    if suffix == SAFETENSORS:
        from imagen_fast.importers import checkpoint_file

        metadata, names = checkpoint_file.names(path)
        if metadata.get("format", "").startswith(FAMILY):  # others write "pt" there
            return False
        from imagen_fast.importers import architectures  # takes longer to load than a model

        return architectures.recognised(names) is not None
    return suffix in NCNN + CHECKPOINTS or (suffix == ONNX and not _is_exported(path))


def _is_exported(path: Path) -> bool:
    """Whether an ONNX file says that this project wrote it."""
    _need_onnx(path)
    from imagen_fast.importers.onnx_model import parse

    try:
        return any(
            entry.key == "format" and entry.value.startswith(FAMILY)
            for entry in parse(path).metadata_props
        )
    except WeightsError:
        return True  # whose reader says what is wrong


def _need_onnx(path: Path) -> None:
    if find_spec("onnx") is None:
        raise WeightsError(f"{path}: to read it the package onnx is needed; {install('onnx')}")


def load(path: Path) -> Bundle:
    """Somebody's network with its weights, for pictures in RGB and of any size.

    Its metadata says under `imported` what was found: the file's name and format, `full` (the
    number that is white to the network), `margin` and `multiple` (pixels that are put around the
    picture, and of which its sides are completed to multiples).

    Args:
        path: of an ONNX file, of either file of a .param and .bin pair, or of a checkpoint.

    Raises:
        WeightsError: missing, damaged, too large or of a kind that is not known.
        OperationError: the network has an operation that no graph of ours has; says which.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise WeightsError(f"{path}: cannot read the model: {error.strerror or error}") from error
    return _load(path.absolute(), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _load(path: Path, changed: int, size: int) -> Bundle:
    from imagen_fast.importers.fitting import fit

    network = _network(path)
    try:
        fitted = fit(network, network.full or 1)
        made = _bundle(path, network, fitted, network.full or 1)
        if network.full is None:
            from imagen_fast.importers.probe import enlarges_well, returns_the_picture

            white = _bundle(path, network, fit(network, 255), 255)
            if returns_the_picture(white, made):
                return white
            if network.may_add:
                sum_ = _bundle(path, network, fit(network, adds=True), 1)
                return sum_ if returns_the_picture(sum_, made) and enlarges_well(sum_) else made
    except OperationError as error:
        raise OperationError(f"{path}: {error}") from error
    return made


def _network(path: Path) -> Foreign:
    suffix = path.suffix.lower()
    if suffix == ONNX:
        _need_onnx(path)
        from imagen_fast.importers import onnx_door

        return onnx_door.network(path)
    if suffix in NCNN:
        from imagen_fast.importers import ncnn_door

        return ncnn_door.network(path)
    if suffix in (*CHECKPOINTS, SAFETENSORS):
        from imagen_fast.importers import checkpoint_door

        return checkpoint_door.network(path)
    known = ", ".join((ONNX, *NCNN, *CHECKPOINTS, SAFETENSORS))
    raise WeightsError(f"{path}: a network's file ends in one of {known}")


def _bundle(path: Path, network: Foreign, fitted: Fitted, full: int) -> Bundle:
    graph = fitted.graph
    (taken,), (made,) = graph.inputs.values(), graph.outputs.values()
    if taken.channels != (count := graph.values[made.value].channels):
        raise WeightsError(
            f"{path}: its channels are {taken.channels} in and {count} out; expected 3 and 3, or "
            "1 and 1"
        )
    found = {"file": path.name, **network.facts, "full": full, "margin": fitted.margin}
    metadata = {
        "name": path.stem,
        "imported": json.dumps(found | {"multiple": fitted.multiple}),
    }
    bundle = Bundle(fitted.graph, fitted.tensors, metadata)
    return replace(bundle, metadata=metadata | {"task": bundle.task.name})
