"""The triton backend: on a GPU where there is one, else in Triton's interpreter."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("triton")

from imagen_fast.backends import NonFiniteError, choose
from imagen_fast.backends import slots as slots_module
from imagen_fast.backends import triton as triton_module
from imagen_fast.backends.eager import Eager
from imagen_fast.backends.slots import Slot, chunk_of, through
from imagen_fast.backends.triton import Triton
from imagen_fast.bundle import Bundle
from imagen_fast.engine import Engine, PrecisionWarning
from imagen_fast.errors import BackendError
from imagen_fast.image.neutral import keep_neutral
from imagen_fast.models.build import build
from imagen_fast.spec import Level, ModelSpec, preset

ON_GPU = torch.cuda.is_available()
# Precision → floor of the root mean square error.
FLOOR = {"fp32": 1e-7, "fp16": 2e-4, **({"bf16": 2e-3} if ON_GPU else {})}

MIXED = ModelSpec(
    scale=2,
    levels=(Level(20, depth=2, convs=1), Level(30, attention="global"), Level(10, convs=0)),
    head_dim=5,
    window=6,
    latent_channels=3,
)
LISTING = replace(preset("listing", 1))


def random(*shape: int, seed: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def rms(error: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(error**2)))


def double(x: object) -> object:
    if isinstance(x, list):
        return [double(y) for y in x]
    return torch.from_numpy(x).double().permute(0, 3, 1, 2) if isinstance(x, np.ndarray) else x


def truth(bundle: Bundle, method: str, *inputs: object) -> list[NDArray[np.float64]]:
    with torch.inference_mode():
        outputs = getattr(build(bundle).double(), method)(*map(double, inputs))
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return [x.permute(0, 2, 3, 1).numpy() for x in outputs]


@pytest.fixture(scope="module", autouse=True)
def full_fp32() -> Iterator[None]:
    """So that the reference on a GPU is fp32 where it says so."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def compare(
    bundle: Bundle, precision: str, method: str, inputs: tuple[object, ...], named: Any = None
) -> list[NDArray[np.float32]]:
    """Our outputs, of which each errs at most twice as PyTorch's does in the same precision."""
    exact = truth(bundle, "forward" if method == "run" else method, *inputs)
    if method != "features":
        exact = [x.clip(0, 1) for x in exact]
    backend = Triton(bundle, precision=precision)
    given = [[y.astype(np.float32) for y in x] if isinstance(x, list) else x for x in inputs]
    if method == "run":
        ours = backend.run(*given)
    else:
        ours = list(backend.run(*named(method, *given, levels=len(bundle.spec.levels))).values())
    kind = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    network = build(bundle).to(kind)

    def cast(x: object) -> object:
        x = double(x)
        return [y.to(kind) for y in x] if isinstance(x, list) else x if x is None else x.to(kind)

    with torch.inference_mode():
        theirs = getattr(network, "forward" if method == "run" else method)(*map(cast, given))
    theirs = [theirs] if method == "run" else theirs
    ours = [ours] if method == "run" else ours
    assert len(ours) == len(exact)
    for mine, other, right in zip(ours, theirs, exact, strict=True):
        other = other.double().permute(0, 2, 3, 1).numpy()
        other = other if method == "features" else other.clip(0, 1)
        assert mine.shape == right.shape
        assert mine.dtype == np.float32
        bound = 2 * rms(other - right) + FLOOR[precision]
        assert rms(mine - right) <= bound, f"PyTorch {rms(other - right):.2e}"
        assert right.std() > 0.01
    return ours


# In 16 bits once: the rest is the same code, and the interpreter takes its time.
LEVELS = [*product(["features", "progressive", "context", "generate", "both"], ["fp32"])]
LEVELS += [*product(["progressive"], [*FLOOR][1:])]


@pytest.mark.parametrize(("what", "precision"), LEVELS)
def test_levels(
    what: str, precision: str, bundle_of: Callable[..., Bundle], named: Callable[..., Any]
) -> None:
    bundle = bundle_of(MIXED)
    image, latent = random(1, 5, 10, 3), 4 * random(1, 2, 1, 3)
    like = random(1, 8, 4, 3)  # has the sizes of the latent's levels
    method, *inputs = {
        "features": ("features", image),
        "progressive": ("progressive", image, None),
        "context": ("progressive", image, truth(bundle, "features", image[:, ::-1].copy())),
        "generate": ("generate", latent, None),
        "both": ("generate", latent, truth(bundle, "features", like)),
    }[what]
    assert isinstance(method, str)
    ours = compare(bundle, precision, method, tuple(inputs), named)
    if what == "progressive":  # the finest is what `run` gives
        np.testing.assert_array_equal(ours[0], Triton(bundle, precision=precision).run(image))


