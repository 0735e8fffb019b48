import json
import math
import signal
from itertools import pairwise

import numpy as np
import pytest
import torch
from signals import signal_after_first_step
from training_run import curves, run

import imagen_fast
from imagen_fast import metrics
from imagen_fast.bundle import Bundle, load_bundle, save_bundle
from imagen_fast.errors import TrainingError, WeightsError
from imagen_fast.models.generator import Generator
from imagen_fast.training import supervised
from imagen_fast.training.data import load_pairs


def test_a_seed_gives_the_same_twenty_losses(tables, tmp_path):
    runs = {}
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        tables["run"] |= {"output": str(tmp_path / name), "seed": seed}
        run(tables)
        runs[name] = curves(tmp_path / name, "step", "loss", "pixel", "coarse")
    assert len(runs["one"]) == 20
    assert runs["one"] == runs["two"]
    assert runs["one"][0] != runs["other"][0]


@pytest.mark.parametrize("adversarial", [False, True])
def test_a_paused_run_goes_on_as_if_it_had_not_paused(tables, tmp_path, output, adversarial):
    if adversarial:
        tables["adversarial"] = {"depth": 1, "r1_every": 3}
    tables["run"]["steps"] = 8
    run(tables)
    whole = curves(output, "step", "loss", "pixel", "lr")
    bundle = load_bundle(output / "sr-x2-test.safetensors")

    paused = tmp_path / "paused"
    tables["run"]["output"] = str(paused)
    outcomes = [run(tables, resume=True, pause_after=0) for _ in range(6)]
    assert [outcome.step for outcome in outcomes] == [1, 2, 3, 4, 5, 6]
    outcome = run(tables, resume=True)
    assert outcome.finished
    assert curves(paused, "step", "loss", "pixel", "lr") == whole
    for name, tensor in load_bundle(outcome.bundle).tensors.items():
        np.testing.assert_array_equal(tensor, bundle.tensors[name])


