"""Which model is to be preferred for what a picture has gone through.

    python benchmarks/real.py [MODEL...] [--scale 4] [--every 8]

shrinks every so many-th picture of B100 (below $IMAGEN_FAST_DATA), puts it through a JPEG file,
adds noise, or both, and prints the mean PSNR on Y of bicubic and of the models as a table: `sr` and
`real` of this scale unless named, at scale 1 `restore` beside what it was given.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from functools import partial

import numpy as np
from PIL import Image

import imagen_fast
from imagen_fast.image.degradation import Uint8, degrade, jpeg, noisy
from imagen_fast.image.read import read
from imagen_fast.metrics import luma_psnr
from imagen_fast.tasks.discovery import in_folder
from imagen_fast.tasks.protocols import PROTOCOLS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--every", type=int, default=8)
    given = parser.parse_args()
    steps = {"nothing": lambda picture: picture}
    steps |= {f"JPEG, quality {q}": partial(jpeg, quality=q) for q in (95, 90, 84, 75, 50)}
    for sigma in (2, 4, 6, 10):
        steps[f"noise of {sigma} levels"] = partial(noise, sigma=sigma)
    steps["noise of 10, JPEG 85"] = lambda picture: jpeg(noise(picture, 10), 85)
    paths = [found.source for found in in_folder(PROTOCOLS["b100"].folder(None)).pictures]
    pairs = [degrade(read(path).color, given.scale) for path in paths[:: given.every]]
    shipped = ["restore"] if given.scale == 1 else [f"{k}-x{given.scale}" for k in ("sr", "real")]
    names = given.models or shipped
    print(f"| then | bicubic | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    with ExitStack() as stack:
        engines = [stack.enter_context(imagen_fast.load(name)) for name in names]
        ways = (partial(bicubic, scale=given.scale), *engines)
        for name, step in steps.items():
            scores = [
                [luma_psnr(way(step(low)), high, given.scale) for way in ways]
                for low, high in pairs
            ]
            print(f"| {name} | {' | '.join(f'{x:.2f}' for x in np.mean(scores, 0))} |", flush=True)


def noise(picture: Uint8, sigma: float) -> Uint8:
    """The same noise in every run."""
    return noisy(picture, sigma, np.random.default_rng(0))


def bicubic(picture: Uint8, scale: int) -> Uint8:
    """Enlarged by Pillow."""
    image = Image.fromarray(picture)
    size = (image.width * scale, image.height * scale)
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


if __name__ == "__main__":
    main()
