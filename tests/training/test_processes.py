"""Whole processes: killed at any moment, and several sharing one batch."""

import csv
import json
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from toml_file import write_toml

from imagen_fast.bundle import load_bundle
from imagen_fast.training.checkpoint import has_checkpoint
from imagen_fast.training.config_file import parse_config
from imagen_fast.training.trainer import train


def curves(folder):
    with (folder / "curves.csv").open(newline="") as file:
        return [(row["step"], row["loss"], row["pixel"]) for row in csv.DictReader(file)]


def command(*arguments):
    return [sys.executable, "-m", "imagen_fast", "train", *arguments]


def test_a_run_killed_at_any_moment_ends_as_if_it_had_not_been(tables, tmp_path):
    tables["run"] |= {"steps": 30, "checkpoint_every": 1, "threads": 1}
    config = write_toml(tmp_path / "run.toml", tables)
    moments = random.Random(0)
    killed, at = tmp_path / "killed", []
    for _ in range(2):
        process = subprocess.Popen(
            command(config, "--resume", "-o", str(killed)), stderr=subprocess.DEVNULL
        )
        rows = len(curves(killed)) if (killed / "curves.csv").exists() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if has_checkpoint(killed) and len(curves(killed)) > rows + 3:
                break
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        process.wait()
        at.append(len(curves(killed)))
    assert at[0] > 3, at  # it was killed after some steps; how many depends on the machine
    whole = tmp_path / "run"
    train(parse_config(tables))
    tables["run"]["output"] = str(killed)
    train(parse_config(tables), resume=True)
    assert curves(killed) == curves(whole), at
    ours, theirs = (load_bundle(f / "sr-x2-test.safetensors").tensors for f in (killed, whole))
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(ours[name], tensor)


def test_two_processes_train_the_model_that_one_trains(tables, tmp_path):
    pytest.importorskip("lightning_fabric")
    tables["run"] |= {"steps": 3, "threads": 1, "precision": "fp32"}
    config = write_toml(tmp_path / "run.toml", tables)
    one, two = tmp_path / "run", tmp_path / "two"
    train(parse_config(tables))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, "-m", *command(config, "-o", str(two))[2:]],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = (load_bundle(f / "sr-x2-test.safetensors") for f in (two, one))
    assert json.loads(ours.metadata["training"])["processes"] == 2
    for (step, *losses), (other_step, *others) in zip(curves(two), curves(one), strict=True):
        assert step == other_step
        np.testing.assert_allclose(np.float64(losses), np.float64(others), rtol=1e-3)
    for name, tensor in theirs.tensors.items():
        np.testing.assert_allclose(ours.tensors[name], tensor, atol=2e-4)
