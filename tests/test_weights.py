"""The shipped weights: each does on the sets of papers what its file or the documentation says."""

import json

import pytest

import imagen_fast
from imagen_fast.catalogue import shipped
from imagen_fast.tasks.discovery import in_folder
from imagen_fast.tasks.evaluate import evaluate, mean
from imagen_fast.tasks.protocols import PROTOCOLS, Protocol

BARS = {2: 37.0, 3: 33.0, 4: 31.3}  # dB on Set5
ENLARGING = [e for e in shipped() if e.header.task.name == "upscale" and not e.real]
# Gains in dB over the input or bicubic, on the first pictures of each set.
GAINS = {"noise-25": 8.5, "noise-50": 10.5, "jpeg-10": 0.8, "blur": 1.5, "real-x4": 0.3}


@pytest.mark.parametrize("entry", ENLARGING, ids=lambda entry: entry.path.stem)
def test_shipped_weights_reach_their_figure(entry, data):
    with imagen_fast.load(entry.path) as engine:
        paths = [found.source for found in in_folder(data / "test" / "set5").pictures]
        scores = list(evaluate(paths, Protocol(scale=entry.header.graph.scale), engine))
    psnr = mean([score.model for score in scores]).psnr
    assert psnr == pytest.approx(json.loads(entry.metadata["training"])["psnr"], abs=0.02)
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
