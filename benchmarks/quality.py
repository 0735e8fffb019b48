"""PSNR and SSIM of every shipped model on the standard test sets, beside bicubic.

    python benchmarks/quality.py

Reads test/set5 and test/bsd100 below $IMAGEN_FAST_DATA, writes benchmarks/results/quality.json
and prints the table that the README shows.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import imagen_fast
from imagen_fast.bench.machine import describe
from imagen_fast.catalogue import shipped
from imagen_fast.tasks.discovery import in_folder
from imagen_fast.tasks.evaluate import Quality, evaluate, mean

RESULT = Path(__file__).parent / "results" / "quality.json"
SETS = {"set5": "Set5", "bsd100": "B100"}


def main() -> None:
    """Measure, keep and print."""
    root = Path(os.environ["IMAGEN_FAST_DATA"]) / "test"
    rows = []
    for entry in shipped():
        with imagen_fast.load(entry.path) as engine:
            row: dict[str, object] = {
                "model": entry.path.stem,
                "scale": entry.header.graph.scale,
                "backend": engine.info()["backend"],
            }
            for folder in SETS:
                paths = [found.source for found in in_folder(root / folder).pictures]
                scores = list(evaluate(paths, entry.header.graph.scale, engine))
                row[folder] = {
                    "bicubic": _rounded(mean([score.bicubic for score in scores])),
                    "model": _rounded(mean([score.model for score in scores if score.model])),
                }
        rows.append(row)
    RESULT.write_text(json.dumps({"machine": describe(), "rows": rows}, indent=2) + "\n")
    print(f"| | {' | '.join(f'{name} bicubic | {name}' for name in SETS.values())} |")
    print("|---|" + "---|---|" * len(SETS))
    for row in rows:
        pairs = [(row[folder], kind) for folder in SETS for kind in ("bicubic", "model")]
        cells = [f"{scores[kind]['psnr']:.2f}" for scores, kind in pairs]
        print(f"| `{row['model']}` | {' | '.join(cells)} |")


def _rounded(quality: Quality) -> dict[str, float]:
    return {"psnr": round(quality.psnr, 3), "ssim": round(quality.ssim, 4)}


if __name__ == "__main__":
    main()
