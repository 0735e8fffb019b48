"""Weights on the way from one model to another that was trained from it.

    python examples/mix_weights.py sr-x4 runs/sr-x4-gan/sr-x4-gan-tiny.safetensors \\
        --part 0.75 -o sr-x4-gan-tiny.safetensors

A model trained against a discriminator goes further than it should in some places; the same model
a part of the way back has most of its sharpness and less of its noise (network interpolation: Wang
et al. 2018, arXiv:1809.00219).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from imagen_fast.bundle import load_bundle, save_bundle
from imagen_fast.catalogue import resolve


def main() -> None:
    """Mix, and write with the second model's metadata."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start", help="a shipped model's name, or a file")
    parser.add_argument("end", help="the same, of the same network")
    parser.add_argument("--part", type=float, required=True, help="of the way: 0 start, 1 end")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    start, end = (load_bundle(resolve(name)) for name in (options.start, options.end))
    if {k: x.shape for k, x in start.tensors.items()} != {
        k: x.shape for k, x in end.tensors.items()
    }:
        parser.error(f"{options.start} and {options.end} are not of the same network")
    tensors = {
        name: (
            (1 - options.part) * start.tensors[name].astype(np.float32)
            + options.part * x.astype(np.float32)
        ).astype(x.dtype)
        for name, x in end.tensors.items()
    }
    training = json.loads(end.metadata.get("training", "{}")) | {"mixed": options.part}
    for measured in ("psnr", "ssim"):  # of the weights as they were
        training.pop(measured, None)
    metadata = end.metadata | {"training": json.dumps(training, sort_keys=True)}
    save_bundle(replace(end, tensors=tensors, metadata=metadata), options.output)


if __name__ == "__main__":
    main()
