"""Checkpoints as graphs of ours: known by the names of their weights, or through spandrel."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imagen_fast import atomic
from imagen_fast.errors import OperationError, WeightsError
from imagen_fast.extras import install
from imagen_fast.importers import architectures, checkpoint_file
from imagen_fast.importers.checkpoint_file import State
from imagen_fast.importers.fitting import Foreign

SIDE = 64  # of the picture that the exporter sees
OPSET = 17


def network(path: Path) -> Foreign:
    """A file's network. Raises WeightsError: missing, damaged, or an architecture not known."""
    state = checkpoint_file.read(path)
    architecture = architectures.recognised(list(state))
    if architecture is not None:
        return architectures.network(architecture, state)
    if find_spec("spandrel") is None:
        known = ", ".join(architectures.ARCHITECTURES)
        raise WeightsError(
            f"{path}: weights of no architecture that is known here ({known}); the package "
            f"spandrel knows more: {install('spandrel')}; or export the network to ONNX"
        )
    return _through_spandrel(path, state)


def _through_spandrel(path: Path, state: State) -> Foreign:
    """What spandrel makes of the weights, exported by torch and read by the ONNX door."""
    from imagen_fast.importers import onnx_door

    with atomic.scratch() as folder:
        file = folder / "network.onnx"
        try:
            architecture = _export(state, file)
        except Exception as error:  # what spandrel and the exporter make of unknown networks
            reason = " ".join(str(error).split())[:200]
            raise WeightsError(
                f"{path}: not known here, and not read through spandrel ({reason})"
            ) from error
        try:
            made = onnx_door.network(file)
        except (OperationError, WeightsError) as error:
            raise type(error)(str(error).replace(str(file), str(path))) from error
    return replace(made, full=1, facts={"format": f"{architecture}, by spandrel"})


def _export(state: State, file: Path) -> str:
    """The network as an ONNX file; returns the name of its architecture."""
    import torch

    spandrel: Any = import_module("spandrel")
    tensors = {name: torch.from_numpy(x) for name, x in state.items()}
    found: Any = spandrel.ModelLoader(device="cpu").load_from_state_dict(tensors)
    # By itself, the exporter would make inputs of what `forward` has defaults for.
    alone = torch.nn.Sequential(found.model).eval()
    axes = {2: "height", 3: "width"}
    with warnings.catch_warnings(), _silent(torch._C):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            alone,
            (torch.zeros(1, found.input_channels, SIDE, SIDE),),
            str(file),
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["picture"],
            dynamic_axes={"image": axes, "picture": axes},
        )
    return str(found.architecture.name)


@contextmanager
def _silent(inner: Any) -> Iterator[None]:
    """Without what torch's exporter prints of a failure, the whole network, in whichever mode."""
    log = getattr(inner, "_jit_onnx_log", None)
    inner._jit_onnx_log = lambda *what: None
    try:
        yield
    finally:
        inner._jit_onnx_log = log
