"""What condition a picture is in: what JPEG and noise have done to it, as far as that shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imagen_fast.image.picture import Picture, eight_bits
from imagen_fast.samples import Samples

# From here on a model for clean pictures does harm: it makes blocks and noise sharp.
WORST_QUALITY = 84
MOST_NOISE = 8.0  # levels of 255
MOST_BLOCKS = 0.2
SIDE = 1024  # pixels in the middle of a picture that tell, so that large ones take no longer

_BLOCK = 8
_QUALITY_50 = 3688  # sum of the luma table of annex K of ITU-T T.81, which is quality 50
# What the calmest of a picture's blocks have of noise that is everywhere the same.
_OF_NOISE = 0.43


def harm(picture: Picture) -> str:
    """What was done to a picture, in words; "" if nothing that counts."""
    quality = picture.metadata.jpeg_quality
    if quality is not None and quality <= WORST_QUALITY:
        return f"JPEG of quality {quality}"
    height, width = picture.color.shape[:2]
    top, left = max(0, height - SIDE) // 2, max(0, width - SIDE) // 2
    middle = picture.color[top : top + SIDE, left : left + SIDE]
    gray: Samples = eight_bits(middle).astype(np.float32).mean(2)
    noise = noise_level(gray)
    if noise >= MOST_NOISE:
        return f"noise of about {noise:.0f} levels"
    return "blocks of a JPEG" if blocks(gray) >= MOST_BLOCKS else ""


def jpeg_quality(luma: Sequence[int]) -> int:
    """From 1 to 100, as most encoders count, from a JPEG file's first quantisation table."""
    ratio = max(1, sum(luma)) / _QUALITY_50
    return max(1, round(100 - 50 * ratio if ratio <= 1 else 50 / ratio))


def noise_level(gray: Samples) -> float:
    """Deviation of the noise in a picture's mean of channels: (H, W) float32, 0 to 255.

    Second differences along both axes leave nothing of what is even or a slope (Immerkær 1996). Of
    blocks that are not cut at black or white, the calmest 2 % count: elsewhere it may be texture.
    So it is too low where there is much of that, and hardly ever too high.
    """
    down = gray[:-2] - 2 * gray[1:-1] + gray[2:]
    both = down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]  # 36 times the noise's variance
    power, level = _blocks(both**2), _blocks(gray[1:-1, 1:-1])
    power = power[(level > 8) & (level < 247)]
    if len(power) < 4:
        return 0.0
    return float(np.sqrt(np.percentile(power, 2)) / 6 / _OF_NOISE)


def blocks(gray: Samples) -> float:
    """How much JPEG's 8×8 blocks show in a picture that is saved as something else by now.

    (H, W) float32, 0 to 255. What steps between neighbouring columns, every eighth of them, have
    beyond the steps beside them, as a part of the mean step; and of rows: the smaller of both.
    Near 0.6 at quality 20, 0.3 at 40, below 0.1 in nearly all pictures that never were a JPEG.
    """
    if min(gray.shape) < 4 * _BLOCK:
        return 0.0
    return min(_steps(gray), _steps(gray.T))


def _steps(samples: Samples) -> float:
    step = np.abs(np.diff(samples, axis=1))
    beyond = step[:, 1:-1] - (step[:, :-2] + step[:, 2:]) / 2
    columns = beyond.clip(-_BLOCK, _BLOCK).mean(0)  # an edge of the picture's own counts little
    phases = np.array([columns[first::_BLOCK].mean() for first in range(_BLOCK)])
    others = (phases.sum() - phases.max()) / (_BLOCK - 1)
    return float((phases.max() - others) / (step.clip(0, _BLOCK).mean() + 0.3))


def _blocks(samples: Samples) -> Samples:
    """(H, W) → the mean of each whole block."""
    h, w = (side // _BLOCK for side in samples.shape)
    cut = samples[: h * _BLOCK, : w * _BLOCK]
    means: Samples = cut.reshape(h, _BLOCK, w, _BLOCK).mean((1, 3)).ravel()
    return means
