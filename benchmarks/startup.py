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

RESULT = Path(__file__).parent / "results" / "startup.json"
PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "photographs" / "osprey.png"
COMMANDS = {
    "import torch": ["-c", "import torch"],
    "imagen-fast --help": ["-m", "imagen_fast", "--help"],
    "import imagen_fast": ["-c", "import imagen_fast"],
    "upscale of 256×256": ["-m", "imagen_fast", "upscale", "small.png", "--overwrite"],
    "python alone": ["-c", "pass"],
}


def main() -> None:
    rounds, load = int(sys.argv[1]) if len(sys.argv) > 1 else 9, machine.load()
    with tempfile.TemporaryDirectory() as folder:
        Image.open(PHOTOGRAPH).convert("RGB").resize((256, 256)).save(Path(folder) / "small.png")
        runs = {
            name: partial(subprocess.run, [sys.executable, *arguments], check=True,
                          capture_output=True, timeout=300, cwd=folder)
            for name, arguments in COMMANDS.items()
        }  # fmt: skip
        for run in runs.values():
            run()  # reads the files from disk, and does not count
        times = in_turns({name: once(run) for name, run in runs.items()}, 0, least=rounds)
    base = Summary.of(times["import torch"]).p50
    rows = [
        {"runtime": name, "samples_ms": times[name], "times": Summary.of(times[name]).p50 / base}
        for name in COMMANDS
    ]
    table.show(rows)
    command = f"python benchmarks/startup.py {rounds}"
    record.write(record.record(command, rows, (load, machine.load())), RESULT)


if __name__ == "__main__":
    main()
