"""Training where a machine is at hand for minutes: what is carried there, and what comes back."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toml_file import write_toml

from imagen_fast.bundle import load_bundle
from imagen_fast.training.config import OptimiserConfig

ROOT = Path(__file__).parents[2]
TRAIN = ROOT / "benchmarks" / "train_gpu.sh"
PACK = ROOT / "benchmarks" / "pack_pictures.py"


def test_the_schedule_ends_with_the_seconds_and_what_is_known_comes_back(tables, tmp_path):
    tables["run"] |= {"steps": 10**6, "output": "elsewhere"}
    tables["data"] |= {"validation": tables["data"]["train"], "batch": 2}
    config, out = write_toml(tmp_path / "run.toml", tables), tmp_path / "out"
    environment = {**os.environ, "PYTHON": sys.executable, "COMMIT": "abc1234"}
    line = [TRAIN, config, out, "--seconds", "30", "--set", "data.batch=4"]
    start = time.monotonic()
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 90
    bundle = out / "sr-x2-test.safetensors"
    assert {x.name for x in out.iterdir()} == {bundle.name, "curves.csv", "train.json"}
    facts = json.loads((out / "train.json").read_text())
    assert facts["machine"]["commit"] == "abc1234"
    assert "pictures are read" in facts["told"][0]
    assert "step 1: " in facts["told"][1]  # whether things come back is known early
    assert "PSNR" in facts["told"][-1]
    with (out / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    rates = [float(row["lr"]) for row in rows]
    # The cosine's end; on a busy machine no step may be near the peak itself.
    assert rates[-1] < 0.03 * OptimiserConfig.lr
    training = json.loads(load_bundle(bundle).metadata["training"])
    assert training["batch"] == 4
    assert training["step"] == int(rows[-1]["step"])
    assert not (tmp_path / "elsewhere").exists()


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    for name, size in [("test/set5/baby.png", 300), ("test/bsd100/b.jpg", 10),
                       ("train/photographs.tsv", 10), ("train/screens/s.png", 100),
                       *((f"train/photos/{i}.jpg", 100) for i in range(20))]:  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(size))
    return folder


def packed(data, target, size):
    line = [sys.executable, PACK, data, target, "--mib", str(size / 2**20)]
    return subprocess.run(line, capture_output=True, text=True)


def test_pictures_that_fit_are_carried_as_they_are(data, tmp_path):
    done = packed(data, tmp_path / "small", 1050)
    assert done.returncode == 0, done.stderr
    found = {x.relative_to(tmp_path / "small"): x for x in (tmp_path / "small").rglob("*.*")}
    assert len(found) == 1 + 7
    assert Path("test/set5/baby.png") in found
    assert all(x.read_bytes() == (data / name).read_bytes() for name, x in found.items())
    assert packed(data, tmp_path / "again", 1050).returncode == 0
    again = {x.relative_to(tmp_path / "again") for x in (tmp_path / "again").rglob("*.*")}
    assert again == found.keys()
    packed(data, tmp_path / "all", 10**6)
    everything = {str(x.relative_to(tmp_path / "all")) for x in (tmp_path / "all").rglob("*.*")}
    assert len(everything) == 22
    assert not {x for x in everything if "bsd100" in x or x.endswith(".tsv")}


def test_a_folder_that_is_there_is_not_written_to(data, tmp_path):
    (tmp_path / "there").mkdir()
    done = packed(data, tmp_path / "there", 1000)
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert not list((tmp_path / "there").iterdir())


def test_no_room_or_no_pictures_is_said(data, tmp_path):
    for folder, size in ((data, 200), (tmp_path / "nowhere", 1000)):
        done = packed(folder, tmp_path / "target", size)
        assert done.returncode == 1
        assert str(folder) in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "target").exists()
