"""Runs that are finished, or were never here, go on with a new schedule."""

import json

import numpy as np
import pytest
from training_run import curves, run

from imagen_fast import catalogue
from imagen_fast.bundle import load_bundle
from imagen_fast.errors import TrainingError
from imagen_fast.training.schedule import rate


@pytest.mark.parametrize("adversarial", [False, True])
def test_a_finished_run_is_extended_with_a_new_schedule(tables, output, capsys, adversarial):
    if adversarial:
        tables["adversarial"] = {"depth": 1}
    tables["run"]["steps"] = 8
    first = load_bundle(run(tables).bundle)
    tables["run"]["steps"] = 4
    tables["optimiser"]["warmup"] = 2
    outcome = run(tables, extend=True, pause_after=0)
    assert (outcome.step, outcome.finished) == (9, False)
    assert "extending the run that ended at step 8" in capsys.readouterr().err
    assert run(tables, resume=True, extend=True).step == 12  # as it was: not extended again
    assert "extending" not in capsys.readouterr().err
    rates = [float(r) for (r,) in curves(output, "lr")]
    expected = [1e-3 * rate(step, step / 4, 2) for step in range(4)]
    assert rates[8:] == pytest.approx(expected, rel=1e-4)
    losses = [float(x) for (x,) in curves(output, "loss")]
    assert losses[8] < losses[0]  # it goes on from what it has learnt
    facts = json.loads(load_bundle(outcome.bundle).metadata["training"])
    assert (facts["step"], json.loads(first.metadata["training"])["step"]) == (12, 8)
    assert run(tables, resume=True, extend=True).step == 16  # finished: once more


def test_a_run_that_is_not_finished_is_not_extended(tables, output):
    run(tables, pause_after=0)
    before = (output / "checkpoint.pt").read_bytes()
    with pytest.raises(TrainingError, match=r"stopped at step 1, before its end.*\(--resume\)"):
        run(tables, extend=True)
    assert (output / "checkpoint.pt").read_bytes() == before


def test_weights_are_extended_where_there_is_no_run(tables, tmp_path, monkeypatch):
    tables["run"]["steps"] = 20
    first = run(tables).bundle
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / first.name).write_bytes(first.read_bytes())
    # what the configuration begins with is of another architecture, as in configs/video-x4.toml
    tables["model"]["warm_start"] = str(catalogue.FOLDER / "sr-x4-tiny.safetensors")
    monkeypatch.setattr(catalogue, "FOLDER", shipped)
    tables["run"] |= {"steps": 3, "output": str(tmp_path / "more")}
    tables["optimiser"] = {"lr": 0, "muon_lr": 0}
    second = load_bundle(run(tables, extend=True, pause_after=0).bundle)
    for name, tensor in load_bundle(first).tensors.items():
        np.testing.assert_array_equal(second.tensors[name], tensor)
    run(tables, resume=True)
    facts = json.loads(load_bundle(tmp_path / "more" / first.name).metadata["training"])
    assert (facts["step"], facts["warm_start"]) == (3, "sr-x2-test")

    # without the checkpoint the folder's own weights are nearer than the shipped ones
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (tmp_path / "more" / name).unlink()
    run(tables, extend=True)
    facts = json.loads(load_bundle(tmp_path / "more" / first.name).metadata["training"])
    assert facts["warm_start"] == first.name


def test_what_cannot_be_extended_is_told(tables, output, tmp_path):
    with pytest.raises(TrainingError, match=r"nothing to extend: .*no shipped model is called sr-"):
        run(tables, extend=True)
    tables["model"] |= {"name": "sr-x2", "size": "tiny"}
    with pytest.raises(TrainingError, match=r"sr-x2-tiny cannot be extended .* its spec is "):
        run(tables, extend=True)
    assert not output.exists()
