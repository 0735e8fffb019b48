"""State dictionaries: names and arrays out of a .safetensors or a PyTorch file, and no code."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize, safe_open

from imagen_fast import stand_in
from imagen_fast.errors import WeightsError
from imagen_fast.extras import install

if TYPE_CHECKING:
    from torch import Tensor

MOST_BYTES = 2 << 30
MOST_TENSORS = 20_000
SAFETENSORS = ".safetensors"
# Under which trainers keep the weights; the averaged ones are meant to be used.
WITHIN = ("params_ema", "params", "state_dict", "model_state_dict", "model", "generator", "net_g")
DEEPEST = 3  # of such dictionaries in each other; one may hold itself
PREFIXES = ("module.", "netG.", "generator.")
# How safetensors names what weights may be, and what numpy reads of it.
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}

State = dict[str, NDArray[np.float32]]

_parts: Callable[[bytes], Any] = deserialize  # which has no annotations


def read(path: Path) -> State:
    """Names and float32 arrays. Raises WeightsError: missing, damaged, or more than weights."""
    try:
        with path.open("rb") as file:
            start = file.read(stand_in.BEGINNING)
        if path.stat().st_size > MOST_BYTES:
            raise _error(path, f"larger than {MOST_BYTES >> 30} GB")
    except OSError as error:
        raise _error(path, f"cannot read the model: {error.strerror or error}") from error
    if what := stand_in.explain(start):
        raise _error(path, f"no weights: it is {what}")
    state = _safetensors(path) if path.suffix.lower() == SAFETENSORS else _torch(path)
    if not state or len(state) > MOST_TENSORS:
        raise _error(path, f"{len(state)} tensors; expected 1 to {MOST_TENSORS}")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): x for name, x in state.items()}
    return state


def names(path: Path) -> tuple[dict[str, str], list[str]]:
    """Metadata and names of a .safetensors file; nothing if it is none."""
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}, list(file.keys())
    except (SafetensorError, OSError, ValueError):
        return {}, []


def _safetensors(path: Path) -> State:
    try:
        found = _parts(path.read_bytes())
    except (SafetensorError, OSError, ValueError) as error:
        raise _error(path, f"not a safetensors file, or damaged ({error})") from error
    state = {}
    for name, x in found:
        if x["dtype"] in FLOATS:
            values = np.frombuffer(x["data"], FLOATS[x["dtype"]])
            if x["dtype"] == "BF16":  # the upper half of a float32
                values = (values.astype(np.uint32) << 16).view(np.float32)
            state[name] = np.asarray(values, np.float32).reshape(x["shape"])
        elif x["dtype"][0] not in "IUB":  # counters and masks are no weights
            expected = ", ".join(FLOATS)
            raise _error(path, f"tensor {name[:80]!r} is {x['dtype']}; expected {expected}")
    return state


def _torch(path: Path) -> State:
    """Through `torch.load(weights_only=True)`, which refuses whatever could run code."""
    if find_spec("torch") is None:
        raise _error(path, f"to read it PyTorch is needed; {install('torch')}")
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of oddities in a damaged file
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle's, zip's and torch's own
        if more := re.search(r"GLOBAL (\S+)", str(error)):
            raise _error(
                path,
                f"it holds more than weights ({more[1]}), which could run code: it is not read; "
                "save the state_dict() instead",
            ) from error
        raise _error(path, "not a file of PyTorch's weights, or damaged") from error
    if not isinstance(found, dict):
        raise _error(path, "no dictionary of weights")
    return {name: x.detach().float().numpy() for name, x in _weights(found).items()}


def _weights(found: dict[Any, Any], depth: int = 0) -> dict[str, Tensor]:
    """The tensors of the first dictionary that has any, those `WITHIN` it before itself."""
    import torch

    for inner in map(found.get, WITHIN):
        if isinstance(inner, dict) and depth < DEEPEST and (state := _weights(inner, depth + 1)):
            return state
    return {
        str(name): x
        for name, x in found.items()
        if isinstance(x, torch.Tensor) and x.is_floating_point() and x.layout == torch.strided
    }


def _error(path: Path, problem: str) -> WeightsError:
    return WeightsError(f"{path}: {problem}")
