import json
import re
import signal

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from signals import signal_after_first_step
from toml_file import write_toml

from imagen_fast.bundle import Bundle, load_bundle, save_bundle
from imagen_fast.cli import main
from imagen_fast.spec import preset
from imagen_fast.training import finetune


def invoke(*arguments):
    return CliRunner().invoke(main, ["train", *arguments])


def test_it_trains_and_says_where_the_weights_are(tables, tmp_path):
    config = write_toml(tmp_path / "run.toml", tables)
    result = invoke(config, "--steps", "2", "-o", str(tmp_path / "here"))
    assert result.exit_code == 0, result.output
    bundle = tmp_path / "here" / "sr-x2-test.safetensors"
    assert f"trained for 2 steps: {bundle}" in result.stdout
    assert bundle.exists()


def test_minutes_replace_the_files_steps_and_a_pause_is_no_failure(tables, tmp_path):
    config = write_toml(tmp_path / "run.toml", tables)
    result = invoke(config, "--minutes", "60", "--pause-after", "0", "--set", "data.batch=2")
    assert result.exit_code == 0, result.output
    assert "stopped at step 1; --resume goes on" in result.stderr


def test_an_output_folder_may_be_called_like_a_date_or_a_number(tables, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("2026-11-23", "2024"):
        config = write_toml(tmp_path / "run.toml", tables)
        result = invoke(config, "--steps", "1", "-o", name)
        assert result.exit_code == 0, result.output
        assert (tmp_path / name / "sr-x2-test.safetensors").exists()


def finetuned(model, folder, output, *options):
    return invoke("--from", str(model), "--pictures", str(folder), "-o", str(output), *options)


@pytest.fixture
def model(tables, tmp_path):
    """Weights that have learned next to nothing."""
    config = write_toml(tmp_path / "run.toml", tables)
    assert invoke(config, "--steps", "1", "-o", str(tmp_path / "start")).exit_code == 0
    return tmp_path / "start" / "sr-x2-test.safetensors"


@pytest.fixture
def larger(tmp_path):
    """Twelve pictures, large enough for patches of 48, of which two are held out."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        coarse.resize((100, 98), Image.Resampling.BICUBIC).save(folder / f"{i:02}.png")
    return folder


def test_a_model_is_trained_on_pictures_without_a_configuration(model, larger, tmp_path):
    output = tmp_path / "mine.safetensors"
    result = finetuned(model, larger, output, "--steps", "12")
    assert result.exit_code == 0, result.output
    assert "held out of 12 pictures: 00.png, 10.png" in result.stderr
    assert f"results in {output}\n" in result.stderr
    before, after = map(float, re.findall(r"from (\S+) to (\S+) dB", result.stdout)[0])
    assert after > before
    assert f"before: {before:.2f} dB" in result.stderr
    assert "gain " in result.stderr
    bundle = load_bundle(output)
    training = json.loads(bundle.metadata["training"])
    assert training["pictures"]["pictures"] == [f"{i:02}.png" for i in range(12) if i % 10]
    assert training["psnr"] == pytest.approx(after, abs=0.01)
    assert bundle.metadata["name"] == "mine"
    with Image.open(tmp_path / "mine.png") as page:
        assert page.size == (3 * 2 * (96 + 2), 2 * 2 * (96 + 2))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "mine.png",
        "mine.safetensors",
        "run.toml",
    ]


def test_what_became_worse_is_not_kept(model, larger, tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "validate", lambda *how: (99.0, 1.0))
    result = finetuned(model, larger, tmp_path / "mine.safetensors", "--steps", "1")
    assert result.exit_code == 0, result.output
    assert "nothing was gained (99.00 to " in result.stdout
    for name, tensor in load_bundle(tmp_path / "mine.safetensors").tensors.items():
        np.testing.assert_array_equal(tensor, load_bundle(model).tensors[name])


def test_a_model_that_repairs_is_trained_on_the_same_degradations(tables, larger, tmp_path):
    tables["model"] |= {"scale": 1}
    tables["degradation"] = {"noise": 1.0, "jpeg": 0.0}
    config = write_toml(tmp_path / "run.toml", tables)
    assert invoke(config, "--steps", "1", "-o", str(tmp_path / "start")).exit_code == 0
    output = tmp_path / "mine.safetensors"
    start = tmp_path / "start" / "sr-x2-test.safetensors"
    older = start.read_bytes().replace(b'\\"alone\\"', b'\\"holes\\"')  # a kind that is no more
    assert older != start.read_bytes()
    start.write_bytes(older)
    result = finetuned(start, larger, output, "--steps", "1")
    assert result.exit_code == 0, result.output
    degradation = json.loads(load_bundle(output).metadata["training"])["degradation"]
    assert (degradation["noise"], degradation["jpeg"]) == (1.0, 0.0)


def test_what_cannot_be_trained_on(model, larger, photographs, tmp_path):
    output = tmp_path / "mine.safetensors"
    assert invoke().exit_code == 2
    assert invoke("--from", str(model)).exit_code == 2
    assert invoke("run.toml", "--from", str(model)).exit_code == 2
    assert finetuned(model, larger, output, "--resume").exit_code == 2
    assert finetuned(model, larger, tmp_path / "folder").exit_code == 2
    (tmp_path / "mine.png").touch()
    assert "mine.png exists; choose" in finetuned(model, larger, output).stderr
    (tmp_path / "mine.png").unlink()
    assert (
        "nowhere is no folder"
        in finetuned(model, larger, tmp_path / "nowhere" / output.name).stderr
    )
    for path in sorted(larger.iterdir())[1:]:
        path.unlink()
    assert "holds one picture to use" in finetuned(model, larger, output).stderr
    save_bundle(Bundle(preset("listing", 1), {}), tmp_path / "listing.safetensors")
    result = finetuned(tmp_path / "listing.safetensors", larger, output)
    assert "of a kind that is not trained here" in result.stderr


def test_wrong_configurations_are_one_line(tables, tmp_path):
    tables["data"]["pach"] = 3
    result = invoke(write_toml(tmp_path / "run.toml", tables))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: [data] has no key 'pach'; its keys are ")
    assert result.stderr.count("\n") == 1
    assert invoke(str(tmp_path / "nowhere.toml")).exit_code == 1
    assert invoke("--steps", "many", "x.toml").exit_code == 2


@pytest.mark.parametrize(
    "options",
    [
        *(
            "--steps 0",
            "--minutes nan",
            "--minutes -1",
            "--pause-after nan",
            "--threads 3000000000",
        ),
        *("--device gpu", "--processes 0", "--set nonsense", "--set optimiser.lr=fast"),
        *("--set run.seed=99999999999999999999", "--set data.batch=0"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_wrong_usage(tables, tmp_path, options):
    config = write_toml(tmp_path / "run.toml", tables)
    result = invoke(config, *options.split())
    assert result.exit_code == 2, result.output
    assert "Error: " in result.stderr
    tables["optimiser"] = {"lr": "fast"}  # and in the file it is the file's
    config = write_toml(tmp_path / "run.toml", tables)
    assert invoke(config, "--set", "data.batch=0").exit_code == 1


def test_a_finished_run_is_extended_by_as_many_steps_as_asked_for(tables, tmp_path):
    config = write_toml(tmp_path / "run.toml", tables)
    assert invoke(config, "--steps", "2").exit_code == 0
    again = invoke(config, "--steps", "2")
    assert again.exit_code == 1
    assert "--extend" in again.stderr
    result = invoke(config, "--steps", "3", "--extend")
    assert result.exit_code == 0, result.output
    assert "trained for 5 steps" in result.stdout
    result = invoke(config, "--steps", "4", "--resume", "--extend")
    assert "trained for 9 steps" in result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_exits_as_shells_expect(tables, tmp_path, number):
    config = write_toml(tmp_path / "run.toml", tables)
    with signal_after_first_step(tmp_path / "run", number):
        result = invoke(config, "--steps", "1000000")
    assert result.exit_code == 128 + number
    assert result.stderr.endswith("interrupted\n")
    assert "--resume goes on" in result.stderr
    assert (tmp_path / "run" / "checkpoint.pt").exists()
