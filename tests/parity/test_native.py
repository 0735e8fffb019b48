"""The native engine against the reference network in float64, for every instruction set here.

Tolerance: an engine may err at most twice what PyTorch errs in the same precision, plus a floor
for cases where PyTorch happens to err little; and PSNR to the reference output has a bar.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from imagen_fast.bundle import Bundle
from imagen_fast.graph import network
from imagen_fast.models.build import build
from imagen_fast.spec import Level, ModelSpec, preset

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

# Precision → floor of the root mean square error, PSNR in dB.
TOLERANCE = {"fp32": (3e-8, 80.0), "bf16": (2e-4, 50.0)}
TORCH_DTYPE = {"fp32": torch.float32, "bf16": torch.bfloat16}
ENGINES = [(p, isa) for p in ("fp32", "bf16") for isa in _native.available(p)]

MIXED = ModelSpec(
    scale=2,
    levels=(
        Level(20, depth=2, convs=1),  # no multiple of any vector
        Level(30, attention="global"),
        Level(10, convs=0),
    ),
    head_dim=5,
    window=6,
)
GLOBAL = ModelSpec(scale=2, levels=(Level(32, convs=1), Level(64, convs=1, attention="global")))
WIDE = ModelSpec(scale=1, levels=(Level(96, convs=1),), head_dim=96, window=10)

CASES = {
    "x4": (preset("tiny", 4), (1, 16, 16)),
    "x3, batch": (preset("tiny", 3), (3, 13, 8)),
    "x2, smaller than a window": (preset("tiny", 2), (1, 8, 5)),
    "x1, odd sides": (preset("tiny", 1), (1, 9, 31)),
    "one pixel": (preset("tiny", 4), (2, 1, 1)),
    "one row": (preset("tiny", 2), (1, 1, 50)),
    "one column": (preset("tiny", 2), (1, 50, 1)),
    "more than one block of pixels in a row": (preset("tiny", 2), (1, 3, 103)),
    "small": (preset("small", 4), (1, 20, 12)),
    "base": (preset("base", 4), (1, 10, 12)),
    "odd channels, heads and windows": (MIXED, (2, 19, 21)),
    "global, tokens fill no vector": (GLOBAL, (2, 25, 27)),
    "global, several blocks of tokens": (GLOBAL, (1, 40, 38)),
    "head wider than a register tile": (WIDE, (1, 21, 12)),
}


def rms(error: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(error**2)))


class Reference:
    """A network and what it gives in float64 and in PyTorch's own lower precisions, clamped."""

    def __init__(self, bundle: Bundle, image: NDArray[np.float32]) -> None:
        self.bundle, self.image = bundle, image
        self.network = build(bundle)
        self.truth = self.run(torch.float64)

    def run(self, dtype: torch.dtype) -> NDArray[np.float64]:
        module = self.network.to(torch.float64 if dtype == torch.float64 else torch.float32)
        x = torch.from_numpy(self.image).permute(0, 3, 1, 2)
        with (
            torch.inference_mode(),
            torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16),
        ):
            y = module(x.double() if dtype == torch.float64 else x)
        clamped: NDArray[np.float64] = y.double().clamp(0, 1).permute(0, 2, 3, 1).numpy()
        return clamped


@pytest.fixture(scope="module", params=list(CASES))
def reference(request: pytest.FixtureRequest, bundle_of: Callable[..., Bundle]) -> Reference:
    spec, shape = CASES[request.param]
    image = np.random.default_rng(1).random((*shape, 3), dtype=np.float32)
    return Reference(bundle_of(spec), image)


@pytest.mark.parametrize(("precision", "isa"), ENGINES)
def test_parity(reference: Reference, precision: str, isa: str) -> None:
    engine = _native.Engine(
        reference.bundle.graph.to_json(), reference.bundle.tensors, precision=precision, isa=isa
    )
    assert (engine.precision, engine.isa) == (precision, isa)
    out = engine.run({"image": reference.image}, ["picture"])["picture"]
    floor, psnr = TOLERANCE[precision]
    error = rms(out - reference.truth)
    theirs = rms(reference.run(TORCH_DTYPE[precision]) - reference.truth)
    assert error <= 2 * theirs + floor, f"{error:.2e}, PyTorch {theirs:.2e}"
    # Random weights, made strong, are harder than trained ones: bf16 is held to PyTorch alone.
    assert precision == "bf16" or -20 * np.log10(error) >= psnr


@pytest.mark.parametrize("isa", _native.available("fp32"))
def test_bytes_are_the_rounded_floats(isa: str, tiny_bundle: Bundle) -> None:
    bytes_in = np.random.default_rng(2).integers(0, 256, (1, 11, 13, 3), np.uint8)
    engine = _native.Engine(tiny_bundle.graph.to_json(), tiny_bundle.tensors, isa=isa)
    image = (bytes_in / np.float32(255)).astype(np.float32)
    floats = engine.run({"image": image}, ["picture"])["picture"]
    bytes_out = engine.run({"image": bytes_in}, ["picture"])["picture"]
    assert floats.min() >= 0
    assert floats.max() <= 1
    np.testing.assert_array_equal(bytes_out, np.rint(floats * 255).astype(np.uint8))


@pytest.mark.parametrize(("precision", "isa"), ENGINES)
def test_logits_beyond_any_float_exponential(
    precision: str, isa: str, bundle_of: Callable[..., Bundle]
) -> None:
    """A temperature of 40 gives logits up to ±226: e^226 is no float, the softmax is one-hot.

    Two keys that come close make any rounding large, here or in PyTorch, so several networks count
    together.
    """
    spec = ModelSpec(scale=1, levels=(Level(32, convs=0),))
    image = np.random.default_rng(3).random((1, 12, 12, 3), dtype=np.float32)
    ours, theirs = [], []
    for seed in range(6):
        tensors = {
            name: np.full_like(t, 40.0) if name.endswith("temperature") else t
            for name, t in bundle_of(spec, seed).tensors.items()
        }
        sharp = Reference(Bundle(spec, tensors), image)
        engine = _native.Engine(network(spec).to_json(), tensors, precision=precision, isa=isa)
        out = engine.run({"image": sharp.image}, ["picture"])["picture"]
        ours.append(out - sharp.truth)
        theirs.append(sharp.run(TORCH_DTYPE[precision]) - sharp.truth)
    assert rms(np.stack(ours)) <= 2 * rms(np.stack(theirs)) + TOLERANCE[precision][0]


@pytest.mark.parametrize(("precision", "isa"), ENGINES)
@pytest.mark.parametrize("tensor", ["encoder.stem.bias", "heads.0.conv.bias"])
def test_what_is_not_finite_is_noticed(
    precision: str, isa: str, tensor: str, small_bundle: Bundle
) -> None:
    tensors = {**small_bundle.tensors, tensor: small_bundle.tensors[tensor] + np.float32(3e38)}
    engine = _native.Engine(small_bundle.graph.to_json(), tensors, precision=precision, isa=isa)
    image = np.ones((1, 9, 9, 3), np.float32)
    finite = engine.run({"image": image}, ["picture"]) is not None
    with torch.inference_mode():
        y = build(Bundle(small_bundle.spec, tensors))(torch.ones(1, 3, 9, 9))
    assert finite == bool(torch.isfinite(y).all())
