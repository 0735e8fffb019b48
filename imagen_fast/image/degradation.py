"""What training and measuring take away from a picture: pixels, sharpness, and truth.

Every step takes and gives (H, W, 3) or (H, W, 1) uint8, as the files between two programs do;
what is random comes from the generator that is handed in. `Degradation` draws a mixture of them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from imagen_fast.errors import TrainingError
from imagen_fast.image.resample import resize

Uint8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]

FILTERS = (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.BOX)
GAMMA = 2.2
KINDS = ("blur", "rescale", "noise", "jpeg", "scratches")
_LIGHT = np.linspace(0, 1, 256, dtype=np.float32) ** GAMMA  # level → what the sensor saw
# Deviation of a sensor's noise at each level, 1 at level 128: photons, and a floor for reading.
_SHOT = np.sqrt((_LIGHT + 0.02) / (_LIGHT[128] + 0.02))


def degrade(picture: Uint8, scale: int) -> tuple[Uint8, Uint8]:
    """A low-resolution picture and the part of the original that it shows.

    (H, W, C) uint8 → (H // s, W // s, C) and (s·(H // s), s·(W // s), C), by antialiased
    bicubic shrinking of the whole picture as MATLAB does it, rounded to uint8.
    """
    h, w = picture.shape[0] // scale, picture.shape[1] // scale
    high = picture[: h * scale, : w * scale]
    return (high if scale == 1 else rounded(resize(high, h, w))), high


def rounded(samples: NDArray[np.floating[Any]]) -> Uint8:
    """The nearest 8-bit samples; bicubic overshoots, so values beyond 0 and 255 are cut."""
    whole: Uint8 = np.clip(np.rint(samples), 0, 255).astype(np.uint8)
    return whole


def blurred(picture: Uint8, down: float, across: float, radius: int | None = None) -> Uint8:
    """Convolved with a Gaussian of these deviations in pixels, symmetric borders.

    radius: of its window; None for three deviations.
    """
    samples = picture.astype(np.float32)
    for sigma in (down, across):
        reach = round(3 * sigma + 0.5) if radius is None else radius
        weights = np.exp(-(np.arange(-reach, reach + 1, dtype=np.float32) ** 2) / (2 * sigma**2))
        padded = np.pad(samples, ((reach, reach), (0, 0), (0, 0)), "symmetric")
        windows = sliding_window_view(padded, len(weights), axis=0)
        # First down, then across, and the axes are back where they were.
        samples = np.einsum("hwct,t->whc", windows, weights / weights.sum())
    return rounded(samples)


def noisy(picture: Uint8, sigma: float, rng: np.random.Generator, *, grey: bool = False) -> Uint8:
    """With Gaussian noise of this deviation in levels; `grey`: the same in every channel."""
    shape = (*picture.shape[:2], 1 if grey else picture.shape[2])
    return rounded(picture + np.float32(sigma) * rng.standard_normal(shape, np.float32))


def photographed(picture: Uint8, sigma: float, rng: np.random.Generator) -> Uint8:
    """With a camera's noise: of photons, before gamma, smeared over neighbours by demosaicing.

    sigma: its deviation in levels at middle grey, before it is smeared.
    """
    noise = rng.standard_normal(picture.shape, np.float32)
    noise[1:] = 0.7 * noise[1:] + 0.5 * noise[:-1]
    noise[:, 1:] = 0.7 * noise[:, 1:] + 0.5 * noise[:, :-1]
    light = _LIGHT[picture] + np.float32(sigma / 255) * _SHOT[picture] * noise
    return rounded(255 * light.clip(0, 1) ** np.float32(1 / GAMMA))


def jpeg(picture: Uint8, quality: int, subsampling: str = "4:2:0") -> Uint8:
    """Through a JPEG file of this quality; grey pictures (H, W, 1) through a grey one."""
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file)).reshape(picture.shape)


def resized(picture: Uint8, height: int, width: int, kind: Image.Resampling) -> Uint8:
    """As other programs enlarge and shrink: antialiased, by Pillow's filter of this kind."""
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    return np.asarray(image.resize((width, height), kind)).reshape(height, width, -1)


def scratches(height: int, width: int, part: float, rng: np.random.Generator) -> Mask:
    """Bent lines, 2 to 4 pixels wide, that cover `part` of a picture: (H, W)."""
    image = Image.new("1", (width, height))
    draw = ImageDraw.Draw(image)
    size = np.array([width, height])
    while np.asarray(image).sum() < part * height * width:
        start, way = rng.random(2), rng.normal(0, 0.4, 2)
        bend = start + way / 2 + rng.normal(0, 0.05, 2)
        points = [tuple(point * size) for point in (start, bend, start + way)]
        draw.line(points, fill=1, width=int(rng.integers(2, 5)), joint="curve")
    return np.asarray(image)


@dataclass(frozen=True)
class Degradation:
    """A mixture, drawn anew for each patch: which steps, in which order and how strong.

    For models that enlarge, all of it happens to the small picture: blocks and noise have the size
    of the pixels that such a model gets.

    Shares are of patches, from 0 to 1; the rest are ranges in which a strength is drawn.

    Attributes:
        grey: share that loses its colours first, also in what the model should make of it.
        blur, blur_sigma: share; deviations of a Gaussian in pixels, two in four of ten.
        rescale, rescale_by: share that changes its size by such a factor, and later back.
        noise, noise_sigma: share; deviation in levels. A third is a camera's noise, a third of
            the rest the same in every channel.
        jpeg, jpeg_quality: share; quality. A third keeps its colours at full resolution.
        scratches: share with lines of one colour on it, for a model to find.
        alone: share of the patches with several of these that keep one, drawn evenly. A model
            that seldom sees a JPEG that is nothing else learns to expect blur and noise in it.
    """

    grey: float = 0.1
    blur: float = 0.4
    blur_sigma: tuple[float, float] = (0.4, 2.5)
    rescale: float = 0.25
    rescale_by: tuple[float, float] = (0.5, 1.5)
    noise: float = 0.5
    noise_sigma: tuple[float, float] = (1.0, 55.0)
    jpeg: float = 0.5
    jpeg_quality: tuple[float, float] = (8.0, 95.0)
    scratches: float = 0.0
    alone: float = 0.0

    def __post_init__(self) -> None:
        for name in (*KINDS, "grey", "alone"):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise TrainingError(f"degradation.{name} is {share}; expected a share from 0 to 1")
        limits = {"blur_sigma": 20, "rescale_by": 4, "noise_sigma": 255, "jpeg_quality": 100}
        for name, most in limits.items():
            found = getattr(self, name)
            if len(found) != 2 or not 0 < found[0] <= found[1] <= most:
                raise TrainingError(
                    f"degradation.{name} is {list(found)}; expected two numbers above 0, the "
                    f"smaller one first, up to {most}"
                )

    def __call__(self, low: Uint8, high: Uint8, rng: np.random.Generator) -> tuple[Uint8, Uint8]:
        """A patch (h, w, 3) as a model finds it, and (s·h, s·w, 3) as it should become."""
        h, w = low.shape[:2]
        if grey := rng.random() < self.grey:
            low, high = _grey(low), _grey(high)
        taken = [kind for kind in KINDS if rng.random() < getattr(self, kind)]
        if len(taken) > 1 and rng.random() < self.alone:
            taken = [taken[rng.integers(len(taken))]]
        steps = {
            "blur": self._blurred,
            "rescale": self._rescaled,
            "noise": self._noisy,
            "jpeg": self._jpeg,
            "scratches": _scratched,
        }
        for kind in rng.permutation(taken):
            low = steps[kind](low, rng)
        if low.shape[:2] != (h, w):
            low = resized(low, h, w, FILTERS[rng.integers(3)])
        if grey:
            low, high = np.repeat(low, 3, 2), np.repeat(high, 3, 2)
        return low, high

    def _blurred(self, x: Uint8, rng: np.random.Generator) -> Uint8:
        down, across = rng.uniform(*self.blur_sigma, 2)
        return blurred(x, down, down if rng.random() < 0.6 else across)  # most blur is round

    def _rescaled(self, x: Uint8, rng: np.random.Generator) -> Uint8:
        factor = rng.uniform(*self.rescale_by)
        h, w = (max(1, round(side * factor)) for side in x.shape[:2])
        return resized(x, h, w, FILTERS[rng.integers(3)])

    def _noisy(self, x: Uint8, rng: np.random.Generator) -> Uint8:
        sigma = rng.uniform(*self.noise_sigma)
        if rng.random() < 1 / 3:
            return photographed(x, sigma, rng)
        return noisy(x, sigma, rng, grey=rng.random() < 1 / 3)

    def _jpeg(self, x: Uint8, rng: np.random.Generator) -> Uint8:
        # Evenly by its logarithm: what a file loses depends on the ratio of two qualities.
        quality = round(np.exp(rng.uniform(*np.log(self.jpeg_quality))))
        return jpeg(x, quality, "4:4:4" if rng.random() < 1 / 3 else "4:2:0")


def _grey(picture: Uint8) -> Uint8:
    return np.asarray(Image.fromarray(picture).convert("L"))[..., None]


def _scratched(picture: Uint8, rng: np.random.Generator) -> Uint8:
    """With lines of one colour, mostly near white or black, that let some of it shine through."""
    color = rng.choice([rng.integers(0, 40), rng.integers(200, 256), rng.integers(0, 256)])
    seen = rng.uniform(0, 0.4)
    height, width = picture.shape[:2]
    mask = scratches(height, width, rng.uniform(0.01, 0.06), rng)[..., None]
    return np.where(mask, rounded(seen * picture + (1 - seen) * color), picture)
