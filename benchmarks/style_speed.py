"""How long a picture in a painting's manner takes, on native and in PyTorch, and how tiles differ.

    python benchmarks/style_speed.py MODEL -o OUT

Reads style/ and content/ below $IMAGEN_FAST_DATA and writes OUT/style_speed.json. Times are of the
processor, on one thread, the least of those taken in turns: `network` is the network alone at 512²,
`picture` all that `imagen-fast stylize` computes between two files. `tiles` is how many levels of
255 a 4K picture differs by at most, painted in tiles of two sizes in fp32, with exact overlap.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import imagen_fast
from imagen_fast.bench.machine import describe
from imagen_fast.bench.timing import in_turns, once
from imagen_fast.tasks.style import read_style
from imagen_fast.tasks.stylize import Stylizer

SIZES = {"512": (512, 512), "4k": (3840, 2160)}  # width, height
TILES = (320, 384)
TURNS = 7


def read(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture in RGB of this size."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))


def main() -> None:
    """Measure, keep and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ["IMAGEN_FAST_DATA"])
    painting = next((data / "style").glob("munch*"))
    pictures = {name: read(data / "content/tubingen.jpg", size) for name, size in SIZES.items()}
    engines = {
        name: imagen_fast.load(arguments.model, backend=name, threads=1)
        for name in ("native", "eager")
    }
    runs: dict[str, Callable[[], object]] = {}
    for name, engine in engines.items():
        style = read_style(engine, painting)
        also = {"tokens": style.tokens}
        runs[f"network 512 {name}"] = partial(engine.run, pictures["512"][None], also)
        for size, picture in pictures.items():
            runs[f"picture {size} {name}"] = partial(Stylizer(engine, style), picture)
    turns = {name: once(run, time.process_time) for name, run in runs.items()}
    least = {
        name: min(times) for name, times in in_turns(turns, 0, least=TURNS, most=TURNS).items()
    }
    result: dict[str, Any] = {"machine": describe(), "milliseconds": least}
    for engine in engines.values():
        engine.close()
    found = []
    for tile in TILES:
        with imagen_fast.load(arguments.model, precision="fp32", tile=tile) as engine:
            overlap = engine.exact_overlap
        with imagen_fast.load(
            arguments.model, precision="fp32", tile=tile, overlap=overlap
        ) as engine:
            drawn = Stylizer(engine, read_style(engine, painting))(pictures["4k"])
            found.append(drawn.astype(int))
    result["tiles"] = int(np.abs(found[0] - found[1]).max())
    (arguments.output / "style_speed.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: result[key] for key in result if key != "machine"}, indent=2))


if __name__ == "__main__":
    main()
