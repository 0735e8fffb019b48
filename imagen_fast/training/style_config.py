"""What `[style]` says in a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from imagen_fast.errors import TrainingError
from imagen_fast.training.source import Source, within


@dataclass(frozen=True)
class StyleConfig:
    """`[style]`: present to train a network that draws photographs in the manner of paintings.

    Attributes:
        train: folders of paintings, as `data.train`.
        exclude: files in them that are left out, as `data.exclude`.
        side, photographs: pixels of the shorter side, to which paintings and the photographs of
            `data.train` are reduced first.
        texture, together, colors: weights of the distances to the painting's statistics: of
            filters' responses, of where they are strong together, and of colours.
        edges, structure: weights of the distances to the photograph's edges, and to where and
            which way they run at several scales.
    """

    train: tuple[Source, ...]
    exclude: tuple[str, ...] = ()
    side: int = 384
    photographs: int = 384
    texture: float = 1.0
    together: float = 60.0
    colors: float = 3.0
    edges: float = 0.1
    structure: float = 0.3

    def __post_init__(self) -> None:
        if not self.train:
            raise TrainingError("style.train is an empty list; expected one folder at least")
        within("style.side", self.side, 32, 4096)
        within("style.photographs", self.photographs, 32, 4096)
        for name in ("texture", "together", "colors", "edges", "structure"):
            within(f"style.{name}", getattr(self, name), 0)
