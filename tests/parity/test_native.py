"""What the native engine does beside computing networks, and what it and eager refuse."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from network_cases import MIXED, ODD
from numpy.typing import NDArray
from random_graphs import weights_for
from reference import FLOORS, Reference, rms

from imagen_fast.backends import Backend, NonFiniteError
from imagen_fast.backends.eager import Eager
from imagen_fast.backends.native import Native
from imagen_fast.bundle import Bundle
from imagen_fast.errors import BackendError
from imagen_fast.graph import network
from imagen_fast.models.build import build
from imagen_fast.spec import Level, ModelSpec

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

ENGINES = [(p, isa) for p in ("fp32", "bf16") for isa in _native.available(p)]


def random(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(5).random(shape, dtype=np.float32)


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
        sharp = Reference(network(spec), tensors, {"image": image}, ["picture"], "picture")
        truth = sharp.truth["picture"]
        engine = _native.Engine(network(spec).to_json(), tensors, precision=precision, isa=isa)
        ours.append(engine.run({"image": image}, ["picture"])["picture"] - truth)
        theirs.append(sharp.theirs(precision)["picture"] - truth)
    floor = FLOORS["picture"][precision] * rms(truth)
    assert rms(np.stack(ours)) <= 2 * rms(np.stack(theirs)) + floor


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


@pytest.mark.parametrize("backend", [Eager, Native])
def test_names_and_shapes_that_do_not_fit(
    backend: type[Backend], bundle_of: Callable[..., Bundle]
) -> None:
    made = backend(bundle_of(MIXED))
    image = random(1, 9, 10, 3)
    everything = ["picture", "picture.1", "picture.2"]
    for wrong in (image[0], image[..., :2], image.astype(np.float64)):
        with pytest.raises(BackendError, match=r"image .*; expected"):
            made.run({"image": wrong}, everything)
    features = made.run({"image": image}, ["features.0", "features.1", "features.2"])
    context = {name.replace("features", "context"): x for name, x in features.items()}
    with pytest.raises(BackendError, match=r"context.0 has shape .*expected \(1, 9, 10, 20\)"):
        made.run({"image": image, **context, "context.0": context["context.0"][:, 1:]}, everything)
    with pytest.raises(BackendError, match=r"expected \(N, H, W, 3\)"):
        made.run({"latent": random(1, 3, 3, 4)}, ["sample"])
    with pytest.raises(BackendError, match="'image' is needed"):
        made.run({"latent": random(1, 3, 3, 3)}, everything)
    bytes_ = {"image": np.zeros((1, 9, 10, 3), np.uint8)}
    found = made.run(bytes_, ["picture", "features.0"])
    assert {n: x.dtype for n, x in found.items()} == {"picture": np.uint8, "features.0": np.float32}
    other = backend(bundle_of(ModelSpec(scale=1, levels=(Level(32, convs=0),))))
    with pytest.raises(BackendError, match=r"no input 'latent'; it has image, context\.0"):
        other.run({"latent": image}, ["picture"])
    with pytest.raises(BackendError, match="no output 'sample'"):
        other.run({"image": image}, ["sample"])


@pytest.mark.parametrize("backend", [Eager, Native])
def test_rows_that_do_not_fit(backend: type[Backend]) -> None:
    weights = weights_for(network(ODD), np.random.default_rng(0))
    listing = backend(Bundle(ODD, dict(weights)))
    for wrong in (np.zeros((1, 1, 4, 36), np.float32), np.zeros((4, 37), np.float32)):
        with pytest.raises(BackendError, match=r"rows has shape .*expected \(N, H, W, 37\)"):
            listing.run(wrong)
    with pytest.raises(BackendError, match="rows is uint8; expected float32"):
        listing.run(np.zeros((1, 1, 4, 37), np.uint8))
    with pytest.raises(NonFiniteError):
        listing.run(np.full((1, 1, 4, 37), np.inf, np.float32))
