import signal
from pathlib import Path

import pytest
from click.testing import CliRunner
from signals import signal_after_first_step
from toml_file import write_toml

from imagen_fast.cli import main

ROOT = Path(__file__).parents[2]


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


def test_ctrl_c_saves_and_exits_as_shells_expect(tables, tmp_path):
    config = write_toml(tmp_path / "run.toml", tables)
    with signal_after_first_step(tmp_path / "run", signal.SIGINT):
        result = invoke(config, "--steps", "1000000")
    assert result.exit_code == 130
    assert "--resume goes on" in result.stderr
    assert (tmp_path / "run" / "checkpoint.pt").exists()
