"""Train a generator on somebody's pictures for some minutes, without a configuration to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imagen_fast.training.checkpoint import has_checkpoint
from imagen_fast.training.config import Config
from imagen_fast.training.config_file import parse_config
from imagen_fast.training.trainer import Outcome, train

SIDE = 64
AUGMENTED = 0.5  # share of what the discriminator sees that is changed


def imitate(
    folder: Path, output: Path, texture: bool, run: dict[str, object], *, quiet: bool = False
) -> Outcome:
    """Train on the pictures in `folder` and write `output/{folder}-generator.safetensors`.

    It goes on where an earlier run in `output` stopped; one that is finished is as it is. A run on
    another folder's pictures, or on whole pictures in place of textures, is refused.

    Args:
        texture: any part of a picture will do, at its own size; otherwise whole pictures are
            learnt, made smaller.
        run: keys of `[run]`: `minutes` or `steps`, and perhaps `device`, `threads`.
        quiet: show nothing on the way.

    Raises:
        TrainingError: see `train`.
        ImageError: a picture cannot be read.
    """
    config = _config(folder, output, texture, run)
    return train(config, resume=has_checkpoint(config.run.output), quiet=quiet)


def _config(folder: Path, output: Path, texture: bool, run: dict[str, object]) -> Config:
    """What a file would say: the network of `configs/texture.toml`, and for textures its rates."""
    tables: dict[str, Any] = {
        "model": {
            "name": folder.resolve().name or "pictures",
            "size": "generator",
            "scale": 2,
            "window": 4,
            "latent": 48,
            "levels": [{"channels": 32}, {"channels": 64}, {"channels": 128}],
        },
        "data": {"train": str(folder), "patch": SIDE, "batch": 16, "detail": 1},
        "optimiser": {"warmup": 50, "ema": 0.995},
        "run": {"validate_every": 250, **run, "output": str(output)},
    }
    if texture:
        tables["optimiser"] |= {"lr": 3e-4, "muon_lr": 2.5e-3}
        tables["loss"] = {"frequency": 2.0}
        tables["generation"] = {"shared": 16, "margin": 1, "look": 1.0}
        return parse_config(tables)
    tables["optimiser"] |= {"lr": 1e-3, "muon_lr": 1e-2}
    tables["loss"] = {"frequency": 1.0}
    tables["generation"] = {"shared": 16, "side": SIDE, "margin": 0}
    tables["adversarial"] = {
        "loss": "relativistic",
        "weight": 1.0,
        "features": 1.0,
        "lr": 5e-4,
        "muon_lr": 5e-3,
        "r1": 0.1,
        "r2": 0.1,
        "r1_every": 8,
        "spectral": False,
        "fold": 2,
        "augment": AUGMENTED,
    }
    return parse_config(tables)
