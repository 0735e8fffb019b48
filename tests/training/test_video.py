"""Training for videos: clips whose motion is known, and a run from the command line's TOML."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imagen_fast.bundle import read_header
from imagen_fast.loading import load
from imagen_fast.models.temporal import Temporal
from imagen_fast.training.clips import clips, drawn_path
from imagen_fast.training.config_file import parse_config
from imagen_fast.training.processes import Processes
from imagen_fast.training.trainer import train
from imagen_fast.training.video import Video
from imagen_fast.training.video_config import VideoConfig

CLEAN = VideoConfig(frames=3, margin=4, degraded=0)


def photographs(count: int, side: int) -> torch.Tensor:
    """Smooth ones, as is what lies between pixels."""
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, side // 8 + 1, side // 8 + 1, generator=random)
    size = (side, side)
    return torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0.05, 0.95)


def test_frames_show_what_the_path_says() -> None:
    random = torch.Generator().manual_seed(1)
    given = photographs(12, 96)
    low, high, path = clips(given, CLEAN, 4, random)
    assert low.shape == (12, 3, 3, 16, 16)
    assert high.shape == (12, 3, 3, 64, 64)
    assert (low * 255 == (low * 255).round()).all()
    moved = (path.offset[:, 1:] - path.offset[:, :-1]).norm(dim=-1)
    assert moved.max() > 2  # large pixels in a frame, from none to eight
    assert moved.min() < 1
    before, inside = path.between().sample(high[:, :-1].flatten(0, 1), 64)
    inner = inside[..., 12:-12, 12:-12]
    apart = (before - high[:, 1:].flatten(0, 1))[..., 12:-12, 12:-12].abs() * inner
    still = (high[:, :-1] - high[:, 1:]).flatten(0, 1)[..., 12:-12, 12:-12].abs()
    assert apart.mean() < 0.1 * still.mean()


def test_most_cameras_move_by_whole_pixels() -> None:
    path = drawn_path(300, CLEAN, 4, torch.Generator().manual_seed(0))
    identity = torch.eye(2).expand(300, 3, 2, 2)
    plain = (path.linear == identity).flatten(1).all(1)
    assert 195 < int(plain.sum()) < 255
    assert (path.offset[plain] == path.offset[plain].round()).all()


def test_some_clips_are_degraded() -> None:
    given, config = photographs(16, 96), replace(CLEAN, degraded=0.5)
    given[:, :2] = given[:, 2:]  # JPEG halves colours
    clean, true, _ = clips(given, CLEAN, 4, torch.Generator().manual_seed(2))
    low, same, _ = clips(given, config, 4, torch.Generator().manual_seed(2))
    assert torch.equal(true, same)
    changed = (low != clean).flatten(1).any(1)
    assert 2 <= int(changed.sum()) <= 14
    assert (low - clean).abs()[changed].mean() < 0.05


def tables(folder: Path, **video: object) -> dict[str, object]:
    return {
        "model": {
            **{"name": "own-x2", "size": "test", "scale": 2, "architecture": "temporal"},
            "levels": [{"channels": 32, "convs": 1}],
        },
        "data": {"train": str(folder), "patch": 24, "batch": 2},
        "video": {"margin": 4, "frames": 3, **video},
        "run": {"output": str(folder / "run"), "steps": 3, "device": "cpu", "threads": 1},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, picture in enumerate(photographs(2, 80)):
        samples = (255 * picture).byte().permute(1, 2, 0).numpy()
        Image.fromarray(samples).save(tmp_path / f"{number}.png")
    return tmp_path


def test_a_run_gives_a_model_for_videos_and_goes_on_as_it_would_have(folder: Path) -> None:
    outcome = train(parse_config(tables(folder)))
    assert outcome.finished
    with load(outcome.bundle, backend="native", precision="fp32") as engine:
        assert engine.info()["task"] == "video"
        frame = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
        with engine.stream_video(16, 12) as stream:
            first, second = stream.push(frame), stream.push(frame)
    assert first.shape == (24, 32, 3)
    assert (first != second).any()
    rows = (folder / "run" / "curves.csv").read_text().splitlines()
    assert rows[0].startswith("step,loss,pixel,frequency,steady,lr")
    assert json.loads(read_header(outcome.bundle).metadata["training"])["patch"] == 24

    again = tables(folder)
    again["run"] = {**again["run"], "output": str(folder / "again")}  # type: ignore[dict-item]
    assert not train(parse_config(again), pause_after=0).finished
    finished = train(parse_config(again), resume=True)
    assert finished.bundle.read_bytes()[-1000:] == outcome.bundle.read_bytes()[-1000:]


def test_steps_make_errors_steadier(folder: Path) -> None:
    config = parse_config(tables(folder, steady=4.0))
    torch.manual_seed(0)
    assert config.video
    method = Video(Temporal(config.model.spec), config, config.video, Processes("cpu", 1))
    patches = photographs(2, 48)
    for optimiser in method.optimisers.values():
        optimiser.param_groups[0]["lr"] = 0.003
    losses = [float(method.step(0, patches, patches)["steady"]) for _ in range(15)]
    assert losses[-1] < 0.8 * losses[0]


def test_changes_of_errors_are_squared_where_errors_are(folder: Path) -> None:
    steady = {}
    for pixel in ("l1", "l2"):
        config = parse_config({**tables(folder), "loss": {"pixel": pixel}})
        torch.manual_seed(0)
        assert config.video
        method = Video(Temporal(config.model.spec), config, config.video, Processes("cpu", 1))
        patches = photographs(2, 48)
        steady[pixel] = float(method.step(0, patches, patches)["steady"])
    assert steady["l1"] ** 2 <= steady["l2"] < 0.5 * steady["l1"]


@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        ("model", {"architecture": "hierarchical"}, "belong together"),
        ("model", {"scale": 1}, "for .video. is 1; expected from 2"),
        ("data", {"patch": 22}, "for .video. is 22; expected from 24"),
        ("late", {}, "are not for .video."),
        ("video", {"frames": 1}, "video.frames is 1"),
        ("video", {"steady": -1.0}, "video.steady is -1.0"),
    ],
)
def test_what_cannot_be_trained(
    folder: Path, refuse: Callable[..., None], section: str, values: dict[str, object], said: str
) -> None:
    refuse(tables(folder), section, values, said)
