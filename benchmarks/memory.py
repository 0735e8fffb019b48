"""The most memory that enlarging one picture takes, from file to file.

    python benchmarks/memory.py [--width 6000] [--height 4000] [--precision bf16] ...

A fresh process runs `imagen-fast upscale` on a photograph stretched to WIDTH × HEIGHT; its peak
resident memory (everything: Python, the engine, the picture, the tiles) is what the kernel counted.
Prints it and keeps it in benchmarks/results/memory-WIDTHxHEIGHT-BACKEND-PRECISION[-MODEL].json.

With `--capacity` it measures what the backend (eager or onnxruntime) takes for one tile instead:
bytes per input pixel and channel of the widest value, from which its module knows how much fits.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from imagen_fast.bench import machine, record

RESULTS = Path(__file__).parent / "results"
PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "photographs" / "osprey.png"
CAPACITY = """
import resource, sys
from imagen_fast.backends import backend_class
from imagen_fast.backends.memory import widest
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
print((peak - before) * 1024 / side**2 / widest(backend.graph))
"""


def picture(options: argparse.Namespace) -> None:
    """Enlarge one picture in a process of its own and keep what it took."""
    load, size = machine.load(), (options.width, options.height)
    chosen = {name: getattr(options, name) for name in ("model", "backend", "precision", "tile")}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.png"
        Image.open(PHOTOGRAPH).convert("RGB").resize(size).save(source, compress_level=1)
        line = [sys.executable, "-m", "imagen_fast", "upscale", source, "-s", str(options.scale)]
        for name, value in chosen.items():
            line += [f"--{name}", str(value)] if value else []
        start = time.perf_counter()
        subprocess.run(line, check=True)
        seconds = round(time.perf_counter() - start, 1)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    row = {**chosen, "width": size[0], "height": size[1], "scale": options.scale}
    row |= {"peak_bytes": peak, "seconds": seconds}
    row["output_bytes"] = size[0] * size[1] * options.scale**2 * 3
    print(json.dumps(row))
    parts = ["memory", f"{size[0]}x{size[1]}", options.backend, options.precision]
    name = "-".join([*parts, *([Path(options.model).stem] if options.model else [])])
    made = record.record("python benchmarks/memory.py", [row], (load, machine.load()))
    record.write(made, RESULTS / f"{name}.json")


def capacity(backend: str) -> None:
    """Print a tile's bytes per input pixel and channel of the widest value."""
    for preset in ("tiny", "small", "base"):
        for precision in ("fp32", "fp16" if backend == "onnxruntime" else "bf16"):
            command = [sys.executable, "-c", CAPACITY, preset, "256", precision, backend]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{preset:6} {precision}  {float(done.stdout):5.1f}")


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("width", 6000), ("height", 4000), ("scale", 4), ("tile", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--model", help="file or name; by default the one for the scale")
    parser.add_argument("--backend", default="native")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--capacity", action="store_true")
    options = parser.parse_args()
    capacity(options.backend) if options.capacity else picture(options)


if __name__ == "__main__":
    main()
