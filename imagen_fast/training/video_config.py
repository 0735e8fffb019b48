"""What `[video]` says in a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from imagen_fast.training.source import within


@dataclass(frozen=True)
class VideoConfig:
    """`[video]`: present to train a network that keeps the frame before in mind.

    Attributes:
        frames: of a clip.
        margin: small pixels around a frame that the camera may move into, of `data.patch`.
        shift: small pixels that it moves in a frame at most.
        turn: deviation of its turn in a frame, in degrees.
        zoom: deviation of its zoom in a frame, as a part of the size.
        degraded: share of the clips with noise and compression.
        steady: weight of how much errors of luma change from frame to frame.
    """

    frames: int = 5
    margin: int = 8
    shift: float = 2.0
    turn: float = 0.4
    zoom: float = 0.005
    degraded: float = 0.2
    steady: float = 0.5

    def __post_init__(self) -> None:
        within("video.frames", self.frames, 2, 64)
        within("video.margin", self.margin, 0, 1024)
        within("video.degraded", self.degraded, 0, 1)
        for name in ("shift", "turn", "zoom", "steady"):
            within(f"video.{name}", getattr(self, name), 0, 100)
