"""Train a model on somebody's pictures for some minutes, without a configuration to write."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from imagen_fast import atomic
from imagen_fast.bundle import Bundle, load_bundle, save_bundle
from imagen_fast.catalogue import resolve
from imagen_fast.errors import TrainingError
from imagen_fast.image.degradation import Degradation, Uint8
from imagen_fast.spec import ModelSpec
from imagen_fast.training.config import Config
from imagen_fast.training.config_file import parse_config
from imagen_fast.training.display import choose_display
from imagen_fast.training.interrupt import Interrupt
from imagen_fast.training.pictures import tenth_held_out
from imagen_fast.training.processes import Processes
from imagen_fast.training.trainer import Trainer
from imagen_fast.training.validation import picture, validate


@dataclass(frozen=True)
class Gain:
    """What came of it.

    Attributes:
        before, after: PSNR in dB on the held-out pictures.
        pictures: of each held-out picture the start's, the trained model's and the true one.
        interrupted: the number of the signal that ended it early, 0 for none.
    """

    before: float
    after: float
    pictures: list[list[Uint8]]
    interrupted: int


def finetune(start: str, folder: Path, output: Path, run: dict[str, object]) -> Gain:
    """Train the model `start` (a name or a file) on the pictures in `folder`, and write `output`.

    A tenth of the pictures is held out. Where they have not become better, the output is the start
    as it was.

    Args:
        run: keys of `[run]`: `minutes` or `steps`, and perhaps `device`, `threads`.

    Raises:
        TrainingError: the model is of a kind that is not trained here, or see `train`.
        ImageError, WeightsError: a picture or the model cannot be read, or the output written.
    """
    bundle = load_bundle(resolve(start))
    with atomic.scratch() as scratch:
        config = _config(start, bundle, folder, output.stem, {**run, "output": str(scratch)})
        processes = Processes(config.run.device, 1)
        with choose_display() as display, Interrupt() as interrupt:
            pictures = tenth_held_out(config, display.say)
            trainer = Trainer(config, processes, display, None, pictures)
            trainer.results = output
            old, held_out = copy.deepcopy(trainer.average), pictures.held_out
            trainer.before, _ = validate(old, held_out, processes.device)
            display.say(f"before: {trainer.before:.2f} dB on what is held out")
            outcome = trainer.run(interrupt, math.inf)
            after = trainer.facts.get("psnr", math.nan)
            if not outcome.finished:
                after, _ = validate(trainer.average, held_out, processes.device)
        better = after > trainer.before
        save_bundle(load_bundle(outcome.bundle) if better else bundle, output, replace=False)
        shown = [
            [picture(model, low, processes.device) for model in (old, trainer.average)] + [high]
            for low, high in held_out
        ]
    return Gain(trainer.before, after, shown, outcome.interrupted)


def _config(start: str, bundle: Bundle, folder: Path, name: str, run: dict[str, object]) -> Config:
    """What a configuration file would say, with rates for weights that are trained already."""
    source = bundle.source
    if not isinstance(source, ModelSpec) or source.architecture != "hierarchical":
        raise TrainingError(
            f"{start} is a network of a kind that is not trained here; expected one that "
            "`imagen-fast train` made"
        )
    training = json.loads(bundle.metadata.get("training", "{}"))
    tables: dict[str, Any] = {
        "model": {
            "name": name,
            "size": bundle.metadata.get("size", "tuned"),
            "scale": source.scale,
            "levels": [asdict(level) for level in source.levels],
            "warm_start": start,
        },
        "data": {"train": str(folder), "patch": 48, "batch": 8},
        "loss": {"frequency": 0.05},
        "optimiser": {"lr": 3e-4, "muon_lr": 5e-3, "warmup": 20, "ema": 0.99},
        "run": {
            "validate_every": 100,
            "checkpoint_seconds": 1e9,
            "checkpoint_every": 10**9,
            **run,
        },
    }
    if harm := training.get("degradation"):
        known = {field.name for field in fields(Degradation)}  # older weights may name others
        tables["degradation"] = {name: value for name, value in harm.items() if name in known}
    return parse_config(tables)
