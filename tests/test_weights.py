"""The shipped weights: each does on Set5 what its file says, far above bicubic."""

import json

import pytest

import imagen_fast
from imagen_fast.catalogue import shipped
from imagen_fast.tasks.evaluate import evaluate, mean
from imagen_fast.tasks.files import pictures_in

BARS = {2: 37.0, 3: 33.0, 4: 31.3}  # dB on Set5


@pytest.mark.parametrize("entry", shipped(), ids=lambda entry: entry.path.stem)
def test_shipped_weights_reach_their_figure(entry, data):
    with imagen_fast.load(entry.path) as engine:
        scores = list(evaluate(pictures_in(data / "test" / "set5"), entry.spec.scale, engine))
    psnr = mean([score.model for score in scores]).psnr
    assert psnr == pytest.approx(json.loads(entry.metadata["training"])["psnr"], abs=0.02)
    assert psnr >= BARS[entry.spec.scale]
    assert psnr > mean([score.bicubic for score in scores]).psnr + 2


def test_the_scales_that_people_ask_for_are_shipped():
    assert {entry.spec.scale for entry in shipped()} >= {2, 4}
