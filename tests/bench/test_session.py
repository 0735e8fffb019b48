"""Whole runs of a few seconds: processes, checks, turns and the box of time."""

import time
from dataclasses import replace

import numpy as np
import pytest

from imagen_fast.bench import session
from imagen_fast.bench.comparison import compare
from imagen_fast.bench.entrants import entrants
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.errors import BenchmarkError


@pytest.fixture
def perturbed(tiny_bundle, tmp_path):
    """The tiny network with one of its tensors changed by a tenth."""
    name = "encoder.stages.0.0.convs.0.conv.weight"
    tensors = {**tiny_bundle.tensors, name: tiny_bundle.tensors[name] * np.float32(1.1)}
    path = tmp_path / "perturbed.safetensors"
    save_bundle(Bundle(tiny_bundle.spec, tensors, tiny_bundle.metadata), path)
    return path


def test_right_ones_are_timed_and_wrong_ones_are_not(short, native, perturbed):
    fake = replace(native, runtime="fake")
    wrong = replace(native, weights=str(perturbed), name="perturbed")
    record = short(native, wrong, fake)
    rows = {(row.network, row.runtime): row for row in record.contestants}
    right = rows[native.name, "native"]
    assert right.outcome == "timed"
    assert right.psnr is None or right.psnr > 100
    assert right.summary.n >= 3
    assert right.cold_s > right.first_s > 0
    assert right.peak_bytes > 20e6
    for key in (("perturbed", "native"), (native.name, "fake")):
        assert rows[key].outcome == "wrong"
        assert rows[key].samples_ms == []
        assert "expected 80 dB or more" in rows[key].why
    assert record.yardstick((16, 1)).summary.p50 > 0


def test_slow_kernels_are_caught(short, native):
    """The generic kernels are a real engine that is slower, asked for by the same name."""
    fast = short(native)
    slow = short(replace(native, environment={"IMAGEN_FAST_ISA": "generic"}))
    if fast.contestants[0].isa == "generic":
        pytest.skip("this processor has the generic kernels alone")
    (failure,) = compare(slow, fast).failures(10)
    assert "slower" in failure
    assert failure.endswith("generic now)")
    assert compare(fast, slow).failures(10) == []


def test_what_does_not_fit_into_the_time_is_left_out(options, native, brisk):
    start = time.monotonic()
    record = session.run(options, sizes=(16, 4096), batches=(1,), seconds=25, contestants=[native])
    assert time.monotonic() - start < 50
    assert [row.place for row in record.contestants] == [(16, 1)]
    (out,) = record.left_out
    assert (out.size, out.runtime) == (4096, "native")
    assert "were left" in out.why


def test_who_cannot_run_fails_alone(short, native):
    broken = replace(native, precision="fp16")  # which the native engine has not
    record = short(broken, native)
    failed, timed = sorted(record.contestants, key=lambda row: row.outcome)
    assert (failed.outcome, timed.outcome) == ("failed", "timed")
    assert "has no fp16" in failed.why


def test_what_is_asked_for_and_missing_is_an_error(options):
    found = {"native": None, "eager": "PyTorch is not installed", "compiled": None}
    with pytest.raises(BenchmarkError, match="eager cannot run here: PyTorch is not installed"):
        entrants(replace(options, backends=("eager",)), found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backends": ("nativ",)}, "no backend 'nativ'; choose from native, triton, eager"),
        ({"peers": ("tensorflow",)}, "no peer 'tensorflow'; choose from openvino"),
        ({"peers": ("ncnn",)}, "ncnn cannot run this family"),
        ({"precisions": ("int8",)}, "no precision 'int8'; choose from fp32"),
    ],
    ids=str,
)
def test_unknown_names(options, change, message):
    with pytest.raises(BenchmarkError, match=message):
        session.run(replace(options, **change), sizes=(16,), seconds=1)
