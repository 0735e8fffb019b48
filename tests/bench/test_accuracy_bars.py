"""How far an answer may be from the network's in fp32 before it counts as another network's."""

import numpy as np
import pytest

from imagen_fast.bench.stage import right

TRUTH = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)


def off_by(error: float) -> np.ndarray:
    """The truth, wrong by as much everywhere: PSNR is -20 log10 of it."""
    signs = np.random.default_rng(1).choice(np.float32([-1, 1]), TRUTH.shape)
    return TRUTH + np.float32(error) * signs


@pytest.mark.parametrize(
    ("precision", "bar", "error"), [("fp32", 80, 1e-4), ("fp16", 50, 10**-2.5), ("bf16", 40, 1e-2)]
)
def test_the_bar_of_each_precision(precision, bar, error, row):
    below, above = row(precision=precision, psnr=None), row(precision=precision, psnr=None)
    assert right(above, off_by(0.98 * error), TRUTH)
    assert (above.outcome, above.why) == ("timed", "")
    assert bar < above.psnr < bar + 0.3
    assert not right(below, off_by(1.02 * error), TRUTH)
    assert below.outcome == "wrong"
    assert below.why.endswith(f" dB to PyTorch fp32; expected {bar} dB or more")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_what_no_precision_excuses(precision, row):
    for output, why in (
        (np.where(TRUTH > 0.99, np.nan, TRUTH), "not finite to PyTorch fp32"),
        (TRUTH[:, :32, :32], r"gives (1, 32, 32, 3); expected (1, 64, 64, 3)"),
        (TRUTH[:, ::-1], " dB to PyTorch fp32; expected"),
    ):
        wrong = row(precision=precision)
        assert not right(wrong, output, TRUTH)
        assert wrong.outcome == "wrong"
        assert why in wrong.why
