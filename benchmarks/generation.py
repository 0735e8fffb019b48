"""How good generated textures are, beside noise of the same spectrum and beside real ones.

    python benchmarks/generation.py texture.safetensors textures -o page.png

`textures` is what `cut_textures.py` wrote: `train`, which the model may have seen, and `held-out`.
Printed as JSON:

- distance: the kernel distance (training/resemblance.py) of as many pictures to the held-out
  patches, for real ones of training, for generated pictures, and for noise made of the same real
  ones: a patch's phases are drawn anew, the same for all colours, and its values put back in their
  order, so spectrum and colours stay and all else goes;
- likeness: the mean MS-SSIM of pairs;
- copies: the distance of the nearest training patch (mean squared difference of 16×16 reductions,
  of any place, mirrored or not), for generated pictures and for held-out patches.

The page shows 64 generated pictures, 64 held-out ones, and 8 generated pictures, each before its
nearest training patch.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import imagen_fast
from imagen_fast.bench.machine import describe
from imagen_fast.tasks.generated import sheet
from imagen_fast.training.resemblance import features, kernel_distance, likeness

SIDE = 64
COUNT = 256
SMALL = 16  # side at which copies are looked for

Pixels = NDArray[np.uint8]


def patches(folder: Path, count: int, seed: int) -> Pixels:
    """A patch of a random place of each square, (N, 64, 64, 3)."""
    random = np.random.default_rng(seed)
    squares = [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]
    chosen = random.permutation(len(squares))[:count]
    cut = []
    for number in chosen:
        top, left = random.integers(0, squares[number].shape[0] - SIDE + 1, 2)
        cut.append(squares[number][top : top + SIDE, left : left + SIDE])
    return np.stack(cut)


def noise_like(patch: Pixels, random: np.random.Generator) -> Pixels:
    """Noise with a patch's spectrum and its values."""
    phase = np.exp(1j * np.angle(np.fft.fft2(random.standard_normal((SIDE, SIDE)))))
    spectrum = np.fft.fft2(patch.astype(np.float64), axes=(0, 1)) * phase[..., None]
    drawn = np.fft.ifft2(spectrum, axes=(0, 1)).real
    out = np.empty_like(patch)
    for channel in range(3):
        order = drawn[..., channel].ravel().argsort(kind="stable")
        values = np.empty(SIDE * SIDE, np.uint8)
        values[order] = np.sort(patch[..., channel], axis=None)
        out[..., channel] = values.reshape(SIDE, SIDE)
    return out


def tensor(pictures: Pixels) -> Tensor:
    """(N, H, W, 3) bytes → (N, 3, H, W) in [0, 1]."""
    return torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float() / 255


def nearest(pictures: Pixels, folder: Path) -> tuple[NDArray[np.float64], list[Pixels]]:
    """For each picture the distance of the nearest training patch, and that patch."""
    known, places = [], []
    step = SIDE // SMALL * 2
    for path in sorted(folder.glob("*.png")):
        square = np.asarray(Image.open(path))
        for mirrored in (square, square[:, ::-1]):
            for top in range(0, square.shape[0] - SIDE + 1, step):
                for left in range(0, square.shape[1] - SIDE + 1, step):
                    places.append(mirrored[top : top + SIDE, left : left + SIDE])
    for first in range(0, len(places), 512):
        part = tensor(np.stack(places[first : first + 512]))
        known.append(F.avg_pool2d(part, SIDE // SMALL).flatten(1))
    small = F.avg_pool2d(tensor(pictures), SIDE // SMALL).flatten(1)
    distance, index = torch.cdist(small, torch.cat(known)).min(1)
    squares = distance.double().square().numpy() / small.shape[1]
    return squares, [places[number] for number in index.tolist()]


def main() -> None:
    """Measure, print, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("textures", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the page")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--truncation", type=float, default=1.0)
    options = parser.parse_args()
    held_out = patches(options.textures / "held-out", COUNT, 0)
    other = patches(options.textures / "train", len(held_out), 1)
    how = {"model": options.model, "truncation": options.truncation}
    made = imagen_fast.generate(len(held_out), options.seed, **how)
    again = imagen_fast.generate(2, options.seed, **how)
    random = np.random.default_rng(2)
    noise = np.stack([noise_like(patch, random) for patch in other])
    sets = {"real": other, "generated": made, "noise": noise}
    target = features(tensor(held_out))
    copies = {}
    for name, pictures in (("held-out", held_out[:64]), ("generated", made[:64])):
        found, beside = nearest(pictures, options.textures / "train")
        copies[name] = {"least": float(found.min()), "median": float(np.median(found))}
    result = {
        "machine": describe(),
        "model": options.model.name,
        "pictures": len(held_out),
        "same seed, same picture": bool((again == made[:2]).all()),
        "distance": {k: kernel_distance(target, features(tensor(x))) for k, x in sets.items()},
        "likeness": {name: likeness(tensor(x)) for name, x in sets.items()},
        "copies": copies,
    }
    print(json.dumps(result, indent=1))
    pairs = [picture for pair in zip(made[:8], beside[:8], strict=True) for picture in pair]
    Image.fromarray(sheet([*made[:64], *held_out[:64], *pairs], 8)).save(options.output)


if __name__ == "__main__":
    main()
