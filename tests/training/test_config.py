import runpy
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagen_fast.errors import TrainingError
from imagen_fast.spec import Level, ModelSpec, preset
from imagen_fast.training.config_file import load_config, parse_config
from imagen_fast.training.pictures import read_pictures
from imagen_fast.training.source import Source

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "configs").glob("*.toml"))
OF_TEXTURES = ("texture", "adversarial-long")  # on what examples/cut_textures.py wrote


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_configurations_are_right(path, monkeypatch):
    monkeypatch.setenv("IMAGEN_FAST_DATA", "/photos")
    config = load_config(path)
    folders = [source.folder for source in config.data.train]
    if path.stem in OF_TEXTURES:
        assert folders == [Path("textures/train")]
        assert config.data.validation == Path("textures/held-out")
    else:
        assert Path("/photos/train/photos_cc0") in folders
        assert "budgie_perched-osprey.jpg" in config.data.exclude
    assert config.run.output.name == path.stem
    if not config.model.levels:
        assert config.model.spec == preset(config.model.preset, config.model.scale)


def test_textures_are_not_cut_from_the_photograph_that_make_demo_shows():
    script = runpy.run_path(str(ROOT / "examples" / "cut_textures.py"))
    names = script["PHOTOGRAPHS"].split()
    assert len(names) == 10
    assert "budgie_perched-osprey" not in names


def test_the_configuration_of_one_level_takes_photographs_most_and_screens_sparingly(monkeypatch):
    monkeypatch.setenv("IMAGEN_FAST_DATA", "/photos")
    config = load_config(next(p for p in SHIPPED if p.stem == "sr-x4-tiny"))
    assert config.model.spec == ModelSpec(scale=4, levels=(Level(32, convs=7),))
    shares: Counter[str] = Counter()
    for source in config.data.train:
        shares[source.folder.name] += source.weight
    photographs = shares["photos_2"] + shares["photos_cc0"]
    assert photographs > 3 * shares["illustrations"] > 9 * shares["screens"] > 0
    assert sum(shares.values()) == 100
    assert 10 < sum(source.weight for source in config.data.train if source.reduced) < 30
    names = [f"clipart_{number:03}_x.png" for number in range(1, 174)]
    left = [n for n in names if any(fnmatchcase(n, p) for p in config.data.exclude)]
    assert left == names[8::10]


def test_there_are_shipped_configurations():
    assert {"sr-x4-tiny", "sr-x2-tiny", "adversarial-x4-tiny"} <= {p.stem for p in SHIPPED}


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("data", "pach", 8, r"\[data\] has no key 'pach'; its keys are train, drawn, exclude,"),
        ("data", "patch", "8", "data.patch is '8'; expected a whole number"),
        ("data", "patch", True, "data.patch is True; expected a whole number"),
        ("data", "patch", 7, "data.patch is 7; expected a multiple of 2"),
        ("data", "batch", 0, "data.batch is 0; expected from 1 to 65536"),
        ("data", "train", "", "data.train.folder is ''; expected a path"),
        ("loss", "pixel", "l3", "loss.pixel is 'l3'; expected one of 'l1', 'charbonnier', 'l2'"),
        ("loss", "coarse", -0.5, "loss.coarse is -0.5; expected at least 0"),
        ("optimiser", "lr", float("nan"), "optimiser.lr is nan; expected a number"),
        ("run", "compile", 1, "run.compile is 1; expected one of 'auto', 'kernels', true, false"),
        ("run", "minutes", 3, "one of run.steps and run.minutes"),
        ("run", "steps", 0, "one of run.steps and run.minutes"),
        ("run", "checkpoint_seconds", -1, "run.checkpoint_seconds is -1.0; expected at least 0"),
        ("run", "log_seconds", "1", "run.log_seconds is '1'; expected a number"),
        ("data", "train", [], "data.train is an empty list; expected one folder"),
        ("data", "train", [3], r"\[data.train\] is int; expected a table"),
        ("data", "train", [{"weight": 2}], r"\[data.train\] lacks folder"),
        ("data", "train", [{"folder": "a", "weight": 0}], "gives a the weight 0.0; expected more"),
        ("data", "exclude", [1], "data.exclude is 1; expected text"),
        ("model", "scale", 0, "model.scale is 0; expected from 1 to 4"),
        ("model", "scale", 5, "model.scale is 5; expected from 1 to 4"),
        ("model", "preset", "huge", r"\[model\]: no preset 'huge'"),
        ("model", "preset", "listing", r"\[model\]: a listing has scale 1"),
        ("model", "levels", [{"channels": 31}], "expected a multiple of head_dim"),
        ("model", "levels", [{"chanels": 32}], r"\[model.levels\] has no key 'chanels'"),
        ("model", "levels", 64, "model.levels is 64; expected a list"),
        ("adversarial", "channels", 40, "adversarial.channels is 40; expected a multiple of 32"),
    ],
)
def test_a_wrong_value_is_named(tables, section, key, value, message):
    if key == "preset":
        del tables["model"]["levels"]
    tables.setdefault(section, {})[key] = value
    with pytest.raises(TrainingError, match=message):
        parse_config(tables)


