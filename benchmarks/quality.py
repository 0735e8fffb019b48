"""How good shipped models are, by every protocol that fits them and by how much was lost before.

    python benchmarks/quality.py [MODEL ...]
    python benchmarks/quality.py --ladder [--scale 4] [--every 8] [MODEL ...]

The first reads the test sets below $IMAGEN_FAST_DATA, writes benchmarks/results/quality.json and
prints the table that the README shows, and how far flat colours and neutral hatching are off. With
models (such as restore-tiny) the others' figures stay as they are.

--ladder tells which model is to be preferred for what a picture has gone through: it shrinks every
so many-th picture of B100, puts it through a JPEG file, adds noise, or both, and prints the mean
PSNR on Y of bicubic and of the models: `sr` and `real` of this scale unless named, at scale 1
`restore` beside what it was given.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import imagen_fast
from imagen_fast.bench.machine import describe
from imagen_fast.catalogue import Entry, shipped
from imagen_fast.image.degradation import Uint8, degrade, jpeg, noisy, resized
from imagen_fast.image.read import read
from imagen_fast.metrics import luma_psnr
from imagen_fast.tasks.colors import measure
from imagen_fast.tasks.discovery import in_folder
from imagen_fast.tasks.evaluate import evaluate, mean
from imagen_fast.tasks.protocols import PROTOCOLS, Protocol, Quality

RESULT = Path(__file__).parent / "results" / "quality.json"
SETS = {"set5": "Set5", "b100": "B100"}


def noise(picture: Uint8, sigma: float) -> Uint8:
    """The same in every run."""
    return noisy(picture, sigma, np.random.default_rng(0))


LADDER: dict[str, Callable[[Uint8], Uint8]] = {
    "nothing": lambda picture: picture,
    **{f"JPEG, quality {q}": partial(jpeg, quality=q) for q in (95, 90, 84, 75, 50)},
    **{f"noise of {sigma} levels": partial(noise, sigma=sigma) for sigma in (2, 4, 6, 10)},
    "noise of 10, JPEG 85": lambda picture: jpeg(noise(picture, 10), 85),
}


def table(heads: Sequence[str], rows: Iterable[tuple[str, Iterable[float]]]) -> None:
    print(f"| | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for name, values in rows:
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |", flush=True)


def pictures(protocol: Protocol) -> list[Path]:
    found = (each.source for each in in_folder(protocol.folder(None)).pictures)
    return [path for path in found if protocol.counts(path)]


def measured(entry: Entry) -> dict[str, Any]:
    """A model's row."""

    def rounded(quality: Quality) -> dict[str, float]:
        return {"psnr": round(quality.psnr, 3), "ssim": round(quality.ssim, 4)}

    scale = entry.header.graph.scale
    row: dict[str, Any] = {"model": entry.path.stem, "scale": scale}
    with imagen_fast.load(entry.path) as engine:
        row["backend"] = engine.info()["backend"]
        for name, protocol in PROTOCOLS.items():
            if protocol.task is not entry.header.task or protocol.scale not in (0, scale):
                continue
            if entry.real and name in SETS:  # not what it was made for
                continue
            scores = list(evaluate(pictures(protocol), protocol.at(scale), engine))
            row[name] = {
                protocol.baseline: rounded(mean([score.baseline for score in scores])),
                "model": rounded(mean([score.model for score in scores if score.model])),
            }
        row["colors"] = asdict(measure(engine))
    return row


def by_protocols(asked: Sequence[str]) -> None:
    before = {row["model"]: row for row in json.loads(RESULT.read_text())["rows"]}
    entries = [entry for entry in shipped() if entry.header.task.inputs]
    rows = [before[x.path.stem] if asked and x.path.stem not in asked else measured(x)
            for x in entries]  # fmt: skip
    RESULT.write_text(json.dumps({"machine": describe(), "rows": rows}, indent=2) + "\n")
    pairs = [(name, kind) for name in SETS for kind in ("bicubic", "model")]
    heads = [head for name in SETS.values() for head in (f"{name} bicubic", name)]
    of_sets = [row for row in rows if "set5" in row]
    table(heads, ((f"`{x['model']}`", [x[n][kind]["psnr"] for n, kind in pairs]) for x in of_sets))
    for row in rows:
        for name, found in row["colors"].items():
            print(f"{row['model']}, {name}: worst {found['worst']:.0f} levels at {found['where']}, "
                  f"mean of the worst {found['mean']:.1f}")  # fmt: skip


def by_ladder(asked: Sequence[str], scale: int, every: int) -> None:
    shipped = ["restore"] if scale == 1 else [f"{kind}-x{scale}" for kind in ("sr", "real")]
    pairs = [degrade(read(x).color, scale) for x in pictures(PROTOCOLS["b100"])[::every]]

    def bicubic(x: Uint8) -> Uint8:
        return resized(x, x.shape[0] * scale, x.shape[1] * scale, Image.Resampling.BICUBIC)

    with ExitStack() as stack:
        names = asked or shipped
        ways = [bicubic, *(stack.enter_context(imagen_fast.load(name)) for name in names)]

        def scores(step: Callable[[Uint8], Uint8]) -> Any:
            found = [
                [luma_psnr(way(step(low)), high, scale) for way in ways] for low, high in pairs
            ]
            return np.mean(found, 0)

        table(["bicubic", *names], ((name, scores(step)) for name, step in LADDER.items()))


def main() -> None:
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


if __name__ == "__main__":
    main()
