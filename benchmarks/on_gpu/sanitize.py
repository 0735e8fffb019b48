"""Every kernel of a network once over small odd shapes: for compute-sanitizer to watch.

compute-sanitizer --error-exitcode 9 python -m on_gpu.sanitize --out OUT

Here every tensor has memory of its own, whose end is seen; the program in C++ has one for all.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import torch

from imagen_fast.graph import network
from imagen_fast.spec import preset
from on_gpu import cases
from on_gpu.layers import Layer, layers
from on_gpu.parity import MIXED, NARROW
from on_gpu.part import Part


def run_once(layer: Layer, name: str, device: torch.device) -> dict[str, Any]:
    case = cases.make(layer, name, device)
    finite = bool(torch.isfinite(case.ours().float()).all())
    return {"ok": finite}


def main() -> int:
    part = Part(__doc__, exact=True)
    size = (1, 3, 5) if part.dry else (2, 11, 71)
    specs = [NARROW] if part.dry else [preset("tiny", 4), MIXED]
    for name in part.dtypes:
        for spec in specs:
            for layer in layers(network(spec), *size):
                work = partial(run_once, layer, name, part.device)
                part.attempt(work, what="watched", dtype=name, kernel=layer.name)
    return int(part.failed)


if __name__ == "__main__":
    sys.exit(main())
