"""Strokes that follow a picture's shapes, for a network to paint with.

Where a picture is smooth a network that draws has nothing to draw from. It gets noise, smeared
along the directions in which the picture changes least (line integral convolution: Cabral and
Leedom 1993), which in smooth parts are those of the shapes around them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagen_fast.image.picture import eight_bits
from imagen_fast.samples import Samples

Plane: TypeAlias = NDArray[np.float32]  # (H, W)
Strokes: TypeAlias = NDArray[np.float32]  # (H, W, 3), of a deviation near 1 around 0

# All in pixels of half the picture's size, which is enough for strokes.
AROUND = (2, 6, 24)  # the neighbourhoods whose directions count
FAR = 0.1  # how much less each counts than the one before
SIZES = ((1.0, 6), (2.0, 10))  # of strokes: half of what is across, and of what is along
NOISE = 256  # after which the noise repeats
DETAIL, WITHIN = 4, 8  # of a painting, in pixels of the size that it is read at
QUIET, GAIN, MOST = 0.1, 1.8, 0.08  # how strong strokes are: `strength_of`
COLORED = 0.35  # how far the three colours' strokes differ
BYTE = 32  # steps of a byte to a deviation


def strokes(color: Samples) -> Strokes:
    """A picture (H, W, 3), uint8 or uint16 → its strokes, the same for the same picture."""
    half = Image.fromarray(eight_bits(color)).convert("L").reduce(2)
    across, down = directions(np.asarray(half) / np.float32(255))
    found = smeared(across, down)
    found /= max(float(found.std()), 1e-6)
    size = (2 * half.width, 2 * half.height)
    large = [
        np.asarray(Image.fromarray(x).resize(size, Image.Resampling.BILINEAR))
        for x in np.moveaxis(found, 2, 0)
    ]
    height, width = color.shape[:2]
    return np.stack(large, 2)[:height, :width]


def strength_of(painting: NDArray[np.float32]) -> float:
    """How strong strokes are to be, as a part of white, for a painting (H, W, 3) in [0, 1].

    In proportion to its own marks, which are what it has of details where it has least of them:
    elsewhere details are of what it shows.
    """
    grey = painting.mean(2)
    detail = grey - _blurred(grey, DETAIL)
    strength = np.sqrt(_blurred(detail * detail, WITHIN).clip(0))
    return min(MOST, GAIN * float(np.quantile(strength, QUIET)))


def in_bytes(strokes: Strokes) -> NDArray[np.uint8]:
    """Strokes as training keeps them; `of_bytes` is the way back."""
    return np.rint(128 + BYTE * strokes).clip(0, 255).astype(np.uint8)


def of_bytes(kept: Any) -> Any:
    """Strokes again, of an array or a tensor of floats: bytes / 255."""
    return (255 * kept - 128) / BYTE


def directions(grey: Plane) -> tuple[Plane, Plane]:
    """Unit vectors (x, y) along which a picture changes least, over all of `AROUND`."""
    y, x = _differences(grey), _differences(grey.T).T
    total = [np.full_like(grey, 1e-9), np.zeros_like(grey)]
    for number, radius in enumerate(AROUND):
        for sum_, part in zip(total, (x * x - y * y, 2 * x * y), strict=True):
            sum_ += FAR**number * _blurred(part, radius)
    angle = 0.5 * np.arctan2(total[1], total[0]) + np.float32(np.pi / 2)
    return np.cos(angle), np.sin(angle)


def smeared(across: Plane, down: Plane) -> Strokes:
    """Sums of noise to both sides along the directions; what is further away counts less."""
    height, width = across.shape
    noises = [_noise(number, size, height, width) for number, (size, _) in enumerate(SIZES)]
    total = np.zeros_like(noises[0])
    for sign in (1, -1):
        y, x = np.indices((height, width), np.float32).reshape(2, -1)
        dx, dy = sign * across.ravel(), sign * down.ravel()
        for step in range(max(length for _, length in SIZES)):
            row, column = (np.rint(at).astype(np.int32) for at in (y, x))
            place = row.clip(0, height - 1) * width + column.clip(0, width - 1)
            for noise, (_, length) in zip(noises, SIZES, strict=True):
                if step < length:
                    total += np.float32(1 - step / length) * noise.take(place, 0)
            here_x, here_y = across.take(place), down.take(place)
            turned = np.where(here_x * dx + here_y * dy < 0, np.float32(-1), np.float32(1))
            dx, dy = turned * here_x, turned * here_y
            y, x = y + dy, x + dx
    return total.reshape(height, width, 3)


def _noise(number: int, size: float, height: int, width: int) -> Strokes:
    """(height · width, 3), one block of noise beside the other."""
    times = (-(-height // NOISE), -(-width // NOISE), 1)
    return np.tile(_block(number, size), times)[:height, :width].reshape(-1, 3)


@lru_cache(maxsize=4)
def _block(number: int, size: float) -> Strokes:
    """(NOISE, NOISE, 3) that goes on at its other side, nothing in it much larger than `size`."""
    random = np.random.default_rng(number)
    white = random.normal(size=(NOISE, NOISE, 1)) + COLORED * random.normal(size=(NOISE, NOISE, 3))
    y, x = np.meshgrid(*[2 * np.pi * np.fft.fftfreq(NOISE)] * 2, indexing="ij")
    far = (x**2 + y**2) * size**2 / 2
    band = np.exp(-far) - np.exp(-4 * far)
    found = np.fft.ifft2(np.fft.fft2(white, axes=(0, 1)) * band[..., None], axes=(0, 1)).real
    found /= found.std()
    return found.astype(np.float32)


def _differences(x: Plane) -> Plane:
    """From the row above to the row below."""
    padded = np.pad(x, ((1, 1), (0, 0)), mode="edge")
    return padded[2:] - padded[:-2]


def _blurred(x: Plane, radius: int) -> Plane:
    """Two box filters in each direction; the nearest values are repeated beyond the border."""
    width = 2 * radius + 1
    for _ in range(4):
        padded = np.pad(x, ((radius + 1, radius), (0, 0)), mode="edge").cumsum(0, np.float64)
        x = ((padded[width:] - padded[:-width]) / width).T
    return x.astype(np.float32)
