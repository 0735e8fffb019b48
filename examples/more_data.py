"""A classifier of textures that has few pictures: what generated ones add.

    python examples/more_data.py FOLDER… -o OUT [--minutes 5] [--classes 5]

The classes are those of textures.py: a square of 320×320 of each photograph. Of its left half FEW
patches of 64×64 are all that there is of a class; `imagen-fast generate --like` learns from them
for so many minutes and makes MADE more. The right half's patches are the test. Prints the part of
it that a linear classifier gets right, beside what turning and mirroring the few ones brings, which
costs nothing. Needs PyTorch and scikit-learn.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from textures import Vectors, by_level, right, textures, without_colour

import imagen_fast

FEW, MADE, SIDE = 20, 80, 64

Patches = NDArray[np.uint8]  # (N, SIDE, SIDE, 3)


def main() -> int:
    """Make the pictures, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="photographs")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=5, help="of training a class")
    parser.add_argument("--classes", type=int, default=5)
    options = parser.parse_args()
    squares = textures(options.folders)[: options.classes]
    random = np.random.default_rng(0)
    few, made, test = [], [], []
    for number, square in enumerate(squares):
        left, other = np.split(square, 2, axis=1)
        few.append(cut(left, FEW, random))
        made.append(more(few[-1], options.output / str(number), options.minutes))
        test.append(cut(other, 4 * FEW, random))
    turned = [np.concatenate([turn(x, i) for i in range(8)]) for x in few]
    print(f"{len(squares)} classes of {FEW} patches; by chance {1 / len(squares):.1%}")
    print(f"{'a linear classifier has seen':34}  {'features':>9}  {'pixels':>9}")
    sets = [vectors([few, turned, made, test], fed) for fed in (features, pixels)]
    for name, seen in (
        ("the few", (0,)),
        ("the few, turned and mirrored", (1,)),
        ("generated ones alone", (2,)),
        ("the few and generated ones", (0, 2)),
        ("the few turned, and generated ones", (1, 2)),
    ):
        scores = []
        for found in sets:
            x, known = (np.concatenate([found[i][part] for i in seen]) for part in (0, 1))
            scores.append(right(x, known, *found[3]))
        print(f"{name:34}  {scores[0]:9.1%}  {scores[1]:9.1%}", flush=True)
    return 0


def vectors(
    sets: list[list[Patches]], fed: Callable[[Patches], Vectors]
) -> list[tuple[Vectors, NDArray[np.int64]]]:
    """What a classifier is fed of each set of classes' patches, and their classes."""
    return [
        (
            np.concatenate([fed(patches) for patches in each]),
            np.repeat(np.arange(len(each)), [len(patches) for patches in each]),
        )
        for each in sets
    ]


def cut(half: NDArray[np.uint8], count: int, random: np.random.Generator) -> Patches:
    """Patches of random places."""
    rows, columns = (side - SIDE + 1 for side in half.shape[:2])
    places = zip(random.integers(0, rows, count), random.integers(0, columns, count), strict=True)
    return np.stack([half[y : y + SIDE, x : x + SIDE] for y, x in places])


def more(few: Patches, folder: Path, minutes: float) -> Patches:
    """Pictures like them."""
    (like := folder / "few").mkdir(parents=True, exist_ok=True)
    for number, patch in enumerate(few):
        Image.fromarray(patch).save(like / f"{number:02}.png")
    command = [sys.executable, "-m", "imagen_fast", "generate", "--like", str(like), "--texture"]
    command += [
        "-o",
        str(folder / "more"),
        "-n",
        str(MADE),
        "--minutes",
        str(minutes),
        "--overwrite",
    ]
    subprocess.run(command, check=True)
    found = sorted((folder / "more").glob("*.png"))
    return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in found])


def turn(patches: Patches, which: int) -> Patches:
    """One of the eight ways to turn and mirror them."""
    turned = np.rot90(patches, which % 4, axes=(1, 2))
    return turned[:, :, ::-1] if which >= 4 else turned


def features(patches: Patches) -> Vectors:
    """Means and deviations of the maps of sr-x4's encoder, grey and of even contrast."""
    with imagen_fast.load("sr-x4", threads=1) as engine:
        grey = without_colour(np.ascontiguousarray(patches))
        return np.stack([np.concatenate(by_level(engine, patch)) for patch in grey])


def pixels(patches: Patches) -> Vectors:
    """The same patches' pixels, halved."""
    grey = without_colour(np.ascontiguousarray(patches))[..., 0].astype(np.float32)
    halved = grey.reshape(len(grey), SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
    return halved.reshape(len(grey), -1)


if __name__ == "__main__":
    sys.exit(main())
