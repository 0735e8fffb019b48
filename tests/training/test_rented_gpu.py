"""Training where a machine is at hand for minutes: what comes back."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toml_file import write_toml

from imagen_fast.bundle import load_bundle
from imagen_fast.training.config import OptimiserConfig
from imagen_fast.training.schedule import rate

TRAIN = Path(__file__).parents[2] / "benchmarks" / "train_gpu.sh"


def test_the_schedule_ends_with_the_minutes_and_what_is_known_comes_back(tables, tmp_path):
    tables["run"] |= {"steps": 10**6, "output": "elsewhere"}
    tables["data"] |= {"validation": tables["data"]["train"], "batch": 2}
    config, out = write_toml(tmp_path / "run.toml", tables), tmp_path / "out"
    environment = {**os.environ, "PYTHON": sys.executable, "COMMIT": "abc1234"}
    line = [TRAIN, config, "-o", out, "--minutes", "0.25", "--set", "data.batch=4"]
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with (out / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["step"] == "1"  # whether things come back is known early
    before, last = rows[-2:]
    assert 15 <= float(last["seconds"]) < 60
    # However long a step takes on a busy machine, each begins where the cosine then is.
    now = rate(int(before["step"]), float(before["seconds"]) / 15, tables["optimiser"]["warmup"])
    assert float(last["lr"]) == pytest.approx(now * OptimiserConfig.lr, rel=1e-3)
    training = json.loads(load_bundle(out / "sr-x2-test.safetensors").metadata["training"])
    assert (training["batch"], training["step"]) == (4, int(rows[-1]["step"]))
    assert not (tmp_path / "elsewhere").exists()
