"""Which of two models' pictures look better: pairs of crops without names, and verdicts on them.

    pip install torchmetrics
    python benchmarks/blind.py sr-x4-gan sr-x4 -o OUT [--protocol b100|real-x4] [--seed 0]
    python benchmarks/blind.py OUT/verdicts.txt

The first writes OUT/sheet-1.png and on, in each of whose rows the truth stands in the middle and
the two models' crops beside it, drawn by lot; OUT/key.json says which is where. It prints what can
be measured of whole pictures:

- PSNR of Y;
- VIF of Y: how much of what an eye sees in the truth is there (Sheikh and Bovik 2006,
  doi:10.1109/TIP.2005.859378; 1 is all), by the package torchmetrics;
- kernel distance: how far patches of 64×64 are, all together, from those of the truth, by filters
  that nothing was trained with (training/resemblance.py; 0 is like them).

The first two ask for the truth itself, so what is invented counts against a model however well it
looks; the last asks whether it looks like a photograph. Crops lie where the truth has most detail,
one a picture.

Write a verdict for each row into OUT/verdicts.txt, `l`, `r` or `=`, before looking into the key.
The second command counts them.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import visual_information_fidelity

import imagen_fast
from imagen_fast.image.degradation import Uint8
from imagen_fast.image.picture import Picture, eight_bits
from imagen_fast.image.read import read
from imagen_fast.image.write import write
from imagen_fast.metrics import luma
from imagen_fast.tasks.discovery import in_folder
from imagen_fast.tasks.evaluate import page_of
from imagen_fast.tasks.protocols import PROTOCOLS
from imagen_fast.training.resemblance import features, kernel_distance

PAIRS, SIDE, ROWS = 40, 96, 10  # crops, their side, and how many stand on a sheet
PATCH = 64  # side of the patches that are looked at all together


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL MODEL | VERDICTS")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--protocol", choices=("b100", "real-x4"), default="b100")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if len(given.models) == 1:
        count(Path(given.models[0]))
    elif len(given.models) == 2 and given.output:
        draw(given.models, given.output, given.protocol, given.seed)
    else:
        parser.error("expected two models and -o OUT, or a file of verdicts")


def draw(models: list[str], out: Path, protocol_name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    engines = [imagen_fast.load(model) for model in models]
    protocol = PROTOCOLS[protocol_name].at(engines[0].scale)
    paths = [found.source for found in in_folder(protocol.folder(None)).pictures]
    chosen = rng.permutation(len(paths))[:PAIRS]
    rows, key, figures = [], [], []
    patches: list[list[Tensor]] = [[], [], []]  # of the models, and of the truth
    for number in chosen.tolist():
        case = protocol.case(eight_bits(read(paths[number]).color), number)
        found = [engine(Picture(case.given)).color for engine in engines]
        figures.append([[protocol.quality(x, case).psnr, fidelity(x, case.truth)] for x in found])
        for known, picture in zip(patches, (*found, case.truth), strict=True):
            known.append(patches_of(picture))
        y, x = most_detailed(case.truth)
        crops = [picture[y : y + SIDE, x : x + SIDE] for picture in (*found, case.truth)]
        left = int(rng.integers(2))
        key.append({"picture": paths[number].name, "l": models[left], "r": models[1 - left]})
        rows.append(np.concatenate([crops[left], crops[2], crops[1 - left]], axis=1))
    out.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(rows), ROWS):
        write(out / f"sheet-{first // ROWS + 1}.png", Picture(page_of(rows[first : first + ROWS])))
    (out / "key.json").write_text(json.dumps(key, indent=1) + "\n")
    *made, truth = (features(torch.cat(known)) for known in patches)
    for model, (psnr, vif), seen in zip(models, np.mean(figures, 0), made, strict=True):
        distance = kernel_distance(truth, seen)
        print(f"{model}: {psnr:.2f} dB, VIF {vif:.4f}, kernel distance {distance:.4f}")


def count(verdicts: Path) -> None:
    key = json.loads((verdicts.parent / "key.json").read_text())
    said = verdicts.read_text().split()
    if len(said) != len(key) or not set(said) <= {"l", "r", "="}:
        raise SystemExit(f"{verdicts}: expected {len(key)} verdicts, each l, r or =")
    won = Counter(row.get(word, "equal") for row, word in zip(key, said, strict=True))
    for name, times in won.most_common():
        print(f"{name}: {times} of {len(key)}")


def fidelity(found: Uint8, truth: Uint8) -> float:
    """VIF on Y of two pictures (H, W, 3)."""
    a, b = (torch.tensor(luma(x))[None, None].float() for x in (found, truth))
    return float(visual_information_fidelity(a, b))


def patches_of(picture: Uint8) -> Tensor:
    """(H, W, 3) → (N, 3, 64, 64) in [0, 1]: all of it but what is left over at its end."""
    rows, columns = (side // PATCH for side in picture.shape[:2])
    whole = torch.from_numpy(picture[: rows * PATCH, : columns * PATCH].copy()).float() / 255
    cut = whole.view(rows, PATCH, columns, PATCH, 3).permute(0, 2, 4, 1, 3)
    return cut.reshape(-1, 3, PATCH, PATCH)


def most_detailed(truth: Uint8) -> tuple[int, int]:
    """Top and left of the square whose neighbouring pixels differ most."""
    grey = truth.astype(np.float32).mean(2)
    detail = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
    tops, lefts = (range(0, side - SIDE, SIDE // 3) for side in detail.shape)
    return max(
        ((y, x) for y in tops for x in lefts),
        key=lambda corner: detail[corner[0] : corner[0] + SIDE, corner[1] : corner[1] + SIDE].sum(),
    )


if __name__ == "__main__":
    main()
