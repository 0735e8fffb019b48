"""The article's listing on every backend, against the reference in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from imagen_fast.backends import NonFiniteError
from imagen_fast.backends.eager import Eager
from imagen_fast.bundle import Bundle
from imagen_fast.errors import BackendError
from imagen_fast.models.build import build
from imagen_fast.models.listing import ListingGenerator
from imagen_fast.spec import Level, ModelSpec, preset

native = pytest.importorskip("imagen_fast.backends.native")
_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

# Precision → floor of the root mean square error.
FLOOR = {"fp32": 3e-8, "bf16": 2e-4}
ENGINES = [(p, isa) for p in FLOOR for isa in _native.available(p)]

LISTING = preset("listing", 1)
ODD = replace(LISTING, levels=(Level(37, 1, convs=0, attention="global"),), head_dim=37)

CASES = {
    "the preset": (LISTING, (2, 30, 64)),
    "d_model fills no vector, one row": (ODD, (1, 1, 37)),
    "more rows than a block": (ODD, (2, 333, 37)),
}


def listing_bundle(spec: ModelSpec) -> Bundle:
    """Random weights, strong enough that the ReLU and the softmax both matter.

    Much stronger ones, and each softmax picks one row: which, is then up to the rounding.
    """
    torch.manual_seed(0)
    network = ListingGenerator(spec)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(1.5)
    return Bundle(spec, {name: t.numpy() for name, t in network.state_dict().items()})


def rms(error: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(error**2)))


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize(("precision", "isa"), ENGINES)
def test_parity(case: str, precision: str, isa: str) -> None:
    spec, shape = CASES[case]
    bundle = listing_bundle(spec)
    x = np.random.default_rng(1).standard_normal(shape, dtype=np.float32) * 2
    with torch.inference_mode():
        truth = build(bundle).double()(torch.from_numpy(x).double()).numpy()
    theirs = rms(Eager(bundle, precision=precision).run(x[:, None])[:, 0] - truth)
    backend = native.Native(bundle, precision=precision, isa=isa)
    ours = rms(backend.run(x[:, None])[:, 0] - truth)
    assert ours <= 2 * theirs + FLOOR[precision], f"{ours:.2e}, PyTorch {theirs:.2e}"


@pytest.mark.parametrize("backend", [Eager, native.Native])
def test_what_is_refused(backend: type[Eager]) -> None:
    listing = backend(listing_bundle(ODD))
    for wrong in (np.zeros((1, 1, 4, 36), np.float32), np.zeros((4, 37), np.float32)):
        with pytest.raises(BackendError, match=r"rows has shape .*expected \(N, H, W, 37\)"):
            listing.run(wrong)
    with pytest.raises(BackendError, match="rows is uint8; expected float32"):
        listing.run(np.zeros((1, 1, 4, 37), np.uint8))
    with pytest.raises(NonFiniteError):
        listing.run(np.full((1, 1, 4, 37), np.inf, np.float32))
