"""A run's state on disk, which a kill at any moment leaves whole.

A checkpoint is written beside the last one and renamed over it, and the last one is kept as
`checkpoint.previous.pt`. It is loaded with `weights_only`, so nothing in it is executed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from imagen_fast.errors import TrainingError

CURRENT = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"


def save_checkpoint(state: dict[str, Any], folder: Path) -> None:
    """Write the state (tensors, numbers, text, lists and dicts of them).

    Raises:
        TrainingError: it cannot be written; the last checkpoint is still there.
    """
    current, temporary = folder / CURRENT, folder / f"{CURRENT}.part"
    content = io.BytesIO()  # torch's own writer of files does not say why it failed
    torch.save(state, content)
    try:
        with temporary.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        if current.exists():
            current.replace(folder / PREVIOUS)
        temporary.replace(current)  # a kill between the two leaves the previous one
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TrainingError(
            f"{current}: cannot be written: {error.strerror or error}; make room, then go on from "
            "the last checkpoint (--resume)"
        ) from error


def load_checkpoint(
    folder: Path, say: Callable[[str], object] = lambda text: None
) -> dict[str, Any] | None:
    """The newest whole state in the folder, on the CPU; None if there is none yet.

    Args:
        say: told of a checkpoint that is passed over because it is damaged.

    Raises:
        TrainingError: there are checkpoints, and none of them can be read.
    """
    errors: list[str] = []
    for path in (folder / CURRENT, folder / PREVIOUS):
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            for error in errors:
                say(f"passed over a damaged checkpoint: {error}")
            return state
        except FileNotFoundError:
            continue
        except Exception as damage:  # a damaged file fails in the unpickler in every way there is
            reason = str(damage).splitlines() or [type(damage).__name__]
            errors.append(f"{path}: {reason[0]}")
    if errors:
        raise TrainingError(
            f"no checkpoint can be read ({'; '.join(errors)}); remove them to start again"
        )
    return None


def has_checkpoint(folder: Path) -> bool:
    """Whether the folder holds a run already."""
    return any((folder / name).exists() for name in (CURRENT, PREVIOUS))
