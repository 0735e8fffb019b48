"""How long the command and the package take to start, and to enlarge a picture of 256×256, beside
importing torch.

    python benchmarks/startup.py [ROUNDS]

Each is a fresh Python process; they run in turns. Prints the times and keeps them in
benchmarks/results/startup.json.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from PIL import Image

from imagen_fast.bench import machine, record, table
from imagen_fast.bench.timing import Summary, in_turns, once

HERE = Path(__file__).parent
COMMANDS = {
    "import torch": ["-c", "import torch"],
    "imagen-fast --help": ["-m", "imagen_fast", "--help"],
    "import imagen_fast": ["-c", "import imagen_fast"],
    "upscale of 256×256": ["-m", "imagen_fast", "upscale", "small.png", "--overwrite"],
    "python alone": ["-c", "pass"],
}

if __name__ == "__main__":
    rounds, load = int([*sys.argv, 9][1]), machine.load()
    photograph = Image.open(HERE.parent / "examples" / "photographs" / "osprey.png").convert("RGB")
    with tempfile.TemporaryDirectory() as folder:
        photograph.resize((256, 256)).save(Path(folder) / "small.png")
        how = {"check": True, "capture_output": True, "timeout": 300, "cwd": folder}
        runs = {name: partial(subprocess.run, [sys.executable, *line], **how)
                for name, line in COMMANDS.items()}  # fmt: skip
        for run in runs.values():
            run()  # reads the files from disk, and does not count
        times = in_turns({name: once(run) for name, run in runs.items()}, 0, least=rounds)
    base = Summary.of(times["import torch"]).p50
    rows = [
        {"runtime": name, "samples_ms": taken, "times": Summary.of(taken).p50 / base}
        for name, taken in times.items()
    ]
    table.show(rows)
    made = record.record(f"python benchmarks/startup.py {rounds}", rows, (load, machine.load()))
    record.write(made, HERE / "results" / "startup.json")
