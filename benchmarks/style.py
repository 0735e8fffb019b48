"""What a model that stylizes makes of four paintings and five photographs: a sheet, and figures.

    python benchmarks/style.py stylize.safetensors -o OUT

Reads style/ and content/ below $IMAGEN_FAST_DATA and writes OUT/sheet.png and OUT/style.json. The
statistics of manner are no training losses: colours by histogram, texture by correlations between
the bands of a steerable pyramid (Portilla and Simoncelli 2000). Both are told as parts of what they
were before. Drawing is SSIM of Sobel's edges. `moved` says the same of the colours' move alone,
`laid` of this and the strokes that are laid on the canvas, without a network.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import imagen_fast
from imagen_fast import metrics
from imagen_fast.bench.machine import describe
from imagen_fast.image.canvas import canvas_of, on_canvas, painted
from imagen_fast.image.palette import palette_of, recolored, table_of
from imagen_fast.image.strokes import strokes
from imagen_fast.tasks.generated import sheet
from imagen_fast.tasks.style import read_style
from imagen_fast.tasks.stylize import LUMA, Stylizer

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

PAINTINGS = ("hokusai", "munch", "picabia", "turner_shipwreck")  # in no training set
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
SIDE = 256  # of a thumbnail, and of the squares whose bands are compared
BINS, SCALES, ORIENTATIONS = 8, 4, 4


def colors(a: Pixels, b: Pixels) -> float:
    """Half the sum of differences of histograms of 8 × 8 × 8 colours: 0 to 1."""
    found = []
    for x in (a, b):
        places = (x.reshape(-1, 3) // (256 // BINS)) @ (BINS**2, BINS, 1)
        found.append(np.bincount(places, minlength=BINS**3) / len(places))
    return float(np.abs(found[0] - found[1]).sum() / 2)


def bands(x: Pixels) -> Floats:
    """Correlations of the magnitudes of oriented bands with each other, and each one's deviation.

    Of lightness at SIDE × SIDE; bands an octave wide, with orientations as cos³.
    """
    square = np.asarray(Image.fromarray(x).resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    spectrum = np.fft.fft2(square @ LUMA / 255)
    fy, fx = np.meshgrid(*[np.fft.fftfreq(SIDE)] * 2, indexing="ij")
    radius, angle = np.hypot(fx, fy), np.arctan2(fy, fx)
    octave = np.log2(np.maximum(radius, 1e-9) / 0.25)
    magnitudes = []
    for scale in range(SCALES):
        near = np.abs(octave + scale)
        radial = np.where(near < 1, np.cos(np.pi / 2 * near), 0)
        for orientation in range(ORIENTATIONS):
            along = np.cos(angle - np.pi * orientation / ORIENTATIONS)
            band = np.fft.ifft2(spectrum * radial * np.where(along > 0, along, 0) ** 3)
            magnitudes.append(np.abs(band).ravel())
    stacked = np.stack(magnitudes)
    above = np.triu_indices(len(stacked), 1)
    deviations = np.log(np.sqrt((stacked**2).mean(1)) + 1e-3)
    return np.concatenate([np.corrcoef(stacked)[above], deviations / 4])


def texture(a: Pixels, b: Pixels) -> float:
    """How far two pictures' bands are from each other."""
    return float(np.sqrt(np.mean((bands(a) - bands(b)) ** 2)))


def drawing(a: Pixels, b: Pixels) -> float:
    """SSIM of the strength of Sobel's edges of lightness."""
    found = []
    for x in (a, b):
        y = np.pad(x @ LUMA, 1, mode="edge")
        rows, columns = y[:-2] + 2 * y[1:-1] + y[2:], y[:, :-2] + 2 * y[:, 1:-1] + y[:, 2:]
        strength = np.hypot(rows[:, 2:] - rows[:, :-2], columns[2:] - columns[:-2]) / 4
        found.append(np.rint(strength.clip(0, 255)).astype(np.uint8))
    return metrics.ssim(found[0], found[1])


def read(path: Path) -> Pixels:
    """A picture in RGB."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def main() -> None:
    """Measure, keep and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ["IMAGEN_FAST_DATA"])
    paintings = [read(next((data / "style").glob(f"{name}*"))) for name in PAINTINGS]
    photographs = [read(path) for path in sorted((data / "content").glob("*.jpg"))]
    page = [np.full((SIDE, SIDE, 3), 255, np.uint8), *photographs]
    pairs: list[dict[str, Any]] = []
    with imagen_fast.load(arguments.model) as engine:
        for name, painting in zip(PAINTINGS, paintings, strict=True):
            style = read_style(engine, painting)
            page.append(painting)
            for number, photograph in enumerate(photographs):
                drawn = Stylizer(engine, style)(photograph)
                page.append(drawn)
                pair = {"painting": name, "photograph": number}
                moved = recolored(photograph, table_of(*map(palette_of, (photograph, painting))))
                canvas = canvas_of(moved)
                laid = on_canvas(canvas, strokes(canvas_of(photograph)), style.strokes)
                laid = painted(moved, canvas, laid, slice(None))
                for name_of, made in {"": drawn, "moved ": moved, "laid ": laid}.items():
                    for what, far in {"colors": colors, "texture": texture}.items():
                        pair[name_of + what] = far(made, painting) / far(photograph, painting)
                    pair[name_of + "drawing"] = drawing(made, photograph)
                pairs.append(pair)
        style = read_style(engine, paintings[1])
        found = [Stylizer(engine, style, s)(photographs[1]) for s in STRENGTHS]
    by_strength = {
        "moved": [float(np.abs(x.astype(int) - photographs[1]).mean()) for x in found],
        "colors": [colors(x, paintings[1]) for x in found],
        "drawing": [drawing(x, photographs[1]) for x in found],
    }
    names = [name for name in pairs[0] if name not in ("painting", "photograph")]
    mean = {name: float(np.mean([pair[name] for pair in pairs])) for name in names}
    result: dict[str, Any] = {"machine": describe(), "mean": mean, "strength": by_strength}
    result["pairs"] = pairs
    shown = [ImageOps.pad(Image.fromarray(x), (SIDE, SIDE), color="white") for x in page]
    Image.fromarray(sheet([np.asarray(x) for x in shown], 1 + len(photographs))).save(
        arguments.output / "sheet.png"
    )
    (arguments.output / "style.json").write_text(json.dumps(result, indent=2) + "\n")
    told = {key: result[key] for key in result if key not in ("pairs", "machine")}
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
