"""How good generated textures are, beside noise of the same spectrum and beside real ones.

    python benchmarks/generation.py texture.safetensors textures

`textures` is what `cut_textures.py` wrote: `train`, which the model may have seen, and `held-out`.
Of 32 patches of every square, and as many generated pictures as there are of training, as JSON.
(Of 8 patches the distance of generated ones was 0.05 to 0.15 by the seed, since few strong patches
count most, and that of real ones 0.00 in place of 0.04.)

- distance: the kernel distance (training/resemblance.py) to the held-out patches, for real ones of
  training, for generated pictures, and for noise made of the same real ones: a patch's phases are
  drawn anew, the same for all colours, and its values put back in their order, so spectrum and
  colours stay and all else goes. Two more sets show what common faults cost: `turned`, the real
  patches turned and mirrored at random, and `few`, as many patches drawn from only 128 of them;
- likeness: the mean MS-SSIM of pairs;
- copies: the distance of the nearest training patch (mean squared difference of 16×16 reductions,
  of any place, mirrored or not), for generated pictures and for held-out patches;
- milliseconds: a seamless picture of 1024×1024 on the native engine and in PyTorch, one thread
  each, in fp32, in turns: every time that was taken, but the first of each.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import imagen_fast
from imagen_fast.bench.machine import describe
from imagen_fast.bench.timing import in_turns, once
from imagen_fast.tasks.generate import Generator
from imagen_fast.training.resemblance import features, kernel_distance, likeness

SIDE = 64
PLACES = 32  # of a patch in a square
FEW = 128  # patches
SMALL = 16  # side at which copies are looked for
LARGE, TURNS = (1024, 1024), 7  # what is timed, and how often

Pixels = NDArray[np.uint8]


def squares(folder: Path) -> list[Pixels]:
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def patches(found: list[Pixels], seed: int) -> Pixels:
    """Patches of random places of every square, in random order, (N, 64, 64, 3)."""
    random = np.random.default_rng(seed)
    cut = []
    for number in random.permutation(PLACES * len(found)):
        square = found[number % len(found)]
        top, left = random.integers(0, square.shape[0] - SIDE + 1, 2)
        cut.append(square[top : top + SIDE, left : left + SIDE])
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


def reduced(pictures: Pixels) -> Tensor:
    """(N, 64, 64, 3) bytes → (N, 16·16·3)."""
    return F.avg_pool2d(tensor(pictures), SIDE // SMALL).flatten(1)


def nearest(pictures: Pixels, known: list[Pixels]) -> dict[str, float]:
    """How far the pictures are from the nearest patch of the known squares."""
    views = np.lib.stride_tricks.sliding_window_view
    step = SIDE // SMALL * 2
    parts = []
    for square in known:
        for mirrored in (square, square[:, ::-1]):
            found = views(mirrored, (SIDE, SIDE), (0, 1))[::step, ::step]  # (R, C, 3, 64, 64)
            parts.append(reduced(found.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)))
    distances = torch.cdist(reduced(pictures), torch.cat(parts)).min(1).values
    squared = distances.double().square().numpy() / parts[0].shape[1]
    return {"least": float(squared.min()), "median": float(np.median(squared))}


def milliseconds(model: str) -> dict[str, list[float]]:
    """What a large picture takes, by backend."""
    with ExitStack() as stack:
        bursts = {}
        for name in ("native", "eager"):
            generator = stack.enter_context(Generator(model, backend=name, threads=1))
            (latent,) = generator.latents(1, 0, LARGE)
            run = partial(generator.picture, latent, LARGE, seamless=True)
            run()
            bursts[name] = once(run)
        return in_turns(bursts, 0, least=TURNS, most=TURNS)


def main(model: str, textures: Path) -> None:
    """Measure and print."""
    train = squares(textures / "train")
    held_out = patches(squares(textures / "held-out"), 0)
    real = patches(train, 1)
    made = imagen_fast.generate(len(real), 7, model=model)
    random = np.random.default_rng(2)
    noise = np.stack([noise_like(patch, random) for patch in real])
    sets = {"real": real, "generated": made, "noise": noise}
    turned = np.stack([np.rot90(x[:, :: random.choice((-1, 1))], random.integers(4)) for x in real])
    few = real[random.integers(0, FEW, len(real))]
    target = features(tensor(held_out))
    result = {
        "machine": describe(),
        "model": Path(model).name,
        "pictures": {"held-out": len(held_out), "others": len(real)},
        "distance": {
            name: kernel_distance(target, features(tensor(x)))
            for name, x in (sets | {"turned": turned, "few": few}).items()
        },
        "likeness": {k: likeness(tensor(x)) for k, x in sets.items()},
        "copies": {
            k: nearest(x[:64], train) for k, x in (("held-out", held_out), ("generated", made))
        },
        "milliseconds": milliseconds(model),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