def test_training_makes_better_pictures_than_it_starts_with(tables, output, photographs):
    tables["run"] |= {
        "steps": 60,
        "log_every": 20,
        "log_seconds": 1e6,
        "validate_every": 20,
        "checkpoint_every": 60,
    }
    tables["data"]["validation"] = str(photographs)
    outcome = run(tables)
    rows = curves(output, "step", "psnr", "ssim", "loss")
    assert [row[0] for row in rows] == ["1", "20", "40", "60"]
    rows = rows[1:]
    assert float(rows[2][1]) > float(rows[0][1]) + 0.5
    assert float(rows[2][3]) < float(rows[0][3])

    bundle = load_bundle(outcome.bundle)
    model = Generator(bundle.spec)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in bundle.tensors.items()})
    scores = []
    for low, high in load_pairs(photographs, 2).values():
        with torch.no_grad():
            out = model(torch.from_numpy(low).permute(2, 0, 1)[None] / 255)[0]
        picture = (out.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        scores.append(metrics.luma_psnr(picture, high, 2))
    assert np.mean(scores) == pytest.approx(float(rows[2][1]), abs=0.01)

    facts = json.loads(bundle.metadata["training"])
    assert bundle.metadata["license"] == "Apache-2.0"
    assert (bundle.metadata["name"], bundle.metadata["size"]) == ("sr-x2", "test")
    assert (facts["step"], facts["photographs"]) == (60, 3)
    assert facts["psnr"] == pytest.approx(np.mean(scores), abs=0.01)
    assert facts["versions"]["torch"] == torch.__version__


def test_a_late_stage_takes_larger_batches_and_the_squared_error(tables, output, capfd):
    tables["late"] = {"start": 0.5, "batch": 8}
    tables["loss"] = {"frequency": 0.1}
    whole = run(tables, resume=True)
    assert "from step 10 on: squared error, 8 patches a step" in capfd.readouterr().err
    rows = curves(output, "step", "pixel", "frequency")
    assert [bool(row[2]) for row in rows] == [True] * 10 + [False] * 10
    assert float(rows[10][1]) < float(rows[9][1]) / 3  # squares of numbers below 1
    tensors = load_bundle(whole.bundle).tensors
    tables["run"]["output"] = str(output / "paused")
    for _ in range(3):
        paused = run(tables, resume=True, pause_after=0)
    for name, tensor in load_bundle(run(tables, resume=True).bundle).tensors.items():
        np.testing.assert_array_equal(tensor, tensors[name])
    assert paused.step == 3


def test_restoring_is_validated_on_degraded_pictures(tables, output, photographs):
    tables["model"] |= {"scale": 1, "name": "restore"}
    tables["data"]["validation"] = str(photographs)
    tables["degradation"] = {"grey": 0.0, "noise_sigma": [20, 20], "blur": 0.0, "jpeg": 0.0}
    tables["degradation"] |= {"rescale": 0.0, "noise": 1.0}
    tables["run"] |= {"steps": 60, "validate_every": 60, "log_every": 60, "log_seconds": 1e6}
    facts = json.loads(load_bundle(run(tables).bundle).metadata["training"])
    assert facts["psnr"] > 27  # noise of 20 levels is 22 dB in RGB, 24.6 in Y
    assert facts["degradation"]["noise_sigma"] == [20, 20]


def test_a_finished_file_is_of_halves_where_that_costs_nothing(tables, photographs, monkeypatch):
    tables["data"]["validation"] = str(photographs)
    tables["run"]["steps"] = 2
    kept = load_bundle(run(tables).bundle)
    assert {tensor.dtype for tensor in kept.tensors.values()} == {np.dtype(np.float16)}
    monkeypatch.setattr(supervised, "HALF_COSTS", 0.0)
    tables["run"]["output"] += "-whole"
    whole = load_bundle(run(tables).bundle)
    assert {tensor.dtype for tensor in whole.tensors.values()} == {np.dtype(np.float32)}
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(tensor.astype(np.float16), kept.tensors[name])


def test_weights_list_their_pictures_and_those_of_what_they_began_with(
    tables, photographs, tmp_path
):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "new.png").write_bytes((photographs / "0.png").read_bytes())
    tables["data"]["exclude"] = ["1.*"]
    tables["run"]["steps"] = 1
    first = run(tables).bundle
    assert pictures(first) == {photographs.name: ["0.png", "2.png"]}
    tables["data"] = {"train": str(tmp_path / "more"), "patch": 8, "batch": 4}
    tables["model"]["warm_start"] = str(first)
    tables["run"]["output"] += "-next"
    both = {photographs.name: ["0.png", "2.png"], "more": ["new.png"]}
    assert pictures(run(tables).bundle) == both
    first.unlink()
    tables["run"]["steps"] = 2
    assert pictures(run(tables, resume=True).bundle) == both
    unlisted = load_bundle(tmp_path / "run-next" / "sr-x2-test.safetensors")
    save_bundle(Bundle(unlisted.spec, unlisted.tensors), tmp_path / "other.safetensors")
    tables["model"]["warm_start"] = str(tmp_path / "other.safetensors")
    tables["run"]["output"] += "-last"
    found = pictures(run(tables).bundle)
    assert found == {"more": ["new.png"], "not listed: other.safetensors": []}


def pictures(bundle):
    return json.loads(load_bundle(bundle).metadata["training"])["pictures"]


def test_x3_starts_from_the_x2_model(tables, tmp_path):
    tables["run"]["steps"] = 3
    first = run(tables).bundle
    tables["run"] |= {"output": str(tmp_path / "next"), "steps": 1}
    tables["model"] |= {"scale": 3, "warm_start": str(first), "name": "sr-x3"}
    tables["optimiser"] |= {"lr": 0, "muon_lr": 0}
    second = load_bundle(run(tables).bundle)
    before = load_bundle(first).tensors
    same = {name for name, t in second.tensors.items() if np.array_equal(t, before.get(name))}
    assert set(before) - same == {f"heads.{i}.conv.{p}" for i in (0, 1) for p in ("weight", "bias")}


def test_a_start_that_does_not_fit(tables, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"no")
    tables["model"]["warm_start"] = str(tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=r"x\.safetensors"):
        run(tables)


