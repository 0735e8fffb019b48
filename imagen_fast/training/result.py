"""Bundles that training starts from and ends with."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import torch
from torch import nn

from imagen_fast._version import __version__
from imagen_fast.bundle import Bundle, load_bundle, save_bundle
from imagen_fast.catalogue import resolve
from imagen_fast.errors import TrainingError
from imagen_fast.training.config import Config


def warm_start(model: nn.Module, name: str) -> str:
    """Load the tensors of a bundle whose name and shape agree with the model's.

    Args:
        name: a bundle's file, or the name of a shipped model.

    Returns what was taken, to be shown.

    Raises:
        TrainingError: no tensor fits.
        WeightsError: the bundle cannot be read.
    """
    own = model.state_dict()
    found = {
        key: torch.from_numpy(tensor)
        for key, tensor in load_bundle(resolve(name)).tensors.items()
        if key in own and own[key].shape == tensor.shape
    }
    if not found:
        raise TrainingError(f"no tensor of {name} fits this model; choose another to start from")
    model.load_state_dict(found, strict=False)
    new = sorted(own.keys() - found.keys())
    rest = f"; new: {', '.join(new)}" if new else ""
    return f"starting from {name}: {len(found)} of {len(own)} tensors{rest}"


def bundle_path(config: Config) -> Path:
    """Where the run's bundle is written."""
    return config.run.output / f"{config.model.name}-{config.model.size}.safetensors"


def save_result(config: Config, model: nn.Module, facts: dict[str, Any]) -> None:
    """Write the model and how it came about: the file that `imagen-fast upscale -n` takes."""
    training = {
        **facts,
        "data": config.data.train.name,
        "validation": config.data.validation.name if config.data.validation else None,
        "patch": config.data.patch,
        "batch": config.data.batch,
        "optimiser": config.optimiser.name,
        "adversarial": config.adversarial.loss if config.adversarial else None,
        "warm_start": Path(config.model.warm_start).name or None,
        "precision": config.run.precision,
        "seed": config.run.seed,
        "versions": {
            "imagen-fast": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    tensors = {k: v.detach().cpu().contiguous().numpy() for k, v in model.state_dict().items()}
    metadata = {
        "task": "sr",
        "name": config.model.name,
        "size": config.model.size,
        "license": "Apache-2.0",
        "training": json.dumps(training, sort_keys=True),
    }
    save_bundle(Bundle(config.model.spec, tensors, metadata), bundle_path(config))
