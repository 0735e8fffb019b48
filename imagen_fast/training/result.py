"""Bundles that training starts from and ends with."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from imagen_fast._version import __version__
from imagen_fast.bundle import Bundle, load_bundle, read_header, save_bundle
from imagen_fast.catalogue import files, resolve
from imagen_fast.errors import TrainingError
from imagen_fast.graph import Graph, network
from imagen_fast.graph.passes import needed
from imagen_fast.models.blocks import ConvBlock
from imagen_fast.spec import ModelSpec
from imagen_fast.task import task_of
from imagen_fast.training.config import Config
from imagen_fast.training.widening import widened


def warm_start(model: nn.Module, name: str) -> str:
    """Load the tensors of a bundle whose name agrees with the model's, and that fit.

    Convolution blocks that a stage has beyond those of the bundle begin by changing nothing, and
    channels beyond those of the bundle are not read by the others at first (`widened`), so a deeper
    or wider network begins where the bundle's ended.

    Args:
        name: a bundle's file, or the name of a shipped model.

    Returns what was taken, to be shown.

    Raises:
        TrainingError: no tensor fits.
        WeightsError: the bundle cannot be read.
    """
    own = model.state_dict()
    found = {}
    for key, tensor in load_bundle(resolve(name)).tensors.items():
        fitting = widened(key, torch.from_numpy(tensor), own[key]) if key in own else None
        if fitting is not None:
            found[key] = fitting
    if not found:
        raise TrainingError(f"no tensor of {name} fits this model; choose another to start from")
    model.load_state_dict(found, strict=False)
    for block, module in model.named_modules():
        first = f"{block.rpartition('.')[0]}.0.conv.weight"  # of its stage
        if isinstance(module, ConvBlock) and first in found and f"{block}.conv.weight" not in found:
            for parameter in module.parameters():
                torch.nn.init.zeros_(parameter)
    new = sorted(own.keys() - found.keys())
    rest = f"; new: {', '.join(new)}" if new else ""
    return f"starting from {name}: {len(found)} of {len(own)} tensors{rest}"


def earlier_pictures(name: str) -> dict[str, list[str]]:
    """The pictures that a model, by its name or file, was trained on, by folder.

    One that lists none is named in their place.
    """
    training = json.loads(read_header(resolve(name)).metadata.get("training", "{}"))
    unknown: dict[str, list[str]] = {f"not listed: {Path(name).name}": []}
    pictures: dict[str, list[str]] = training.get("pictures") or unknown
    return pictures


def earlier_codes(name: str) -> list[list[float]]:
    """The codes of what a generator, by its name or file, learnt from; none of other models."""
    said = json.loads(read_header(resolve(name)).metadata.get("generation", "{}"))
    codes: list[list[float]] = said.get("codes", [])
    return codes


def to_extend(config: Config) -> Config:
    """The configuration of a run that goes on from weights alone: its warm start is chosen.

    They are `model.warm_start`, a bundle in the output folder, or the shipped ones of the model's
    name and size: the first of these that are of this model.

    Raises:
        TrainingError: there are none, or they are of other models.
        WeightsError: a bundle cannot be read.
    """
    model, own = config.model, bundle_path(config)
    shipped = next((path.stem for path in files() if path.stem == own.stem), "")
    names = [name for name in (model.warm_start, str(own) if own.exists() else "", shipped) if name]
    if not names:
        raise TrainingError(
            f"nothing to extend: {config.run.output} holds no run, model.warm_start is not set and "
            f"no shipped model is called {own.stem}; train it from the start (without --extend)"
        )
    source = _source(config)
    found = {name: read_header(resolve(name)).source for name in names}
    name = next((name for name in names if found[name] == source), names[0])
    if found[name] != source:
        other = found[name]
        its = other.to_json() if isinstance(other, ModelSpec) else "none of our architectures'"
        raise TrainingError(
            f"{name} cannot be extended as {own.stem}: its spec is {its}, the configuration's "
            f"{model.spec.to_json()}; train from the start (without --extend), with "
            "model.warm_start for the tensors that fit"
        )
    return replace(config, model=replace(model, warm_start=name))


def bundle_path(config: Config) -> Path:
    """Where the run's bundle is written."""
    return config.run.output / f"{config.model.name}-{config.model.size}.safetensors"


def _source(config: Config) -> ModelSpec | Graph:
    """What the run's bundle says of its network."""
    spec = config.model.spec
    if config.generation:  # what makes pictures from a latent, and nothing else
        levels = range(len(spec.levels))
        return needed(network(spec), [f"sample.{n}" if n else "sample" for n in levels])
    return spec


def save_result(
    config: Config,
    model: nn.Module,
    facts: dict[str, Any],
    codes: Sequence[Sequence[float]] = (),
) -> None:
    """Write the model and how it came about: the file that `imagen-fast upscale -n` takes.

    `codes` are a generator's, see `tasks/generate.py`.
    """
    training = {
        **facts,
        "data": [asdict(each) | {"folder": each.folder.name} for each in config.data.train],
        "drawn": config.data.drawn or None,
        "validation": config.data.validation.name if config.data.validation else None,
        "patch": config.data.patch,
        "batch": config.data.batch,
        "optimiser": config.optimiser.name,
        "degradation": asdict(config.degradation) if config.degradation else None,
        "adversarial": config.adversarial.loss if config.adversarial else None,
        "warm_start": Path(config.model.warm_start).name or None,
        "seed": config.run.seed,
        "versions": {
            "imagen-fast": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    source = _source(config)
    tensors = {k: v.detach().cpu().contiguous().numpy() for k, v in model.state_dict().items()}
    if isinstance(source, Graph):
        tensors = {name: tensors[name] for name in source.tensors}
    task = "stylize" if config.style else task_of("", config.model.spec.scale).name
    if config.video:
        task = "video"
    if config.generation:
        task = "generate"
    metadata = {
        "task": task,
        "name": config.model.name,
        "size": config.model.size,
        "license": "Apache-2.0",
        "training": json.dumps(training, sort_keys=True),
    }
    if config.generation:
        said = config.generation
        facts = {"shared": said.shared, "margin": said.margin}
        facts |= {"codes": codes} if codes else {}
        metadata["generation"] = json.dumps({**facts, "side": config.data.patch}, sort_keys=True)
    save_bundle(Bundle(source, tensors, metadata), bundle_path(config))