def test_a_folder_with_a_run_is_not_written_over(tables, output, capsys):
    tables["run"]["steps"] = 2
    run(tables)
    before = (output / "checkpoint.pt").read_bytes()
    with pytest.raises(TrainingError, match=r"holds a run already; go on with it \(--resume\)"):
        run(tables)
    assert (output / "checkpoint.pt").read_bytes() == before
    capsys.readouterr()
    finished = run(tables, resume=True)
    assert "is finished; --extend trains on" in capsys.readouterr().err
    assert (finished.step, finished.finished) == (2, True)
    tables["run"]["steps"] = 5
    assert run(tables, resume=True).step == 5


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("model", {"scale": 3}, "its spec is"),
        ("optimiser", {"name": "adamw"}, "its optimisers is"),
        ("adversarial", {"depth": 1}, "its modules is"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tables, section, change, message):
    tables["run"]["steps"] = 1
    run(tables)
    tables.setdefault(section, {}).update(change)
    with pytest.raises(TrainingError, match=f"is of another run: {message}"):
        run(tables, resume=True)


@pytest.mark.parametrize(
    ("missing", "refused"), [("format", True), ("spec", True), ("name", False)]
)
def test_only_what_earlier_versions_did_not_write_may_be_missing(tables, output, missing, refused):
    tables["run"]["steps"] = 1
    run(tables)
    state = torch.load(output / "checkpoint.pt", weights_only=True)
    del state[missing]
    torch.save(state, output / "checkpoint.pt")
    if refused:
        with pytest.raises(TrainingError, match=f"is of another run: its {missing} is None"):
            run(tables, resume=True)
    else:
        assert run(tables, resume=True).finished


def test_a_run_shows_and_saves_its_first_step_and_then_by_time(tables, output, capsys):
    tables["run"] |= {"steps": 9, "log_every": 1000, "checkpoint_every": 1000}
    tables["run"] |= {"log_seconds": 0, "checkpoint_seconds": 1e6, "compile": False}
    run(tables, pause_after=0)  # one step
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"reading the pictures in {tables['data']['train']}"
    assert lines[1].startswith("training sr-x2-test (")
    assert lines[2].startswith("step 1  loss ")
    saved = (output / "checkpoint.pt").read_bytes()
    assert torch.load(output / "checkpoint.pt", weights_only=True)["step"] == 1
    assert run(tables, resume=True).finished
    assert [s for (s,) in curves(output, "step")] == list("123456789")
    # saved at the first step of each call and at the end: the one before is the resumed one's
    assert torch.load(output / "checkpoint.previous.pt", weights_only=True)["step"] == 2
    assert (output / "checkpoint.previous.pt").read_bytes() != saved


def test_slow_steps_are_saved_by_time(tables, output):
    tables["run"] |= {"steps": 5, "log_every": 1000, "checkpoint_every": 1000}
    tables["run"] |= {"log_seconds": 1e6, "checkpoint_seconds": 0}
    run(tables)
    assert torch.load(output / "checkpoint.previous.pt", weights_only=True)["step"] == 4
    assert [s for (s,) in curves(output, "step")] == list("12345")  # a checkpoint has its row


def test_minutes_end_a_run_too(tables, output, capsys):
    del tables["run"]["steps"]
    tables["run"]["minutes"] = 0.01
    tables["optimiser"]["warmup"] = 0
    assert run(tables).finished
    seconds = [float(s) for (s,) in curves(output, "seconds")]
    assert seconds[-1] >= 0.6 > [0.0, *seconds][-2]  # it ends with the step in which they pass
    rates = [float(r) for (r,) in curves(output, "lr")]
    assert rates[0] == pytest.approx(1e-3, rel=0.01)
    assert all(a > b for a, b in pairwise(rates))
    assert "100.0%" in capsys.readouterr().err.splitlines()[-1]


