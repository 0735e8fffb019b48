"""A folder of pictures to train on, and the check that a value lies in its range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from imagen_fast.errors import TrainingError


def within(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise TrainingError unless the value lies there."""
    if not low <= value <= high:
        limits = f"at least {low}" if high == math.inf else f"from {low} to {high}"
        raise TrainingError(f"{name} is {value}; expected {limits}")


@dataclass(frozen=True)
class Source:
    """One folder of pictures to train on: an entry of `data.train`.

    Attributes:
        folder: searched with its subfolders.
        weight: its share of the patches, relative to the other folders' weights.
        reduced: pixels of the shorter side, to which larger pictures are reduced first: 480 shows
            as much of the world on a patch as small pictures do; 0: none.
    """

    folder: Path
    weight: float = 1.0
    reduced: int = 0

    def __post_init__(self) -> None:
        within("data.train.reduced", self.reduced, 0)
        if self.weight <= 0:
            raise TrainingError(
                f"data.train gives {self.folder} the weight {self.weight}; expected more than 0 "
                "(leave out a folder that is not to be used)"
            )