PRESETS = [("tiny", 1, "fp32"), ("tiny", 2, "fp16"), ("tiny", 3, "fp32"), ("tiny", 4, [*FLOOR][-1])]
PRESETS += [("small", 4, "fp16"), ("base", 2, "fp16")]


@pytest.mark.parametrize(("name", "scale", "precision"), PRESETS)
def test_presets(name: str, scale: int, precision: str, bundle_of: Callable[..., Bundle]) -> None:
    """At their own widths, and an odd size."""
    side = 5 if name == "tiny" else 1
    compare(bundle_of(preset(name, scale)), precision, "run", (random(1, side, 3, 3),))


@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul:RuntimeWarning")
@pytest.mark.parametrize("precision", FLOOR)
def test_listing(precision: str) -> None:
    torch.manual_seed(0)
    from imagen_fast.models.listing import ListingGenerator

    network = ListingGenerator(LISTING)
    bundle = Bundle(LISTING, {name: 1.5 * t.numpy() for name, t in network.state_dict().items()})
    x = 2 * random(2, 30, 64) - 1
    with torch.inference_mode():
        exact = build(bundle).double()(torch.from_numpy(x).double()).numpy()
        kind = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
        theirs = build(bundle).to(kind)(torch.from_numpy(x).to(kind)).double().numpy()
    backend = Triton(bundle, precision=precision)
    assert rms(backend.run(x[:, None])[:, 0] - exact) <= 2 * rms(theirs - exact) + FLOOR[precision]
    with pytest.raises(NonFiniteError):
        backend.run(np.full((1, 1, 4, 64), np.inf, np.float32))
    with pytest.raises(BackendError, match="rows has shape"):
        backend.run(np.zeros((1, 4, 4, 3), np.uint8))


