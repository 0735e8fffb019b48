"""How good shipped models are, by every protocol that fits them and by how much was lost before.

    python benchmarks/quality.py [MODEL ...]
    python benchmarks/quality.py --ladder [--scale 4] [--every 8] [MODEL ...]

The first asks `imagen-fast eval` about every shipped model, in bf16 where the processor has kernels
for it (AVX-512, AMX), else in fp32, writes benchmarks/results/quality.json and prints the README's
table. With models (such as restore-tiny) the others' figures stay as they are.

--ladder tells which model is to be preferred for what a picture has gone through: it shrinks every
so many-th picture of B100, puts it through a JPEG file, adds noise, or both, and prints the mean
PSNR on Y of bicubic and of the models: `sr` and `real` of this scale unless named, at scale 1
`restore` beside what it was given. Pictures are below $IMAGEN_FAST_DATA.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import imagen_fast
from imagen_fast._native import available
from imagen_fast.bench.machine import describe
from imagen_fast.bench.table import markdown
from imagen_fast.catalogue import Entry, shipped
from imagen_fast.image.degradation import Uint8, degrade, jpeg, noisy, resized
from imagen_fast.image.read import read
from imagen_fast.metrics import luma_psnr
from imagen_fast.tasks.discovery import in_folder
from imagen_fast.tasks.protocols import PROTOCOLS
from imagen_fast.tasks.restore import Restorer

RESULT = Path(__file__).parent / "results" / "quality.json"
SETS = {"set5": "Set5", "b100": "B100"}


def measured(entry: Entry) -> dict[str, Any]:
    """A model's row: means by protocol, and how far drawn pictures are off."""
    task, scale = entry.header.task, entry.header.graph.scale
    precision = "bf16" if available("bf16") else "fp32"
    row: dict[str, Any] = {"model": entry.path.stem, "scale": scale, "precision": precision}
    fitting = [
        name
        for name, protocol in PROTOCOLS.items()
        if protocol.task is task and protocol.scale in (0, scale)
        if not (entry.real and name in SETS)  # not what it was made for
    ]
    for name in fitting or ["set5"]:
        line = [sys.executable, "-m", "imagen_fast", "eval", "-n", entry.path, "--protocol", name]
        found = json.loads(subprocess.check_output([*line, "--precision", precision, "--json"]))
        row |= ({name: found["mean"]} if fitting else {}) | {"colors": found["colors"]}
    return row


def by_protocols(asked: Sequence[str]) -> None:
    before = {row["model"]: row for row in json.loads(RESULT.read_text())["rows"]}
    entries = [x for x in shipped() if x.header.task.name in ("upscale", "restore")]
    if unknown := set(asked) - {entry.path.stem for entry in entries}:
        raise SystemExit(f"no such models: {', '.join(sorted(unknown))}; expected names of files")
    rows = [before[x.path.stem] if asked and x.path.stem not in asked else measured(x)
            for x in entries]  # fmt: skip
    RESULT.write_text(json.dumps({"machine": describe(), "rows": rows}, indent=2) + "\n")
    pairs = [(name, kind) for name in SETS for kind in ("bicubic", "model")]
    heads = [head for name in SETS.values() for head in (f"{name} bicubic", name)]
    of_sets = [row for row in rows if "set5" in row]
    lines = ([f"`{x['model']}`", *(f"{x[n][k]['psnr']:.2f}" for n, k in pairs)] for x in of_sets)
    print(markdown(["", *heads], lines))


def noise(picture: Uint8, sigma: float) -> Uint8:
    """The same in every run."""
    return noisy(picture, sigma, np.random.default_rng(0))


LADDER: dict[str, Callable[[Uint8], Uint8]] = {
    "nothing": lambda picture: picture,
    **{f"JPEG, quality {q}": partial(jpeg, quality=q) for q in (95, 90, 84, 75, 50)},
    **{f"noise of {sigma} levels": partial(noise, sigma=sigma) for sigma in (2, 4, 6, 10)},
    "noise of 10, JPEG 85": lambda picture: jpeg(noise(picture, 10), 85),
}


def by_ladder(asked: Sequence[str], scale: int, every: int) -> None:
    names = asked or (["restore"] if scale == 1 else [f"{x}-x{scale}" for x in ("sr", "real")])
    paths = [found.source for found in in_folder(PROTOCOLS["b100"].folder(None)).pictures]
    pairs = [degrade(read(path).color, scale) for path in paths[::every]]

    def bicubic(x: Uint8) -> Uint8:
        return resized(x, x.shape[0] * scale, x.shape[1] * scale, Image.Resampling.BICUBIC)

    with ExitStack() as stack:
        engines = [stack.enter_context(imagen_fast.load(name)) for name in names]
        ways = [bicubic, *(Restorer(x) if x.scale == 1 else x for x in engines)]
        lines = []
        for name, step in LADDER.items():
            found = [[luma_psnr(way(step(x)), high, scale) for way in ways] for x, high in pairs]
            lines.append([name, *(f"{psnr:.2f}" for psnr in np.mean(found, 0))])
    print(markdown(["", "bicubic", *names], lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--ladder", action="store_true")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--every", type=int, default=8)
    given = parser.parse_args()
    if given.ladder:
        by_ladder(given.models, given.scale, given.every)
    else:
        by_protocols(given.models)
