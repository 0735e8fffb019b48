"""How papers measure: what is done to a picture before a model gets it, and what then counts."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast import metrics
from imagen_fast.errors import ImageError
from imagen_fast.image import degradation
from imagen_fast.image.degradation import Mask, Uint8, degrade, rounded
from imagen_fast.image.resample import resize
from imagen_fast.task import TASKS, UPSCALE, Task

Rng = np.random.Generator


@dataclass(frozen=True)
class Quality:
    """PSNR in dB and SSIM."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class Protocol:
    """One row of `PROTOCOLS`.

    Attributes:
        pictures: folder of them below $IMAGEN_FAST_DATA/test.
        harm: what is done to a picture after shrinking; None for nothing.
        scale: how many times it is shrunk by antialiased bicubic; 0: as the model enlarges.
        rgb: PSNR over all three channels, not on Y.
        holes: part of the picture that scratches cover and a mask names; PSNR counts there alone.
        only: a file beside the folder that lists the names of the pictures that count.
    """

    pictures: str = ""
    harm: Callable[[Uint8, Rng], Uint8] | None = None
    scale: int = 1
    rgb: bool = False
    holes: float = 0.0
    only: str = ""

    @property
    def real(self) -> bool:
        """Whether what is to be enlarged is harmed as well."""
        return self.scale > 1 and self.harm is not None

    @property
    def task(self) -> Task:
        """The task of the models that it measures."""
        return TASKS["restore"] if self.scale == 1 else UPSCALE

    @property
    def baseline(self) -> str:
        """What models are compared with: `bicubic`, `input`, or `telea` for holes."""
        if self.scale != 1:
            return "bicubic"
        return "telea" if self.holes and _telea() else "input"

    def at(self, scale: int) -> Protocol:
        """For a model of this scale."""
        return replace(self, scale=self.scale or scale)

    def case(self, picture: Uint8, number: int) -> Case:
        """What becomes of a test set's picture (H, W, C), by its number in the set."""
        given, truth = degrade(picture, self.scale)
        rng = np.random.default_rng(number)
        if self.harm:
            given = self.harm(given, rng)
        if self.holes:
            height, width = given.shape[:2]
            mask = degradation.scratches(height, width, self.holes, rng)
            given = np.where(mask[..., None], np.uint8(255), given)
            telea = _telea()
            return Case(given, truth, telea(given, mask) if telea else given, mask)
        simple = given if self.scale == 1 else rounded(resize(given, *truth.shape[:2]))
        return Case(given, truth, simple, None)

    def quality(self, found: Uint8, case: Case) -> Quality:
        """Of a picture like `case.truth`, without a border as wide as a scale above 1."""
        border = self.scale if self.scale > 1 else 0
        # The metrics take grey pictures without a channel axis.
        a, b = (x[..., 0] if x.shape[2] == 1 else x for x in (found, case.truth))
        if case.mask is not None:
            psnr = metrics.psnr(a[case.mask], b[case.mask])
        else:
            psnr = metrics.psnr(a, b) if self.rgb else metrics.luma_psnr(a, b, border)
        return Quality(psnr, metrics.ssim(a, b, border))

    def folder(self, said: Path | None) -> Path:
        """The folder of pictures: the one that was said, else the protocol's own.

        Raises:
            ImageError: neither is known.
        """
        if said:
            return said
        root = os.environ.get("IMAGEN_FAST_DATA")
        if not self.pictures or not root:
            raise ImageError(
                "no folder of pictures; name one, or set IMAGEN_FAST_DATA to the folder that holds "
                f"test/{self.pictures or 'bsd100'} and name a protocol"
            )
        return Path(root) / "test" / self.pictures

    def counts(self, path: Path) -> bool:
        """Whether a picture is one of those that the protocol names (all, where it names none)."""
        names = path.parent.parent / self.only
        return not names.is_file() or path.name in names.read_text().split()


@dataclass(frozen=True)
class Case:
    """A picture as a model gets it, as it should become, and what simple means make of it."""

    given: Uint8
    truth: Uint8
    simple: Uint8
    mask: Mask | None


def _noise(sigma: float) -> Protocol:
    def harm(x: Uint8, rng: Rng) -> Uint8:
        return degradation.noisy(x, sigma, rng)

    return Protocol("bsd100", harm, rgb=True, only="bsd100_cbsd68_subset.txt")


def _jpeg(quality: int) -> Protocol:
    return Protocol("live1_gray", lambda x, rng: degradation.jpeg(x, quality))


PROTOCOLS = {
    "set5": Protocol("set5", scale=0),
    "b100": Protocol("bsd100", scale=0),
    **{f"noise-{sigma}": _noise(sigma) for sigma in (15, 25, 50)},
    **{f"jpeg-{quality}": _jpeg(quality) for quality in (10, 20, 40)},
    "blur": Protocol("bsd100", lambda x, rng: degradation.blurred(x, 1.6, 1.6, radius=7)),
    "scratches": Protocol("bsd100", holes=0.05),
    "real-x4": Protocol(
        "bsd100", lambda x, rng: degradation.jpeg(degradation.noisy(x, 5, rng), 60), scale=4
    ),
}


def _telea() -> Callable[[Uint8, Mask], Uint8] | None:
    """OpenCV's inpainting after Telea (2004), if OpenCV is installed."""
    try:
        cv2: Any = import_module("cv2")
    except ImportError:
        return None

    def filled(picture: Uint8, mask: Mask) -> Uint8:
        result: NDArray[np.uint8] = cv2.inpaint(
            picture, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA
        )
        return result

    return filled
