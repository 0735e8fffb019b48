"""Cut squares of texture from photographs: what the generator `texture` is trained on.

    python examples/cut_textures.py FOLDER... -o textures

Of the photographs those in PHOTOGRAPHS are used: grass, bark, leaves, stone, sand, water, clouds.

A square is kept where its four quarters look alike: mean colour, contrast, and the energy of
differences along four directions at three sizes. Flat squares and those with few strong edges are
left out. Photographs are reduced first, since at full size most of their detail is soft. Squares do
not overlap. Every third square goes to `held-out`, the others to `train`; a photograph gives 24 at
most, its most even ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 96
REDUCED = (2, 3)  # by what photographs are reduced
MOST = 24  # squares of one photograph
CONTRAST = (0.045, 0.25)  # of luma's standard deviation
UNEVEN = 0.34  # the largest distance of a quarter's statistics from the whole's
PEAKED = 9.0  # the largest kurtosis of neighbours' differences: few strong edges have more

# Of grass, leaves, bark, stone, sand, water and clouds.
PHOTOGRAPHS = """
lewis_img_4344 gb82_grass-lossless lewis_img_4162 elementary_Suluh-Kalba oceanic_164201
budgie_tunnel-zion-park gb82_sand-lossless oceanic_386148 oceanic_172787~1 fedora_where-does-it-end
"""

Floats = NDArray[np.float32]


def statistics(square: Floats) -> NDArray[np.float64]:
    """(h, w, 3) → colour (in units of 0.2) and the logarithm of energies."""
    luma = square.mean(2)
    energies = []
    for step in (1, 2, 4):
        shifts = (
            luma[step:] - luma[:-step],
            luma[:, step:] - luma[:, :-step],
            luma[step:, step:] - luma[:-step, :-step],
            luma[step:, :-step] - luma[:-step, step:],
        )
        energies += [np.log(np.abs(shift).mean() + 0.004) for shift in shifts]
    return np.array([*square.mean((0, 1)) / 0.2, np.log(luma.std() + 0.01), *energies])


def unevenness(square: Floats) -> float:
    """How far a quarter is from the whole square; infinite for what is no texture."""
    luma = square.mean(2)
    across = np.diff(luma, axis=1)
    kurtosis = (across**4).mean() / ((across**2).mean() ** 2 + 1e-12)
    if not CONTRAST[0] < luma.std() < CONTRAST[1] or kurtosis > PEAKED:
        return np.inf
    half = SIDE // 2
    whole = statistics(square)
    quarters = [square[y : y + half, x : x + half] for y in (0, half) for x in (0, half)]
    return float(max(np.abs(statistics(q) - whole).mean() for q in quarters))


def squares(path: Path) -> list[NDArray[np.uint8]]:
    """A photograph's squares of texture, the most even first."""
    found = []
    photograph = Image.open(path).convert("RGB")
    for factor in REDUCED:
        pixels = np.asarray(photograph.reduce(factor))
        for top in range(0, pixels.shape[0] - SIDE + 1, SIDE):
            for left in range(0, pixels.shape[1] - SIDE + 1, SIDE):
                square = pixels[top : top + SIDE, left : left + SIDE]
                score = unevenness(square.astype(np.float32) / 255)
                if score < UNEVEN:
                    found.append((score, len(found), square))
    return [square for _, _, square in sorted(found, key=lambda x: x[:2])[:MOST]]


def main() -> None:
    """Cut, and say how many."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    count = 0
    names = PHOTOGRAPHS.split()
    found = sorted(path for folder in options.folders for path in folder.glob("*.jpg"))
    paths = [path for path in found if path.stem in names]
    if not paths:
        folders = ", ".join(map(str, options.folders))
        parser.error(
            f"none of the {len(found)} photographs (*.jpg) in {folders} is one of PHOTOGRAPHS, "
            f"such as {names[0]}.jpg"
        )
    for part in ("train", "held-out"):
        (options.output / part).mkdir(parents=True, exist_ok=True)
    for path in paths:
        cut = squares(path)
        for number, square in enumerate(cut):
            part = "held-out" if count % 3 == 2 else "train"
            Image.fromarray(square).save(options.output / part / f"{path.stem}_{number:02}.png")
            count += 1
        print(f"{len(cut):3} {path.name}", flush=True)
    print(f"{count} squares of {SIDE} pixels in {options.output}")


if __name__ == "__main__":
    main()
