"""What tiles change in a picture and what they cost, against their size and overlap.

The truth is the same picture run whole, in fp32. Errors are in 8-bit steps (1 is 1/255):

- worst       the largest difference of any sample
- seam        mean difference within `BAND` input pixels of a seam
- elsewhere   mean difference of the other pixels
- visible     samples that differ by more than one step
- cost        input pixels computed / input pixels, in a picture of very many tiles

Prints a table and writes benchmarks/results/tiling-MODEL.json. Photographs are read from
IMAGEN_FAST_DATA or ../shared/data.

    python benchmarks/tiling.py [MODEL [SIDE [PICTURES]]]
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagen_fast import Engine
from imagen_fast.backends import Backend, choose
from imagen_fast.bundle import load_bundle
from imagen_fast.catalogue import resolve
from imagen_fast.tiling import Grid, plan

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("IMAGEN_FAST_DATA", Path(__file__).parents[2] / "shared/data"))
TILES = (256, 384, 512)
OVERLAPS = (0, 8, 16, 24, 32, 48, 64)
BAND = 8

Float = NDArray[np.float32]


def main() -> None:
    """Measure every tile and overlap on the middle of a few photographs."""
    model = sys.argv[1] if len(sys.argv) > 1 else "sr-x4"
    side = int(sys.argv[2]) if len(sys.argv) > 2 else 640
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    paths = sorted((DATA / "train/photos_cc0").glob("*.jpg"))
    paths = paths[:: max(1, len(paths) // count)][:count]
    if not paths:
        sys.exit(f"no photographs in {DATA}: set IMAGEN_FAST_DATA")
    pictures = [_middle(path, side) for path in paths]
    path = resolve(model)
    backend = choose("eager")[0](load_bundle(path), precision="fp32")
    whole = Engine(backend, model=path.stem, tile=side)
    info, exact = whole.info(), whole.exact_overlap
    wholes = [whole(picture) for picture in pictures]
    overlaps = sorted({*OVERLAPS, *([] if exact is None else [exact])})
    rows = []
    print(f"{'tile':>5} {'overlap':>7} {'cost':>6} {'worst':>8} {'seam':>8} {'elsewhere':>9}")
    for tile in TILES:
        for overlap in overlaps:
            row = _measure(backend, tile, overlap, pictures, wholes)
            row["exact"] = exact is not None and overlap >= exact
            rows.append(row)
            print(
                f"{tile:5} {overlap:7} {row['cost']:6.2f} {row['worst']:8.3f} {row['seam']:8.4f} "
                f"{row['elsewhere']:9.4f}{'  exact' if row['exact'] else ''}",
                flush=True,
            )
    record = {
        "model": info,
        "training": backend.bundle.metadata.get("training"),
        "side": side,
        "pictures": [p.name for p in paths],
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"tiling-{path.stem}.json").write_text(json.dumps(record, indent=1) + "\n")


def _measure(
    backend: Backend, tile: int, overlap: int, pictures: list[Float], wholes: list[Float]
) -> dict[str, Any]:
    tiled = Engine(backend, tile=tile, overlap=overlap)
    side = pictures[0].shape[0]
    grid = plan(side, side, tile, overlap, tiled.spec.alignment)
    near = _near_seams(grid, side, tiled.scale)
    start = time.perf_counter()
    outputs = [tiled(picture) for picture in pictures]
    seconds = time.perf_counter() - start
    errors = [255 * np.abs(a - b).max(axis=2) for a, b in zip(outputs, wholes, strict=True)]
    return {
        "tile": tile,
        "overlap": overlap,
        "cost": round((tile / grid.columns[1].start) ** 2, 4),
        "seconds": round(seconds, 2),
        "worst": float(max(error.max() for error in errors)),
        "seam": float(np.mean([error[near].mean() for error in errors])),
        "elsewhere": float(np.mean([error[~near].mean() for error in errors])),
        "visible": float(np.mean([(error > 1).mean() for error in errors])),
    }


def _near_seams(grid: Grid, side: int, scale: int) -> NDArray[np.bool_]:
    """(s·side, s·side): whether an output pixel lies within `BAND` input pixels of a seam."""
    line = np.zeros(scale * side, bool)
    for span in grid.columns[1:]:
        seam = scale * (span.low + span.ramp // 2)
        line[max(0, seam - scale * BAND) : seam + scale * BAND] = True
    return line[:, None] | line[None, :]


def _middle(path: Path, side: int) -> Float:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side].astype(np.float32) / np.float32(255)


if __name__ == "__main__":
    main()
