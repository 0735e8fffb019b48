"""The shipped weights: each does on Set5 what its file says, far above bicubic."""

import json

import pytest

import imagen_fast
from imagen_fast.catalogue import shipped
from imagen_fast.tasks.discovery import in_folder
from imagen_fast.tasks.evaluate import evaluate, mean
from imagen_fast.tasks.protocols import Protocol

BARS = {2: 37.0, 3: 33.0, 4: 31.3}  # dB on Set5


@pytest.mark.parametrize("entry", shipped(), ids=lambda entry: entry.path.stem)
def test_shipped_weights_reach_their_figure(entry, data):
    with imagen_fast.load(entry.path) as engine:
        paths = [found.source for found in in_folder(data / "test" / "set5").pictures]
        scores = list(evaluate(paths, Protocol(scale=entry.header.graph.scale), engine))
    psnr = mean([score.model for score in scores]).psnr
    assert psnr == pytest.approx(json.loads(entry.metadata["training"])["psnr"], abs=0.02)
    assert psnr >= BARS[entry.header.graph.scale]
    assert psnr > mean([score.baseline for score in scores]).psnr + 2


def test_the_scales_that_people_ask_for_are_shipped():
    assert {entry.header.graph.scale for entry in shipped()} >= {2, 4}