def test_a_batch_goes_through_in_chunks(
    small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of bytes, from a view that is not contiguous; each tile as if it were alone."""
    tiles = (255 * random(4, 14, 9, 3)).astype(np.uint8)[:, ::2]
    backend = Triton(small_bundle, precision="fp32")
    whole = backend.run(tiles)
    assert whole.dtype == np.uint8
    assert np.abs(whole.astype(int) - Eager(small_bundle).run(tiles)).max() <= 1
    monkeypatch.setattr(triton_module, "CHUNK_PIXELS", 2 * 7 * 9)
    np.testing.assert_array_equal(backend.run(tiles), whole)
    slots = backend._open()
    assert len(slots.get((2, 7, 9, 3), torch.uint8, 0)) == 2
    for index in range(4):
        np.testing.assert_array_equal(backend.run(tiles[index : index + 1])[0], whole[index])


def test_shapes_come_and_go(small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "MOST_SHAPES", 2)
    backend = Triton(small_bundle, precision="fp32")
    images = [random(1, side, 3, 3, seed=side) for side in (9, 2, 4, 9, 12, 2)]
    outputs = [backend.run(image) for image in images]  # smaller and larger than the memory
    for image, output in zip(images, outputs, strict=True):
        np.testing.assert_array_equal(Triton(small_bundle, precision="fp32").run(image), output)
    slots = backend._open()
    assert [shape[1] for shape, _ in slots._ready] == [12, 2]
    assert slots.memory == slots.program.plan((1, 12, 3, 3)).size


def test_prepare_makes_the_slots_of_a_run(small_bundle: Bundle) -> None:
    backend = Triton(small_bundle, precision="fp32")
    backend.prepare((2, 5, 4))
    (made,) = backend._open()._ready.values()
    backend.run(np.zeros((2, 5, 4, 3), np.uint8))
    (kept,) = backend._open()._ready.values()
    assert made is kept
    assert len(kept) == 1


class Counted(Slot):
    """Remembers the order of events; computes nothing."""

    def __init__(self, name: str, log: list[str], fails: int = -1) -> None:
        self.name, self.log, self.fails = name, log, fails

    def start(self, tiles: NDArray[np.uint8], out: torch.Tensor) -> None:
        if self.fails == tiles[0]:
            raise RuntimeError("no more")
        self.log.append(f"{self.name} starts {tiles[0]}")
        out.copy_(torch.from_numpy(tiles))

    def finish(self) -> bool:
        self.log.append(f"{self.name} ends")
        return self.name != "b"


def test_a_slot_is_waited_for_before_it_starts_again() -> None:
    log: list[str] = []
    slots = [Counted("a", log), Counted("b", log)]
    output = torch.zeros(6, dtype=torch.uint8)
    assert not through(slots, np.arange(6, dtype=np.uint8), output, 2)  # b is not finite
    assert log == ["a starts 0", "b starts 2", "a ends", "a starts 4", "b ends", "a ends"]
    assert output.tolist() == list(range(6))
    log.clear()
    slots = [Counted("a", log), Counted("c", log, fails=2)]
    with pytest.raises(RuntimeError, match="no more"):
        through(slots, np.arange(6, dtype=np.uint8), output, 2)
    assert log == ["a starts 0", "a ends"]  # none is left at work
    assert through(slots[:1], np.arange(6, dtype=np.uint8), output, 3)


def test_chunks_divide_a_batch() -> None:
    assert chunk_of(8, 100, 400) == 4
    assert chunk_of(6, 100, 400) == 3
    assert chunk_of(7, 100, 400) == 1
    assert chunk_of(1, 1000, 400) == 1
    assert chunk_of(8, 1, 400) == 8


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_a_tile_beyond_fp16_is_computed_in_fp32(small_bundle: Bundle) -> None:
    """Its neighbours keep their precision: a white pixel times a large weight is infinite."""
    tensors = dict(small_bundle.tensors)
    stem = tensors["encoder.stem.weight"].copy()
    stem[:, :, 1, 1] *= 3e5
    tensors |= {"encoder.stem.weight": stem}
    tensors |= {"encoder.stem.bias": np.zeros_like(tensors["encoder.stem.bias"])}
    bundle = Bundle(small_bundle.spec, tensors)
    tiles = np.zeros((3, 8, 8, 3), np.uint8)
    tiles[1, 4, 4] = 255
    with pytest.raises(NonFiniteError, match="not finite in fp16"):
        Triton(bundle, precision="fp16").run(tiles)
    engine = Engine(Triton(bundle, precision="fp16"))
    with pytest.warns(PrecisionWarning, match="not finite in fp16; this part is computed in fp32"):
        output = engine.run(tiles)
    assert engine.reruns == 1
    for part, precision in ((slice(1, 2), "fp32"), (slice(0, 3, 2), "fp16")):
        expected = Triton(bundle, precision=precision).run(tiles[part])
        keep_neutral(tiles[part], expected)  # as an engine does
        np.testing.assert_array_equal(output[part], expected)


def test_engine_enlarges_a_picture(tiny_bundle: Bundle) -> None:
    image = (255 * random(13, 9, 3)).astype(np.uint8)
    with Engine(Triton(tiny_bundle, precision="fp32")) as engine:
        output = engine(image)
        assert engine.info()["backend"] == "triton"
        assert {"torch", "triton"} < engine.info()["versions"].keys()  # type: ignore[attr-defined]
    expected = Engine(Eager(tiny_bundle, device="cpu"))(image)
    assert np.abs(output.astype(int) - expected).max() <= 1


@pytest.mark.skipif(ON_GPU, reason="there is a GPU")
def test_the_interpreter_is_for_the_cpu(small_bundle: Bundle) -> None:
    backend = Triton(small_bundle)
    assert (backend.device, backend.precision) == ("cpu", "fp32")
    assert choose("triton")[0] is Triton
    assert choose("auto")[0] is not Triton
    for options, message in (
        ({"device": "cuda"}, "PyTorch finds 0 CUDA devices"),
        ({"device": "gpu"}, "expected auto, cpu, cuda or cuda:N"),
        ({"precision": "bf16"}, "interpreter has no bf16; choose fp32 or fp16"),
    ):
        with pytest.raises(BackendError, match=message):
            Triton(small_bundle, **options)


@pytest.mark.skipif(ON_GPU, reason="there is a GPU")
def test_without_a_gpu_and_interpreter_it_says_what_to_do() -> None:
    code = """
from imagen_fast import load
from imagen_fast.cli.doctor import examine
from imagen_fast.errors import BackendError
try:
    load("sr-x4", backend="triton")
except BackendError as error:
    print(error)
print(examine()["backends"]["triton"])
"""
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, check=True, capture_output=True, text=True, env=environment)
    first, second = done.stdout.splitlines()
    assert first == f"backend 'triton' cannot run here: {second}"
    assert "needs an NVIDIA GPU" in second
    assert "nvidia-smi" in second


def test_a_closed_backend(small_bundle: Bundle) -> None:
    backend = Triton(small_bundle, precision="fp32")
    backend.close()
    with pytest.raises(BackendError, match="this backend is closed"):
        backend.run(random(1, 3, 3, 3))


def test_a_head_wider_than_the_kernels_take(bundle_of: Callable[..., Bundle]) -> None:
    spec = ModelSpec(scale=1, levels=(Level(160, convs=0),), head_dim=160)
    with pytest.raises(BackendError, match=r"head_dim is 160.*choose backend eager"):
        Triton(bundle_of(spec), precision="fp32")
