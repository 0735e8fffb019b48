"""The shipped weights: each does on the sets of papers what its file or the documentation says."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import imagen_fast
from imagen_fast.catalogue import SHARP, shipped
from imagen_fast.image.degradation import degrade, rounded
from imagen_fast.image.palette import palette_of, recolored, table_of
from imagen_fast.metrics import luma_psnr
from imagen_fast.tasks.discovery import in_folder
from imagen_fast.tasks.evaluate import evaluate, mean
from imagen_fast.tasks.protocols import PROTOCOLS, Protocol

BARS = {2: 37.0, 3: 33.0, 4: 31.3}  # dB on Set5
ROUNDING = 60  # dB, of bf16 to fp32
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ENLARGING = [e for e in shipped() if e.header.task.name == "upscale" and not (e.real or e.sharp)]
# Gains in dB over the input or bicubic, on the first pictures of each set.
GAINS = {"noise-25": 8.5, "noise-50": 10.5, "jpeg-10": 0.8, "blur": 1.5, "real-x4": 0.3}


@pytest.mark.parametrize("entry", ENLARGING, ids=lambda entry: entry.path.stem)
def test_shipped_weights_reach_their_figure(entry, data):
    with imagen_fast.load(entry.path) as engine:
        paths = [found.source for found in in_folder(data / "test" / "set5").pictures]
        scores = list(evaluate(paths, Protocol(scale=entry.header.graph.scale), engine))
        rounded = 10 ** (-ROUNDING / 10) if engine.info()["precision"] == "bf16" else 0
    psnr = mean([score.model for score in scores]).psnr
    trained = json.loads(entry.metadata["training"])["psnr"]  # in fp32
    assert psnr == pytest.approx(-10 * math.log10(10 ** (-trained / 10) + rounded), abs=0.02)
    assert psnr >= BARS[entry.header.graph.scale]
    assert psnr > mean([score.baseline for score in scores]).psnr + 2


def test_the_scales_that_people_ask_for_are_shipped():
    assert {entry.header.graph.scale for entry in ENLARGING} >= {2, 4}


@pytest.mark.parametrize(("name", "gain"), GAINS.items())
def test_pictures_as_they_are_gain(name, gain, data):
    protocol = PROTOCOLS[name]
    found = in_folder(data / "test" / protocol.pictures).pictures
    paths = [each.source for each in found if protocol.counts(each.source)][:4]
    with imagen_fast.load("real-x4" if name == "real-x4" else "restore") as engine:
        scores = list(evaluate(paths, protocol, engine))
    model, baseline = (mean([getattr(x, of) for x in scores]) for of in ("model", "baseline"))
    assert model.psnr > baseline.psnr + gain


@pytest.mark.parametrize("sharp", [e.name for e in shipped() if e.sharp])
def test_what_had_a_discriminator_is_more_like_photographs(sharp, data):
    torch = pytest.importorskip("torch")
    from imagen_fast.training.resemblance import features, kernel_distance

    plain = sharp.removesuffix(SHARP)
    protocol = PROTOCOLS["b100" if plain.startswith("sr") else plain].at(4)
    paths = sorted((data / "test" / protocol.pictures).iterdir())[::8]
    cases = [protocol.case(np.asarray(Image.open(path)), n) for n, path in enumerate(paths)]

    def squares(pictures):
        cut = [
            x[y : y + 64, z : z + 64] for x in pictures for y in (0, 64, 128) for z in (0, 96, 192)
        ]
        return features(torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2) / 255)

    true, distance, psnr = squares([case.truth for case in cases]), {}, {}
    for name in (sharp, plain):
        with imagen_fast.load(name) as engine:
            made = [engine(case.given) for case in cases]
        distance[name] = kernel_distance(true, squares(made))
        psnr[name] = np.mean([luma_psnr(x, y.truth, 4) for x, y in zip(made, cases, strict=True)])
    assert distance[sharp] < 0.6 * distance[plain]
    assert psnr[plain] - 2 < psnr[sharp] < psnr[plain]


def test_textures_come_from_nothing_and_differ():
    pictures = imagen_fast.generate(24, 7)
    assert pictures.shape == (24, 64, 64, 3)
    contrasts = pictures.std((1, 2)).mean(1)  # of squares that were cut by their contrast
    assert contrasts.min() > 2
    assert 15 < contrasts.mean() < 50
    colors = pictures.mean((1, 2))
    assert (colors.std(0) > 15).all()  # grass is green, water blue, bark brown
    neighbours = np.abs(np.diff(pictures.astype(int), axis=2)).mean((1, 2, 3))
    assert (neighbours < 1.2 * contrasts).all()  # no noise: what is beside each other is alike


def streamed(name, frames):
    height, width = frames[0].shape[:2]
    with imagen_fast.load(name) as engine, engine.stream_video(width, height) as stream:
        return [stream.push(frame) for frame in frames]


def test_what_is_kept_of_a_frame_never_spoils_the_next():
    """Fine lines, chessboards and noise once saturated it: the second frame was grey."""
    y, x = np.mgrid[:48, :48]
    noise = np.random.default_rng(0).integers(0, 256, (48, 48))
    for lines in ((x % 2) * 255, (y % 2) * 255, ((x + y) % 2) * 255, noise):
        frame = lines.astype(np.uint8)[..., None].repeat(3, 2)
        found = streamed("video-x4", [frame] * 10)
        first, *_, last = (f.reshape(48, 4, 48, 4, 3).mean((1, 3)) - frame for f in found)
        assert np.abs(last).mean() < np.abs(first).mean() + 10


def test_a_still_scene_is_steadier_than_frame_by_frame(data):
    true = np.asarray(Image.open(data / "video" / "vid4" / "city_000.png").convert("RGB"))
    low, high = degrade(true[:240, :320], 4)
    rng = np.random.default_rng(0)
    frames = [rounded(low + rng.normal(0, 3, low.shape)) for _ in range(8)]
    trembling, psnr = {}, {}
    for name in ("sr-x4", "video-x4"):
        found = streamed(name, frames)
        trembling[name] = np.abs(found[-1].astype(int) - found[-2]).mean()
        psnr[name] = luma_psnr(found[-1], high, 4)
    assert trembling["video-x4"] < 0.95 * trembling["sr-x4"]
    assert psnr["video-x4"] > psnr["sr-x4"]


@pytest.mark.parametrize(("name", "of"), [("munch", "golden_gate"), ("hokusai", "chicago")])
def test_a_photograph_gets_a_painting_s_manner(name, of, data, monkeypatch):
    """By measures that are no losses, of paintings that training has not seen."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    style = pytest.importorskip("style")
    painting = style.read(next((data / "style").glob(f"{name}*")))
    photograph = style.read(data / "content" / f"{of}.jpg")
    drawn = imagen_fast.stylize(photograph, painting)
    moved = recolored(photograph, table_of(palette_of(photograph), palette_of(painting)))
    assert style.colors(drawn, painting) < 0.5 * style.colors(photograph, painting)
    assert style.texture(drawn, painting) < 0.85 * style.texture(moved, painting)
    assert style.drawing(drawn, photograph) > 0.6
