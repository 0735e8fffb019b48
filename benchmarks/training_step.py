"""What a training step takes, by the engine's kernels and by PyTorch as it is.

    python benchmarks/training_step.py CONFIG [--set SECTION.KEY=VALUE …] -o OUT

Writes OUT/training_step.json. Times are of the processor, on one thread: the least and the median
of steps that are made in turns. With --compiled `torch.compile` takes its turns as well; it needs
minutes before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from imagen_fast.bench.machine import describe
from imagen_fast.training.config import Config
from imagen_fast.training.config_file import load_config
from imagen_fast.training.display import choose_display
from imagen_fast.training.pictures import read_pictures
from imagen_fast.training.processes import Processes
from imagen_fast.training.trainer import Trainer

WARM_UP = 3  # steps of each that do not count


def config_of(arguments: argparse.Namespace, compile: str, folder: str) -> Config:
    """The configuration, with a way to compute the network."""
    own = ["run.device=cpu", f"run.compile={compile}", f"run.output={folder}"]
    return load_config(arguments.config, [*arguments.set, *own])


def main() -> None:
    """Measure, keep and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    ways = {"kernels": "auto", "PyTorch": "false"}
    if arguments.compiled:
        ways["torch.compile"] = "true"
    taken: dict[str, list[float]] = {name: [] for name in ways}
    with TemporaryDirectory() as folder, choose_display(0) as display:
        configs = {name: config_of(arguments, way, folder) for name, way in ways.items()}
        pictures = read_pictures(configs["PyTorch"], display.say, validate=False)
        trainers = {
            name: Trainer(config, Processes("cpu", 1), display, None, pictures)
            for name, config in configs.items()
        }
        for _ in range(WARM_UP + arguments.turns):
            for name, trainer in trainers.items():
                start = time.process_time()
                rates = [0.0] * len(trainer.method.optimisers)
                trainer.update(0, trainer.data.draw(), rates, 1.0)
                taken[name].append(1e3 * (time.process_time() - start))
    milliseconds: dict[str, Any] = {
        name: {"least": round(min(times), 1), "median": round(statistics.median(times), 1)}
        for name, times in ((name, times[WARM_UP:]) for name, times in taken.items())
    }
    result = {"machine": describe(), "config": str(arguments.config), "set": arguments.set}
    result["milliseconds"] = milliseconds
    (arguments.output / "training_step.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(milliseconds, indent=2))


if __name__ == "__main__":
    main()
