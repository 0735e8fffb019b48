"""Training where a machine is at hand for minutes: what comes back."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

from toml_file import write_toml

from imagen_fast.bundle import load_bundle
from imagen_fast.training.config import OptimiserConfig

TRAIN = Path(__file__).parents[2] / "benchmarks" / "train_gpu.sh"


def test_the_schedule_ends_with_the_seconds_and_what_is_known_comes_back(tables, tmp_path):
    tables["run"] |= {"steps": 10**6, "output": "elsewhere"}
    tables["data"] |= {"validation": tables["data"]["train"], "batch": 2}
    config, out = write_toml(tmp_path / "run.toml", tables), tmp_path / "out"
    environment = {**os.environ, "PYTHON": sys.executable, "COMMIT": "abc1234"}
    line = [TRAIN, config, out, "--seconds", "8", "--set", "data.batch=4"]
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "train.json").read_text())["machine"]["commit"] == "abc1234"
    with (out / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["step"] == "1"  # whether things come back is known early
    assert 8 <= float(rows[-1]["seconds"]) < 30
    # The cosine's end; on a busy machine no step may be near the peak itself.
    assert float(rows[-1]["lr"]) < 0.03 * OptimiserConfig.lr
    training = json.loads(load_bundle(out / "sr-x2-test.safetensors").metadata["training"])
    assert (training["batch"], training["step"]) == (4, int(rows[-1]["step"]))
    assert not (tmp_path / "elsewhere").exists()
