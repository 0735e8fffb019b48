"""The check of a GPU's answers, rehearsed without one: it takes what is right and nothing else."""

import numpy as np
import pytest
import torch
from random_bundles import random_bundle

pytest.importorskip("triton")

import gpu_parity
from on_gpu import cases
from on_gpu.layers import layers
from on_gpu.part import Part

from imagen_fast.backends.eager import Eager
from imagen_fast.models.build import build


@pytest.fixture
def part(tmp_path):
    return Part(tmp_path, "--dry-run")


def test_what_is_not_written_or_read_too_early_is_not_right(part, monkeypatch):
    found = layers(random_bundle(gpu_parity.NARROW).graph, 1, 2, 3)
    layer = next(x for x in found if x.name.startswith("convolution, 32 of 32"))
    assert gpu_parity.kernel_errors(layer, "fp16", True, part)["ok"]
    whole = cases.Case.ours

    def leaving_one(case):
        left = case.written[0][0, 1, 2, 5].clone()
        out = whole(case)
        out[0, 1, 2, 5] = left
        return out

    monkeypatch.setattr(cases.Case, "ours", leaving_one)
    found = gpu_parity.kernel_errors(layer, "fp16", True, part)
    assert not found["written"]
    assert not found["ok"]


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_the_overflow_check_takes_right_code_and_no_other(part, monkeypatch, dtype):
    """Judged by the reference, which computes in every dtype on a CPU."""

    class Right:
        says = True

        def __init__(self, bundle, precision, device):
            self.network = build(bundle).to(gpu_parity.DTYPES[precision])

        def run(self, tiles):
            x = torch.from_numpy(tiles).movedim(3, 1).to(next(self.network.parameters()).dtype)
            if not torch.isfinite(self.network(x / 255)).all():
                raise gpu_parity.NonFiniteError("not finite")

    class Silent(Right):
        def run(self, tiles):
            pass

    class Shy(Right):
        def run(self, tiles):
            raise gpu_parity.NonFiniteError("not finite")

    def verdicts(backend):
        monkeypatch.setattr(gpu_parity, "Triton", backend)
        return [gpu_parity.overflow(dtype, weight, part)["ok"] for weight in (3e38, 1e5)]

    small = dtype == "fp16"
    assert verdicts(Right) == [True, True]
    assert verdicts(Silent) == [False, not small]
    assert verdicts(Shy) == [True, small]


def test_the_truth_is_of_the_weights_as_they_are(part):
    """Not of those that were rounded for the comparison: a network errs by its own rounding."""
    bundle = random_bundle(gpu_parity.NARROW)
    given = {"image": np.random.default_rng(0).random((2, 3, 2, 3), np.float32)}
    found = gpu_parity.reference(bundle, given, ["picture"], part)
    expected = Eager(bundle, device="cpu", precision="fp32").run(given, ["picture"])["picture"]
    np.testing.assert_allclose(found.truth["picture"], expected, atol=2e-5)
    error = np.abs(found.theirs("fp16")["picture"] - expected).max()
    assert 2e-5 < error < 0.05
    assert gpu_parity.verdict(found, {"picture": expected}, "fp16")["ok"]
    for wrong in (expected + 0.1, np.full_like(expected, np.nan)):
        assert not gpu_parity.verdict(found, {"picture": wrong}, "fp16")["ok"]
