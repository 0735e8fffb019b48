"""Training on paintings: losses that tell manners apart, and a run from the command line's TOML."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imagen_fast.bundle import read_header
from imagen_fast.loading import load
from imagen_fast.models.style import Stylizer
from imagen_fast.tasks.style import read_style
from imagen_fast.training.config_file import parse_config
from imagen_fast.training.processes import Processes
from imagen_fast.training.style import Style, recolored
from imagen_fast.training.style_losses import Statistics, distances, edges, structure
from imagen_fast.training.trainer import train

LEVELS = [
    {"channels": 8, "convs": 0},
    {"channels": 16},
    {"channels": 32, "attention": "global"},
]


def stripes(period: float, angle: float, color: tuple[float, float, float]) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    wave = torch.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    base = torch.tensor(color)[:, None, None]
    return (base * (0.6 + 0.4 * wave)).clamp(0, 1)[None]


def test_the_same_manner_elsewhere_is_near_and_another_far() -> None:
    torch.manual_seed(0)
    statistics = Statistics(torch.device("cpu"))
    own = stripes(8, 0.4, (0.9, 0.5, 0.2))
    wanted = statistics(own)

    def far(x: torch.Tensor) -> dict[str, float]:
        return {name: float(v) for name, v in distances(statistics(x), wanted).items()}

    moved = far(own.roll((3, 5), (2, 3)))
    turned = far(stripes(8, 0.4 + np.pi / 2, (0.9, 0.5, 0.2)))
    finer = far(stripes(4, 0.4, (0.9, 0.5, 0.2)))
    blue = far(stripes(8, 0.4, (0.2, 0.5, 0.9)))
    assert moved["texture"] < 0.1 * min(turned["texture"], finer["texture"])
    assert max(moved["colors"], turned["colors"]) < 0.2 * blue["colors"]


def test_edges_and_structure_see_a_drawing_whatever_its_colors() -> None:
    torch.manual_seed(0)
    photograph = torch.rand(1, 3, 12, 12).repeat_interleave(8, 2).repeat_interleave(8, 3)
    duller = 0.3 + 0.5 * photograph
    other = torch.rand(1, 3, 12, 12).repeat_interleave(8, 2).repeat_interleave(8, 3)
    assert float(edges(photograph, photograph)) == pytest.approx(0, abs=1e-5)
    assert float(structure(duller, photograph)) < 0.05
    assert float(structure(1 - photograph, photograph)) > 1  # light and dark the other way round
    for loss in (edges, structure):
        assert float(loss(other, photograph)) > 1.3 * float(loss(duller, photograph))


def test_recoloring_keeps_the_range_and_what_is_where() -> None:
    random = torch.Generator().manual_seed(0)
    patches = torch.rand(40, 3, 8, 8)
    found = recolored(patches, random)
    assert found.min() >= 0
    assert found.max() <= 1
    same = (found == patches).flatten(1).all(1).float().mean()
    assert 0.15 < float(same) < 0.55


def tables(folder: Path, **style: object) -> dict[str, object]:
    return {
        "model": {
            **{"name": "own", "size": "test", "scale": 1, "architecture": "style"},
            "levels": LEVELS,
        },
        "data": {"train": str(folder / "photographs"), "patch": 96, "batch": 2},
        "style": {"train": str(folder / "paintings"), "side": 100, "photographs": 104, **style},
        "run": {"output": str(folder / "run"), "steps": 3, "device": "cpu", "threads": 1},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, count in (("photographs", 2), ("paintings", 3)):
        (tmp_path / name).mkdir()
        for number in range(count):
            coarse = rng.integers(0, 256, (12, 15, 3), np.uint8).repeat(9, 0).repeat(9, 1)
            Image.fromarray(coarse).save(tmp_path / name / f"{name}_{number}.png")
    return tmp_path


def test_a_run_gives_a_model_that_stylizes_and_goes_on_as_it_would_have(folder: Path) -> None:
    config = parse_config(tables(folder, exclude=["*_2.png"]))
    outcome = train(config)
    assert outcome.finished
    with load(outcome.bundle, backend="native") as engine:
        assert engine.info()["task"] == "stylize"
        painting = np.asarray(Image.open(folder / "paintings" / "paintings_0.png"))
        tokens = read_style(engine, painting).tokens
        assert engine.run(painting[None], {"tokens": tokens}).shape == (1, *painting.shape)
        rows = (folder / "run" / "curves.csv").read_text().splitlines()
    assert rows[0].startswith("step,loss,texture,together,colors,edges,structure,lr")

    names = json.loads(read_header(outcome.bundle).metadata["training"])["pictures"]
    assert names["paintings"] == ["paintings_0.png", "paintings_1.png"]
    again = tables(folder, exclude=["*_2.png"])
    again["run"] = {**again["run"], "output": str(folder / "again")}  # type: ignore[dict-item]
    paused = train(parse_config(again), pause_after=0)
    assert not paused.finished
    finished = train(parse_config(again), resume=True)
    assert finished.bundle.read_bytes()[-1000:] == outcome.bundle.read_bytes()[-1000:]


def test_steps_move_what_the_painting_says(folder: Path) -> None:
    config = parse_config(tables(folder))
    torch.manual_seed(0)
    network = Stylizer(config.model.spec)
    assert config.style
    method = Style(network, config, config.style, Processes("cpu", 1))
    photograph = torch.rand(2, 3, 24, 24).repeat_interleave(4, 2).repeat_interleave(4, 3)
    for optimiser in method.optimisers.values():
        optimiser.param_groups[0]["lr"] = 0.005
    losses = [float(method.step(0, photograph, photograph)["loss"]) for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        ("model", {"architecture": "hierarchical", "levels": []}, "belong together"),
        ("model", {"scale": 2}, "scale 1"),
        ("data", {"patch": 64}, "for .style. is 64; expected from 96"),
        ("late", {}, "are not for .style."),
        ("style", {"train": []}, "an empty list"),
        ("style", {"edges": -1.0}, "style.edges is -1.0"),
    ],
)
def test_what_cannot_be_trained(
    folder: Path, refuse: Callable[..., None], section: str, values: dict[str, object], said: str
) -> None:
    refuse(tables(folder), section, values, said)