def test_a_loss_that_is_not_finite_stops_the_run_and_spares_the_checkpoint(tables, output):
    tables["run"] |= {"steps": 1, "checkpoint_every": 1}
    run(tables)
    state = torch.load(output / "checkpoint.pt", weights_only=True)
    next(iter(state["modules"]["generator"].values())).fill_(float("inf"))
    torch.save(state, output / "checkpoint.pt")
    before = (output / "checkpoint.pt").read_bytes()
    tables["run"]["steps"] = 3
    with pytest.raises(TrainingError, match="the loss is not finite at step 2"):
        run(tables, resume=True)
    assert (output / "checkpoint.pt").read_bytes() == before


def test_nothing_to_resume_is_told_and_the_run_begins(tables, output, capsys):
    tables["run"]["steps"] = 1
    assert run(tables, resume=True).step == 1
    assert f"nothing to resume in {output}: the run begins" in capsys.readouterr().err
    run(tables, resume=True)
    assert "nothing to resume" not in capsys.readouterr().err


@pytest.mark.parametrize("adversarial", [False, True])
def test_scale_one_trains(tables, photographs, adversarial):
    if adversarial:
        tables["adversarial"] = {"depth": 1}
    tables["model"] |= {"scale": 1, "name": "restore"}
    tables["data"]["validation"] = str(photographs)
    tables["run"]["steps"] = 3
    path = run(tables).bundle
    bundle = load_bundle(path)
    assert bundle.spec.scale == 1
    assert json.loads(bundle.metadata["training"])["psnr"] > 20
    picture = np.zeros((17, 9, 3), np.uint8)
    with imagen_fast.load(path) as engine:
        assert engine(picture).shape == picture.shape


def test_equal_pictures_leave_the_facts_readable(tables, photographs, monkeypatch):
    monkeypatch.setattr(supervised, "validate", lambda *arguments: (math.inf, 1.0))
    tables["data"]["validation"] = str(photographs)
    tables["run"]["steps"] = 1
    facts = json.loads(load_bundle(run(tables).bundle).metadata["training"], parse_constant=refuse)
    assert "psnr" not in facts
    assert facts["ssim"] == 1.0


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def test_several_folders_are_told_in_the_bundle_and_a_wrong_pattern_in_a_line(
    tables, photographs, tmp_path, capsys
):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "0.png").write_bytes((photographs / "0.png").read_bytes())
    tables["data"]["train"] = [str(photographs), {"folder": str(tmp_path / "more"), "weight": 0.5}]
    tables["data"]["exclude"] = ["1.*", "none.png"]
    tables["run"]["steps"] = 1
    facts = json.loads(load_bundle(run(tables).bundle).metadata["training"])
    assert [(f["folder"], f["weight"]) for f in facts["data"]] == [
        (photographs.name, 1),
        ("more", 0.5),
    ]
    assert facts["photographs"] == 3
    warnings = [x for x in capsys.readouterr().err.splitlines() if x.startswith("warning")]
    assert warnings == ["warning: no picture is called 'none.png', which data.exclude names"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(tables, output, number, capfd):
    tables["run"] |= {"steps": 100_000, "checkpoint_every": 100_000}
    before = signal.getsignal(number)
    with signal_after_first_step(output, number):
        outcome = run(tables)
    assert capfd.readouterr().err.count("stopping after this step") == 1
    assert outcome.interrupted
    assert not outcome.finished
    assert signal.getsignal(number) == before
    last = int(curves(output, "step")[-1][0])
    assert torch.load(output / "checkpoint.pt", weights_only=True)["step"] == outcome.step == last
    assert outcome.bundle.exists()


def test_a_device_that_is_not_here(tables):
    for device in ("cuda:99", "tpu", "mps"):
        tables["run"]["device"] = device
        with pytest.raises(TrainingError, match=device):
            run(tables)


def test_no_row_is_lost_or_doubled_by_half_a_row(tables, output):
    tables["run"]["steps"] = 3
    run(tables)
    with (output / "curves.csv").open("a") as file:
        file.write("4,0.1,0.1\n5,0.")  # what a kill leaves: later rows, and half a row
    tables["run"]["steps"] = 6
    run(tables, resume=True)
    assert [s for (s,) in curves(output, "step")] == list("123456")