def test_the_listing_is_not_for_training(tables):
    tables["model"] = {"name": "x", "size": "listing", "preset": "listing", "scale": 1}
    with pytest.raises(TrainingError, match=r"expected one of the 'hierarchical' presets"):
        parse_config(tables)


def test_missing_and_unknown_sections_are_named(tables):
    with pytest.raises(TrainingError, match=r"configuration has no key 'modell'"):
        parse_config({**tables, "modell": {}})
    with pytest.raises(TrainingError, match=r"configuration lacks data"):
        parse_config({"model": tables["model"], "run": tables["run"]})
    with pytest.raises(TrainingError, match=r"\[run\] lacks output"):
        parse_config({**tables, "run": {"steps": 1}})
    with pytest.raises(TrainingError, match=r"\[run\] is int; expected a table"):
        parse_config({**tables, "run": 3})


def test_a_variable_that_is_not_set_is_named(tables, monkeypatch):
    monkeypatch.delenv("NO_SUCH_FOLDER", raising=False)
    tables["data"]["train"] = "$NO_SUCH_FOLDER/photos"
    with pytest.raises(TrainingError, match=r"NO_SUCH_FOLDER.*that variable is not set"):
        parse_config(tables)


def test_folders_are_one_path_or_a_list_of_paths_and_tables(tables, monkeypatch):
    monkeypatch.setenv("PHOTOS", "/photos")
    one, two = Source(Path("/photos/a")), Source(Path("b"), 0.5)
    for value, expected in (
        ("$PHOTOS/a", (one,)),
        (["$PHOTOS/a"], (one,)),
        ([{"folder": "$PHOTOS/a"}, {"folder": "b", "weight": 0.5}], (one, two)),
        (["$PHOTOS/a", {"folder": "b", "weight": 0.5}], (one, two)),
    ):
        tables["data"]["train"] = value
        assert parse_config(tables).data.train == expected


def test_a_folder_is_given_twice_as_it_is_and_reduced(tables, tmp_path):
    Image.fromarray(np.zeros((120, 200, 3), np.uint8)).save(tmp_path / "a.png")
    sizes = []
    tables["data"] |= {
        "train": [{"folder": str(tmp_path)}, {"folder": str(tmp_path), "reduced": 60}],
        "patch": 8,
    }
    for folder in read_pictures(parse_config(tables), lambda text: None).train:
        assert folder.name == tmp_path.name
        sizes += [high.shape[:2] for _, high in folder.pairs.values()]
    assert sizes == [(120, 200), (60, 100)]
    tables["data"]["train"][1]["reduced"] = -1
    with pytest.raises(TrainingError, match=r"data\.train\.reduced is -1"):
        parse_config(tables)


@pytest.mark.parametrize("value", ["auto", "kernels", True, False])
def test_compiling_is_wanted_or_not_or_where_it_is_right(tables, value):
    tables["run"]["compile"] = value
    assert parse_config(tables).run.compile is value
    tables["run"]["compile"] = "Auto"
    with pytest.raises(TrainingError, match=r"expected one of 'auto', 'kernels', true, false"):
        parse_config(tables)


def test_defaults_and_whole_numbers_for_fractions(tables):
    tables["loss"] = {"frequency": 1}
    config = parse_config(tables)
    assert config.loss.frequency == 1.0
    assert config.loss.pixel == "l1"
    assert config.optimiser.name == "muon"
    assert config.adversarial is None
    assert config.data.validation is None


def test_overrides_change_values_and_say_when_they_are_wrong(monkeypatch):
    monkeypatch.setenv("IMAGEN_FAST_DATA", "/photos")
    path = next(p for p in SHIPPED if p.stem == "sr-x4-tiny")
    changes = ("data.batch=3", "run.output=some/where", "optimiser.name='adamw'", "loss.coarse=0")
    config = load_config(path, changes)
    assert (config.data.batch, config.run.output) == (3, Path("some/where"))
    assert (config.optimiser.name, config.loss.coarse) == ("adamw", 0.0)
    for wrong in ("batch=3", "data.batch", ".=1"):
        with pytest.raises(TrainingError, match=r"expected SECTION\.KEY=VALUE"):
            load_config(path, (wrong,))


def test_files_that_are_no_configuration(tmp_path):
    with pytest.raises(TrainingError, match=r"cannot read .*nowhere\.toml: No such file"):
        load_config(tmp_path / "nowhere.toml")
    (tmp_path / "no.toml").write_bytes(b"\xff\xfe[model")
    with pytest.raises(TrainingError, match=r"no\.toml is no TOML file"):
        load_config(tmp_path / "no.toml")
