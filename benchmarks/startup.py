"""How long the command and the package take to start, and to enlarge a picture of 256×256, against
importing torch.

Each is a fresh Python process; they run in turns, so that a busy machine slows all alike, and
the median counts. Prints the ratios and writes benchmarks/results/startup.json.

    python benchmarks/startup.py [ROUNDS]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from imagen_fast.bench.machine import describe

RESULT = Path(__file__).parent / "results" / "startup.json"
BASELINE = "import torch"
COMMANDS = {
    BASELINE: ["-c", "import torch"],
    "imagen-fast --help": ["-m", "imagen_fast", "--help"],
    "import imagen_fast": ["-c", "import imagen_fast"],
    "upscale of 256×256": ["-m", "imagen_fast", "upscale", "small.png", "--overwrite"],
    "python alone": ["-c", "pass"],
}
PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "photographs" / "osprey.png"


def main() -> None:
    """Time all of `COMMANDS` in turns, print and keep the result."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        Image.open(PHOTOGRAPH).convert("RGB").resize((256, 256)).save(Path(folder) / "small.png")
        for _ in range(rounds + 1):
            for name, arguments in COMMANDS.items():
                command = [sys.executable, *arguments]
                start = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, timeout=300, cwd=folder)
                times[name].append(time.perf_counter() - start)
    # The first round reads the files from disk, and is left out.
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    ratios = {name: value / medians[BASELINE] for name, value in medians.items()}
    for name, value in medians.items():
        print(f"{name:20}  {value * 1e3:7.1f} ms  {ratios[name]:.3f} of {BASELINE}")
    record = {
        "rounds": rounds,
        "baseline": BASELINE,
        "median_ms": {name: round(value * 1e3, 1) for name, value in medians.items()},
        "ratio": {name: round(value, 4) for name, value in ratios.items()},
        "machine": describe(),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
