"""Train for so many seconds, all told, on a GPU that is rented by the minute.

    python -m on_gpu.train CONFIG OUT [--seconds 420] [--set SECTION.KEY=VALUE ...]

Whatever CONFIG says of its length: the learning rate falls to its end within what is left when
the pictures are read. Every minute OUT gets the weights so far, curves.csv, and train.json with
the machine, the commit and what was known when; everything else stays in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from imagen_fast.bench import gpu, machine
from imagen_fast.training.config_file import load_config
from imagen_fast.training.display import Lines
from imagen_fast.training.interrupt import Interrupt
from imagen_fast.training.processes import Processes
from imagen_fast.training.result import bundle_path
from imagen_fast.training.trainer import Trainer
from imagen_fast.training.validation import validate
from on_gpu.clock import Clock

BATCH = 64  # patches of a step, enough work for a large GPU
EVERY = 60.0  # seconds between two savings
RESERVE = 10.0  # seconds for the last one


class Rented(Trainer):
    """Leaves what outlasts the machine in a folder, each time that it saves."""

    out: Path
    clock: Clock

    def save(self) -> None:
        """See `Trainer.save`."""
        super().save()
        for path in (bundle_path(self.config), self.output / "curves.csv"):
            temporary = self.out / f"{path.name}.part"
            shutil.copyfile(path, temporary)
            temporary.replace(self.out / path.name)
        quality = ""
        if self.held_out and not self.config.generation:
            psnr, ssim = validate(self.average, self.held_out, self.processes.device)
            quality = f", PSNR {psnr:.2f} dB, SSIM {ssim:.4f}"
        loss = self.facts.get("loss", math.nan)
        self.clock.tell(f"step {self.step}: loss {loss:.5f}{quality}; weights in {self.out.name}")
        facts: dict[str, Any] = {"machine": machine.describe() | {"commit": os.environ["COMMIT"]}}
        facts |= {"gpu": gpu.state(), "told": self.clock.told}
        (self.out / "train.json").write_text(json.dumps(facts, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=420)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    options = parser.parse_args()
    clock = Clock()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        config = load_config(
            options.config,
            [f"data.batch={BATCH}", *options.overrides],
            {"output": name, "steps": 0, "minutes": options.seconds / 60,
             "checkpoint_every": 10**9, "checkpoint_seconds": EVERY},
        )  # fmt: skip
        trainer = Rented(config, Processes(config.run.device, 1), Lines(), None)
        trainer.out, trainer.clock = options.out.resolve(), clock
        # However long reading took, a little, so that something comes back.
        minutes = max(1.0, options.seconds - RESERVE - clock.seconds) / 60
        trainer.schedule = replace(trainer.schedule, minutes=minutes)
        clock.tell(f"{trainer.data.photographs} pictures are read; {minutes:.2f} minutes to train")
        with Interrupt() as interrupt:
            outcome = trainer.run(interrupt, math.inf)
    clock.tell(f"{'finished' if outcome.finished else 'stopped'} at step {outcome.step}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
