"""Train for so many seconds, on a GPU that is rented by the minute.

    python -m on_gpu.train CONFIG OUT [--seconds 420] [--set SECTION.KEY=VALUE ...]

Whatever CONFIG says of its length: the learning rate falls to its end within the seconds, reading
the pictures left out. OUT gets what `imagen-fast train` writes, after the first step and every
minute, and train.json with machine and commit.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from imagen_fast.bench import gpu, machine
from imagen_fast.training.config_file import load_config
from imagen_fast.training.trainer import train

BATCH = 64  # patches of a step, enough work for a large GPU


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=420)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    facts = {"machine": machine.describe() | {"commit": os.environ["COMMIT"]}, "gpu": gpu.state()}
    (options.out / "train.json").write_text(json.dumps(facts, indent=1) + "\n")
    length = {"output": str(options.out), "steps": 0, "minutes": options.seconds / 60}
    train(load_config(options.config, [f"data.batch={BATCH}", *options.overrides], length))


if __name__ == "__main__":
    main()
