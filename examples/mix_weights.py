"""Weights on the way from one model to another that was trained from it.

    python examples/mix_weights.py sr-x4 runs/sr-x4-gan/sr-x4-gan-tiny.safetensors \\
        --part 0.75 --protocol set5 -o sr-x4-gan-tiny.safetensors

A model trained against a discriminator goes further than it should in some places; the same model
a part of the way back has most of its sharpness and less of its noise (network interpolation: Wang
et al. 2018, arXiv:1809.00219). What the mixture comes to by a protocol of `imagen-fast eval` is
written into its file.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import imagen_fast
from imagen_fast.bundle import load_bundle, save_bundle
from imagen_fast.catalogue import resolve
from imagen_fast.tasks.discovery import in_folder
from imagen_fast.tasks.evaluate import evaluate, mean
from imagen_fast.tasks.protocols import PROTOCOLS


def main() -> None:
    """Mix, and write with the second model's metadata."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start", help="a shipped model's name, or a file")
    parser.add_argument("end", help="the same, of the same network")
    parser.add_argument("--part", type=float, required=True, help="of the way: 0 start, 1 end")
    parser.add_argument("--protocol", choices=PROTOCOLS, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    start, end = (load_bundle(resolve(name)) for name in (options.start, options.end))
    if start.graph.to_json() != end.graph.to_json():
        parser.error(f"{options.start} and {options.end} are not of the same network")
    tensors = {
        name: (
            (1 - options.part) * start.tensors[name].astype(np.float32)
            + options.part * x.astype(np.float32)
        ).astype(x.dtype)
        for name, x in end.tensors.items()
    }
    mixed = replace(end, tensors=tensors)
    protocol = PROTOCOLS[options.protocol].at(end.graph.scale)
    paths = [found.source for found in in_folder(protocol.folder(None)).pictures]
    with TemporaryDirectory() as folder:
        save_bundle(mixed, file := Path(folder) / options.output.name)
        with imagen_fast.load(file, precision="fp32") as engine:
            quality = mean([score.model for score in evaluate(paths, protocol, engine)])
    training = json.loads(end.metadata.get("training", "{}"))
    for measured in ("loss", "pixel", "adversarial", "features", "discriminator", "penalty"):
        training.pop(measured, None)  # of the weights at the end of the way
    training |= {"mixed": options.part, "mixed_with": Path(options.start).stem}
    training |= {"validation": options.protocol, **asdict(quality)}
    metadata = end.metadata | {"training": json.dumps(training, sort_keys=True)}
    save_bundle(replace(mixed, metadata=metadata), options.output)
    print(f"{options.output}: {quality.psnr:.2f} dB ({options.protocol})")


if __name__ == "__main__":
    main()
