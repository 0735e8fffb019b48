"""What each loss of `[style]` is for: pixels moved by gradient descent on all of them, and without.

    python benchmarks/style_losses.py -o OUT

Three photographs in the manner of three paintings, all reduced to SIDE × SIDE; no network is in it,
so what is missing here no network could learn. Reads style/ and content/ below $IMAGEN_FAST_DATA
and writes OUT/losses.png, a row for each line of OUT/losses.json, which says what
benchmarks/style.py does: how far texture and colours still are from the painting's, as parts of
what they were, and SSIM of edges to the photograph.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from style import PAINTINGS, SIDE, Pixels, colors, drawing, read, texture

from imagen_fast.bench.machine import describe
from imagen_fast.image.palette import palette_of, recolored, table_of
from imagen_fast.tasks.generated import sheet
from imagen_fast.training.style_config import StyleConfig
from imagen_fast.training.style_losses import Statistics, distances, edges, structure

PAIRS = ((0, 0), (1, 2), (3, 4))  # of paintings and photographs
STEPS, RATE, START = 150, 0.01, 0.05  # START: deviation of the noise that is added first
LEFT_OUT = ((), ("texture",), ("together",), ("colors",), ("edges", "structure"))


def drawn(photograph: Pixels, painting: Pixels, left_out: tuple[str, ...]) -> Pixels:
    """The photograph in the painting's colours, moved towards its manner."""
    statistics = Statistics(torch.device("cpu"))
    start = recolored(photograph, table_of(palette_of(photograph), palette_of(painting)))
    given, wanted, x = (
        torch.from_numpy(y.copy()).permute(2, 0, 1)[None].float() / 255
        for y in (photograph, painting, start)
    )
    random = torch.manual_seed(0)
    x = (x + START * torch.randn(x.shape, generator=random)).requires_grad_()
    optimiser = torch.optim.Adam([x], RATE)
    with torch.no_grad():
        aim = statistics(wanted)
    for _ in range(STEPS):
        losses = distances(statistics(x), aim)
        losses |= {"edges": edges(x, given), "structure": structure(x, given)}
        total = 10 * (x - x.clamp(0, 1)).square().mean()
        for name, loss in losses.items():
            if name not in left_out:
                total = total + getattr(StyleConfig, name) * loss
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    pixels: Pixels = (255 * x.detach()[0].permute(1, 2, 0).clamp(0, 1)).round().byte().numpy()
    return pixels


def main() -> None:
    """Measure, keep and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ["IMAGEN_FAST_DATA"])
    photographs = sorted((data / "content").glob("*.jpg"))

    def small(path: Path) -> Pixels:
        size, filter_ = (SIDE, SIDE), Image.Resampling.LANCZOS
        return np.asarray(Image.fromarray(read(path)).resize(size, filter_))

    pairs = [
        (
            small(photographs[photograph]),
            small(next((data / "style").glob(f"{PAINTINGS[number]}*"))),
        )
        for number, photograph in PAIRS
    ]
    rows, shown = [], [x for pair in pairs for x in pair]
    for left_out in LEFT_OUT:
        made = [drawn(*pair, left_out) for pair in pairs]
        far = {
            what.__name__: [
                what(x, painting) / what(photograph, painting)
                for x, (photograph, painting) in zip(made, pairs, strict=True)
            ]
            for what in (texture, colors)
        }
        kept = [drawing(x, photograph) for x, (photograph, _) in zip(made, pairs, strict=True)]
        rows.append({"without": left_out, **far, "edges": kept})
        shown += [y for x in made for y in (x, np.full_like(x, 255))]
        print(json.dumps(rows[-1]), flush=True)
    result = {"machine": describe(), "pairs": PAIRS, "steps": STEPS, "rows": rows}
    (output / "losses.json").write_text(json.dumps(result, indent=1) + "\n")
    Image.fromarray(sheet(shown, 2 * len(pairs))).save(output / "losses.png")


if __name__ == "__main__":
    main()
