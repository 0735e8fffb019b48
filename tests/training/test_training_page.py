"""docs/training.md has every key of a configuration, with its default."""

import json
import re
from dataclasses import MISSING, Field, fields
from pathlib import Path

import pytest

from imagen_fast.image.degradation import Degradation
from imagen_fast.spec import Level
from imagen_fast.training import config as c
from imagen_fast.training.config_file import load_config

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
SECTIONS = {
    "[model]": c.ModelConfig,
    "[[model.levels]]": Level,
    "[data]": c.DataConfig,
    "data.train": c.Source,
    "[loss]": c.LossConfig,
    "[optimiser]": c.OptimiserConfig,
    "[run]": c.RunConfig,
    "[late]": c.LateConfig,
    "[degradation]": Degradation,
    "[style]": c.StyleConfig,
    "[video]": c.VideoConfig,
    "[adversarial]": c.AdversarialConfig,
    "[generation]": c.GenerationConfig,
}


def rows(section: str) -> dict[str, str]:
    """Key → default, as the section's table has them."""
    table = PAGE.split(f"### `{section}`\n")[1].split("\n##")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE))


def default(field: "Field[object]") -> str:
    """As TOML has it, in a table's cell."""
    if field.default is MISSING:
        return "required"
    if field.default is None:
        return "none"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{json.dumps(value)}`"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_there_with_its_default_and_no_other(section: str) -> None:
    assert rows(section) == {field.name: default(field) for field in fields(SECTIONS[section])}


def test_every_section_is_there() -> None:
    of_config = {field.name for field in fields(c.Config)}
    assert {section.strip("[]") for section in SECTIONS} == of_config | {
        "model.levels",
        "data.train",
    }
    assert re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE) == list(SECTIONS)


def test_what_it_shows_is_a_configuration(tmp_path: Path) -> None:
    shortest, folders = (part.split("```")[0] for part in PAGE.split("```toml\n")[1:])
    path = tmp_path / "landscapes.toml"
    path.write_text(shortest)
    assert load_config(path).model.warm_start == "sr-x4-tiny"
    path.write_text(shortest.replace('train = "~/photos"\n', folders))
    assert [source.weight for source in load_config(path).data.train] == [80, 20]
