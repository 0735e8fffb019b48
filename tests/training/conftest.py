import numpy as np
import pytest
from PIL import Image

from imagen_fast.errors import TrainingError
from imagen_fast.training.config_file import parse_config


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder with a few smooth colour pictures."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for i, size in enumerate([(70, 61), (64, 90), (52, 53)]):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        coarse.resize(size[::-1], Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def tables_of(photographs):
    """A configuration of a run in a folder that takes a second, as a TOML file's tables."""

    def make(folder):
        return {
            "model": {
                "name": "sr-x2",
                "size": "test",
                "scale": 2,
                "levels": [{"channels": 32, "convs": 1}, {"channels": 32, "convs": 1}],
            },
            "data": {"train": str(photographs), "patch": 8, "batch": 4},
            "optimiser": {"warmup": 5},
            "run": {
                "output": str(folder / "run"),
                "steps": 20,
                "log_every": 1,
                "checkpoint_every": 10,
                "device": "cpu",
            },
        }

    return make


@pytest.fixture
def tables(tables_of, tmp_path):
    """`tables_of` a folder of the test's own."""
    return tables_of(tmp_path)


@pytest.fixture
def output(tables, tmp_path):
    return tmp_path / "run"


@pytest.fixture
def refuse():
    """Asserts that a configuration with other values in a section is refused, and why."""

    def check(tables, section, values, said):
        with pytest.raises(TrainingError, match=said):
            parse_config({**tables, section: {**tables.get(section, {}), **values}})

    return check
