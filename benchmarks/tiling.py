"""What tiles change in a picture and what they cost, against their size and overlap.

    python benchmarks/tiling.py [MODEL [SIDE [PICTURES]]]

The truth is the same picture run whole, in fp32, of photographs below $IMAGEN_FAST_DATA. In 8-bit
steps (1 is 1/255): the worst difference of any sample, and the mean within `BAND` input pixels of a
seam and elsewhere; `cost` is input pixels computed / input pixels in a picture of very many tiles.
Prints a table and keeps it in benchmarks/results/tiling-MODEL.json.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagen_fast import Engine
from imagen_fast.backends import Backend, choose
from imagen_fast.bench import machine, record
from imagen_fast.bundle import load_bundle
from imagen_fast.catalogue import resolve
from imagen_fast.tiling import Grid, plan

RESULTS = Path(__file__).parent / "results"
TILES, OVERLAPS, BAND = (256, 384, 512), (0, 8, 16, 24, 32, 48, 64), 8
Float = NDArray[np.float32]


def measured(
    backend: Backend, tile: int, overlap: int, pictures: list[Float], wholes: list[Float]
) -> dict[str, Any]:
    engine, side = Engine(backend, tile=tile, overlap=overlap), pictures[0].shape[0]
    grid = plan(side, side, tile, overlap, backend.bundle.alignment)
    near = near_seams(grid, side, engine.scale)
    outputs = zip(map(engine, pictures), wholes, strict=True)
    errors = [255 * np.abs(a - b).max(axis=2) for a, b in outputs]
    return {
        "tile": tile,
        "overlap": overlap,
        "cost": round((tile / grid.columns[1].start) ** 2, 4),
        "worst": float(max(error.max() for error in errors)),
        "seam": float(np.mean([error[near].mean() for error in errors])),
        "elsewhere": float(np.mean([error[~near].mean() for error in errors])),
    }


def near_seams(grid: Grid, side: int, scale: int) -> NDArray[np.bool_]:
    """(s·side, s·side): whether an output pixel lies within `BAND` input pixels of a seam."""
    line = np.zeros(scale * side, bool)
    for span in grid.columns[1:]:
        seam = scale * (span.low + span.ramp // 2)
        line[max(0, seam - scale * BAND) : seam + scale * BAND] = True
    return line[:, None] | line[None, :]


def middle(path: Path, side: int) -> Float:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side].astype(np.float32) / np.float32(255)


def main() -> None:
    path, side, count = (*sys.argv[1:], *("sr-x4", "640", "2")[len(sys.argv) - 1 :])
    model, load = resolve(path), machine.load()
    photographs = sorted((Path(os.environ["IMAGEN_FAST_DATA"]) / "train/photos_cc0").glob("*.jpg"))
    chosen = photographs[:: max(1, len(photographs) // int(count))][: int(count)]
    pictures = [middle(photograph, int(side)) for photograph in chosen]
    backend = choose("eager")[0](load_bundle(model), precision="fp32")
    whole = Engine(backend, tile=int(side))
    wholes = [whole(picture) for picture in pictures]
    rows = []
    for tile in TILES:
        for overlap in sorted({*OVERLAPS, whole.exact_overlap or 0}):
            rows.append(measured(backend, tile, overlap, pictures, wholes))
            print(
                *(f"{name} {value:.4g}" for name, value in rows[-1].items()), sep="  ", flush=True
            )
    facts = {"model": model.stem, "side": int(side), "exact_overlap": whole.exact_overlap}
    made = record.record("python benchmarks/tiling.py", rows, (load, machine.load()), **facts)
    record.write(made, RESULTS / f"tiling-{model.stem}.json")


if __name__ == "__main__":
    main()
