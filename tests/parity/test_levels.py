"""Features, every level's pictures, another picture's context and the latent entry, on the native
engine, against the reference in float64."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from imagen_fast.backends.eager import Eager
from imagen_fast.bundle import Bundle
from imagen_fast.errors import BackendError
from imagen_fast.models.build import build
from imagen_fast.spec import Level, ModelSpec, preset

native = pytest.importorskip("imagen_fast.backends.native")
_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

# Precision → floor of the root mean square error.
FLOOR = {"fp32": 1e-7, "bf16": 4e-4}
ENGINES = [(p, isa) for p in FLOOR for isa in _native.available(p)]

MIXED = ModelSpec(
    scale=2,
    levels=(Level(20, depth=2, convs=1), Level(30, attention="global"), Level(10, convs=0)),
    head_dim=5,
    window=6,
    latent_channels=3,
)
SPECS = {"tiny": replace(preset("tiny", 3), latent_channels=8), "mixed": MIXED}


def random(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(5).random(shape, dtype=np.float32)


def truth(bundle: Bundle, method: str, *inputs: object) -> list[NDArray[np.float64]]:
    def double(x: object) -> object:
        if x is None or isinstance(x, np.ndarray):
            return None if x is None else torch.from_numpy(x).double().permute(0, 3, 1, 2)
        assert isinstance(x, Sequence)
        return [double(y) for y in x]

    with torch.inference_mode():
        outputs = getattr(build(bundle).double(), method)(*map(double, inputs))
    return [x.permute(0, 2, 3, 1).numpy() for x in outputs]


def rms(error: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(error**2)))


@pytest.mark.parametrize("name", list(SPECS))
@pytest.mark.parametrize(("precision", "isa"), ENGINES)
@pytest.mark.parametrize("what", ["features", "progressive", "context", "generate", "both"])
def test_parity(
    what: str,
    precision: str,
    isa: str,
    name: str,
    bundle_of: Callable[..., Bundle],
    named: Callable[..., tuple[dict[str, NDArray[np.float32]], list[str]]],
) -> None:
    bundle = bundle_of(SPECS[name])
    image = random(2, 13, 18, 3)
    latent = 4 * random(1, 3, 4, SPECS[name].latent_channels)
    inputs: tuple[object, ...] = {
        "features": (image,),
        "progressive": (image, None),
        "context": (image, truth(bundle, "features", image[:, ::-1].copy())),
        "generate": (latent, None),
    }.get(what, ())
    method = what if what != "context" else "progressive"
    if what == "both":  # a latent and a context, which has the sizes of the latent's levels
        n = len(bundle.spec.levels) - 1
        like = random(1, 3 << n, 4 << n, 3)
        method, inputs = "generate", (latent, truth(bundle, "features", like))
    expected = truth(bundle, method, *inputs)
    if method != "features":
        expected = [x.clip(0, 1) for x in expected]
        context = inputs[1]
        if context is not None:
            assert isinstance(context, Sequence)
            inputs = (inputs[0], [x.astype(np.float32) for x in context])
    backend = native.Native(bundle, precision=precision, isa=isa)
    given, wanted = named(method, *inputs, levels=len(bundle.spec.levels))
    ours = list(backend.run(given, wanted).values())
    theirs = list(Eager(bundle, precision=precision).run(given, wanted).values())
    assert [x.shape for x in ours] == [x.shape for x in expected]
    for mine, other, exact in zip(ours, theirs, expected, strict=True):
        error, bound = rms(mine - exact), 2 * rms(other - exact) + FLOOR[precision]
        assert error <= bound, f"{error:.2e}, PyTorch {rms(other - exact):.2e}"
        assert exact.std() > 0.01
    if method == "progressive" and inputs[1] is None:  # the finest is what `run` gives
        np.testing.assert_array_equal(ours[0], backend.run(image))


@pytest.mark.parametrize("backend", [Eager, native.Native])
def test_what_is_refused(backend: type[Eager], bundle_of: Callable[..., Bundle]) -> None:
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
    with pytest.raises(BackendError, match="bytes are for"):
        made.run(bytes_, [*everything, "features.0"])
    other = backend(bundle_of(ModelSpec(scale=1, levels=(Level(32, convs=0),))))
    with pytest.raises(BackendError, match=r"no input 'latent'; it has image, context\.0"):
        other.run({"latent": image}, ["picture"])
    with pytest.raises(BackendError, match="no output 'sample'"):
        other.run({"image": image}, ["sample"])
