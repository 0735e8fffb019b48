"""Tell textures apart with the encoder's features: a linear classifier beside simpler inputs.

    python examples/textures.py FOLDER…        photographs; 20 classes are cut from 20 of them

A class is the most even textured square of a photograph: 320×320 pixels, of which the left half's
patches of 32×32 are for training and the right half's for the test, and the other way round.
Needs scikit-learn (pip install scikit-learn).
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

import imagen_fast
from imagen_fast.tasks.discovery import discover
from imagen_fast.tasks.features import pooled

CLASSES, SIDE, PATCH = 20, 320, 32
MODELS = ("real-x2", "real-x4", "sr-x4")
CELL = 16  # pixels of a side of the cells whose likeness makes a square even

Patches = NDArray[np.uint8]  # (N, PATCH, PATCH, 3)
Vectors = NDArray[np.float32]  # (N, …)


def main() -> int:
    """Print a table: what the classifier is fed, and the part of the test that it gets right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folders", nargs="+", metavar="FOLDER", help="photographs, a class from each"
    )
    parser.add_argument("--sheet", type=Path, help="write the classes' squares as a picture")
    options = parser.parse_args()
    squares = textures(options.folders)
    if len(squares) < 2:
        print(f"expected photographs with a textured square of {SIDE} pixels; found {len(squares)}")
        return 1
    if options.sheet:
        sheet(squares).save(options.sheet)
    halves = [np.stack([patches(half) for half in np.split(x, 2, axis=1)]) for x in squares]
    data = np.stack(halves, axis=1)  # (2 halves, classes, patches, PATCH, PATCH, 3)
    chance = 1 / len(squares)
    print(f"{len(squares)} classes, {2 * data.shape[2]} patches each; by chance {chance:.1%}")
    print(f"{'a linear classifier fed with':34}  {'in colour':>9}  {'grey, even':>10}")
    sets = (data, without_colour(data))
    labels = np.repeat(np.arange(len(squares)), data.shape[2])
    for name, vectors in inputs(sets):
        scores = [accuracy(x.reshape(2, len(labels), -1), labels) for x in vectors]
        print(f"{name:34}  {scores[0]:9.1%}  {scores[1]:10.1%}", flush=True)
    return 0


def inputs(sets: Sequence[NDArray[np.uint8]]) -> Iterator[tuple[str, list[Vectors]]]:
    """What a classifier may be fed: a name, and vectors for the patches of each set."""
    patches = [x.reshape(-1, PATCH, PATCH, 3) for x in sets]
    yield "pixels", [x.reshape(len(x), -1).astype(np.float32) for x in patches]
    yield "colour histograms", [histograms(x) for x in patches]
    for model in MODELS:
        with imagen_fast.load(model, threads=1) as engine:
            levels = [
                [np.stack(each) for each in zip(*(by_level(engine, p) for p in x), strict=True)]
                for x in patches
            ]
        several = len(levels[0]) > 1
        for level in range(len(levels[0])) if several else ():
            yield f"features of {model}, level {level}", [x[level] for x in levels]
        yield f"features of {model}", [np.concatenate(x, axis=1) for x in levels]


def by_level(engine: imagen_fast.Engine, patch: NDArray[np.uint8]) -> list[Vectors]:
    """Means and deviations of each level's maps."""
    return [pooled([x]) for x in engine.features(patch)]


def histograms(x: Patches) -> Vectors:
    """How many pixels have which of 8 levels of red, green and blue: 512 bins."""
    bins = (x // 32).astype(np.int64) @ np.array([64, 8, 1])  # (N, PATCH, PATCH)
    return np.stack([np.bincount(b.ravel(), minlength=512) for b in bins]).astype(np.float32)


def accuracy(x: Vectors, labels: NDArray[np.int64]) -> float:
    """The part that is right, over both ways to split; x: (2 halves, N, …)."""
    ways = ((0, 1), (1, 0))
    return float(np.mean([right(x[train], labels, x[test], labels) for train, test in ways]))


def right(
    seen: Vectors, known: NDArray[np.int64], test: Vectors, labels: NDArray[np.int64]
) -> float:
    """The part of a test that a linear classifier of what was seen gets right."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    return float(model.fit(seen, known).score(test, labels))


def without_colour(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey patches of one brightness and contrast, so that the texture alone tells them apart."""
    grey = data.mean(-1, dtype=np.float32)
    centred = grey - grey.mean((-2, -1), keepdims=True)
    even = 128 + 40 * centred / (centred.std((-2, -1), keepdims=True) + 1)
    return np.repeat(even.round().clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1)


def patches(square: NDArray[np.uint8]) -> Patches:
    """A square or half of one in patches that touch and do not overlap."""
    rows, columns = (side // PATCH for side in square.shape[:2])
    cut = square[: rows * PATCH, : columns * PATCH].reshape(rows, PATCH, columns, PATCH, 3)
    return cut.swapaxes(1, 2).reshape(-1, PATCH, PATCH, 3)


def textures(folders: list[str]) -> list[NDArray[np.uint8]]:
    """The squares of the `CLASSES` photographs that have the most even ones."""
    found = []
    for item in discover(folders).pictures:
        if item.problem:
            sys.exit(f"{item.source}: {item.problem}")
        with Image.open(item.source) as image:
            photograph = np.asarray(image.convert("RGB"))
        if min(photograph.shape[:2]) >= SIDE:
            found.append(most_even(photograph))
    found.sort(key=lambda pair: pair[0])
    return [square for unevenness, square in found[:CLASSES] if np.isfinite(unevenness)]


def most_even(photograph: NDArray[np.uint8]) -> tuple[float, NDArray[np.uint8]]:
    """The square whose cells are most alike relative to how much is in them, and how unlike."""
    x = photograph.astype(np.float32)
    rows, columns = (side // CELL for side in x.shape[:2])
    cells = x[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL, 3)
    means, deviations = cells.mean((1, 3)), cells.std((1, 3)).mean(-1)
    # Every second square of cells: (rows, columns[, 3], count, count).
    count = (SIDE // CELL, SIDE // CELL)
    inside = sliding_window_view(deviations, count)[::2, ::2]
    colors = sliding_window_view(means, count, (0, 1))[::2, ::2]
    texture = inside.mean((-1, -2))
    unlike = colors.std((-1, -2)).mean(-1) + inside.std((-1, -2))
    # Sky, and other plain surfaces, are no textures.
    unevenness = np.where(texture < 8, np.inf, unlike / np.maximum(texture, 8))
    top, left = (2 * CELL * x for x in np.unravel_index(unevenness.argmin(), unevenness.shape))
    return float(unevenness.min()), photograph[top : top + SIDE, left : left + SIDE]


def sheet(squares: list[NDArray[np.uint8]]) -> Image.Image:
    """All squares, five a row."""
    page = Image.new("RGB", (5 * SIDE, -(-len(squares) // 5) * SIDE))
    for number, square in enumerate(squares):
        page.paste(Image.fromarray(square), (number % 5 * SIDE, number // 5 * SIDE))
    return page


if __name__ == "__main__":
    sys.exit(main())
