"""Which shapes of input one TensorRT engine serves, and at which it is fastest.

An engine for open sizes has two profiles, landscape and portrait, so that either is served by
kernels that were chosen for it; both begin at one pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagen_fast.errors import BackendError

from .options import ExportOptions

LARGEST = (1024, 1024)
MOST_AT_ONCE = 8  # pictures, where the batch is open

# Pictures, height and width.
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Profile:
    """Every size between `least` and `most`; kernels are chosen for `best`."""

    least: Shape
    best: Shape
    most: Shape

    def serves(self, shape: Shape) -> bool:
        """Whether this shape is between."""
        pairs = zip(self.least, shape, self.most, strict=True)
        return all(low <= size <= high for low, size, high in pairs)


def profiles(options: ExportOptions) -> list[Profile]:
    """What an engine with these options serves: one shape, or landscape and portrait."""
    n = options.batch
    if options.shape:
        ranges = [(options.shape, options.shape, options.shape)]
    else:
        short, long = sorted(options.largest or LARGEST)
        # Half of the largest; of a square three quarters of that, to be of either orientation.
        best = max(1, (short if short < long else 3 * short // 4) // 2), max(1, long // 2)
        ranges = [((1, 1), best, (short, long)), ((1, 1), best[::-1], (long, short))]
    return [
        Profile((n or 1, *low), (n or 1, *best), (n or MOST_AT_ONCE, *high))
        for low, best, high in ranges
    ]


def choose(available: Sequence[Profile], shape: Shape) -> int:
    """The number of the profile for a shape: among those that serve it, of the same orientation.

    Raises:
        BackendError: none serves it.
    """
    serving = [i for i, profile in enumerate(available) if profile.serves(shape)]
    if not serving:
        most = " or ".join("x".join(map(str, profile.most)) for profile in available)
        least = "x".join(map(str, available[0].least))
        raise BackendError(
            f"the engine serves inputs from {least} to {most} (pictures, height, width), not "
            f"{'x'.join(map(str, shape))}; choose a smaller tile, or export it with a larger "
            "--largest (or without --shape and --batch)"
        )

    def turned(number: int) -> bool:
        _, h, w = available[number].best
        return (h > w) != (shape[1] > shape[2])

    return min(serving, key=turned)
