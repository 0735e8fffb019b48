"""The most memory that enlarging one picture takes, from file to file.

A fresh process runs `imagen_fast.upscale` on a photograph stretched to WIDTH × HEIGHT; its
peak resident memory (everything: Python, PyTorch, the picture, the tiles) is what the kernel
counted. The target is at most the output's bytes + 1.5 GB. Writes
benchmarks/results/memory-WIDTHxHEIGHT-BACKEND-PRECISION.json.

    python benchmarks/memory.py [--width 6000] [--height 4000] [--precision bf16] ...

With `--capacity` it measures what the backend (eager or onnxruntime) takes for one tile instead:
bytes per input pixel and channel, from which its module knows how much fits.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from imagen_fast.bench.machine import describe

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("IMAGEN_FAST_DATA", Path(__file__).parents[2] / "shared/data"))
TARGET = 1.5e9

UPSCALE = """
import json, sys
import imagen_fast
source, target, scale, options = sys.argv[1:]
imagen_fast.upscale(source, int(scale), output=target, **json.loads(options))
"""

CAPACITY = """
import resource, sys
from imagen_fast.backends import backend_class
from imagen_fast.bundle import Bundle
from imagen_fast.models.generator import Generator
from imagen_fast.spec import preset
spec, side = preset(sys.argv[1]), int(sys.argv[2])
weights = {name: value.numpy() for name, value in Generator(spec).state_dict().items()}
backend = backend_class(sys.argv[4])(Bundle(spec, weights), device="cpu", precision=sys.argv[3])
backend.prepare((1, 32, 32))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
backend.prepare((1, side, side))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((peak - before) * 1024 / side**2 / spec.levels[0].channels)
"""


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=6000)
    parser.add_argument("--height", type=int, default=4000)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--backend", default="eager")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--tile", type=int, default=0)
    parser.add_argument("--capacity", action="store_true")
    arguments = parser.parse_args()
    if arguments.capacity:
        measure_capacity(arguments.backend)
    else:
        measure_picture(arguments)


def measure_picture(arguments: argparse.Namespace) -> None:
    """Enlarge one picture in a process of its own and keep what it took."""
    width, height, scale = arguments.width, arguments.height, arguments.scale
    options = {name: getattr(arguments, name) for name in ("backend", "precision", "tile")}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.png", Path(folder) / "out.png"
        photograph(width, height).save(source, compress_level=1)
        command = [sys.executable, "-c", UPSCALE, source, target, str(scale), json.dumps(options)]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
        file_bytes = target.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    output = width * height * scale**2 * 3
    record = {
        "width": width,
        "height": height,
        "scale": scale,
        **options,
        "peak_bytes": peak,
        "output_bytes": output,
        "beyond_output_bytes": peak - output,
        "target_met": peak <= output + TARGET,
        "seconds": round(seconds, 1),
        "file_bytes": file_bytes,
        "machine": describe(),
    }
    print(json.dumps(record, indent=1))
    RESULTS.mkdir(exist_ok=True)
    name = f"memory-{width}x{height}-{arguments.backend}-{arguments.precision}.json"
    (RESULTS / name).write_text(json.dumps(record, indent=1) + "\n")


def photograph(width: int, height: int) -> Image.Image:
    """The first photograph of the training set, stretched; a gradient where it is absent."""
    paths = sorted((DATA / "train/photos_cc0").glob("*.jpg"))
    if paths:
        with Image.open(paths[0]) as image:
            return image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    return Image.fromarray(np.broadcast_to(ramp[None, :, None], (height, width, 3)).copy())


def measure_capacity(backend: str) -> None:
    """Print a tile's bytes per input pixel and channel of the finest level."""
    for preset in ("tiny", "small", "base"):
        for precision in ("fp32", "fp16" if backend == "onnxruntime" else "bf16"):
            command = [sys.executable, "-c", CAPACITY, preset, "256", precision, backend]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{preset:6} {precision}  {float(done.stdout):5.1f}")


if __name__ == "__main__":
    main()
