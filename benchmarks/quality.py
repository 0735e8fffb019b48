"""PSNR and SSIM of every shipped model by every protocol that fits it; true colours.

    python benchmarks/quality.py [MODEL ...]

Reads the test sets below $IMAGEN_FAST_DATA, writes benchmarks/results/quality.json and prints the
table that the README shows, and how far flat colours and neutral hatching are off. With models
(such as restore-tiny) the others' figures stay as they are.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import imagen_fast
from imagen_fast.bench.machine import describe
from imagen_fast.catalogue import shipped
from imagen_fast.tasks.colors import measure
from imagen_fast.tasks.discovery import in_folder
from imagen_fast.tasks.evaluate import evaluate, mean
from imagen_fast.tasks.protocols import PROTOCOLS, Quality

RESULT = Path(__file__).parent / "results" / "quality.json"
SETS = {"set5": "Set5", "b100": "B100"}


def main() -> None:
    """Measure, keep and print."""
    rows, asked = [], sys.argv[1:]
    before = {row["model"]: row for row in json.loads(RESULT.read_text())["rows"]}
    for entry in (entry for entry in shipped() if entry.header.task.inputs):
        if asked and entry.path.stem not in asked:
            rows.append(before[entry.path.stem])
            continue
        with imagen_fast.load(entry.path) as engine:
            scale = entry.header.graph.scale
            row: dict[str, object] = {
                "model": entry.path.stem,
                "scale": scale,
                "backend": engine.info()["backend"],
            }
            for name, protocol in PROTOCOLS.items():
                if protocol.task is not entry.header.task or protocol.scale not in (0, scale):
                    continue
                if entry.real and name in SETS:  # not what it was made for
                    continue
                protocol = protocol.at(scale)
                found = in_folder(protocol.folder(None)).pictures
                paths = [each.source for each in found if protocol.counts(each.source)]
                scores = list(evaluate(paths, protocol, engine))
                row[name] = {
                    protocol.baseline: _rounded(mean([score.baseline for score in scores])),
                    "model": _rounded(mean([score.model for score in scores if score.model])),
                }
            row["colors"] = asdict(measure(engine))
        rows.append(row)
    RESULT.write_text(json.dumps({"machine": describe(), "rows": rows}, indent=2) + "\n")
    print(f"| | {' | '.join(f'{name} bicubic | {name}' for name in SETS.values())} |")
    print("|---|" + "---|---|" * len(SETS))
    for row in rows:
        if "set5" not in row:
            continue
        pairs = [(row[folder], kind) for folder in SETS for kind in ("bicubic", "model")]
        cells = [f"{scores[kind]['psnr']:.2f}" for scores, kind in pairs]
        print(f"| `{row['model']}` | {' | '.join(cells)} |")
    print()
    for row in rows:
        for name, found in row["colors"].items():
            print(f"{row['model']}, {name}: worst {found['worst']:.0f} levels at {found['where']}, "
                  f"mean of the worst {found['mean']:.1f}")  # fmt: skip


def _rounded(quality: Quality) -> dict[str, float]:
    return {"psnr": round(quality.psnr, 3), "ssim": round(quality.ssim, 4)}


if __name__ == "__main__":
    main()
