"""The triton backend: on a GPU where there is one, else in Triton's interpreter."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("triton")

from imagen_fast.kernels.triton.kinds import ROWS
from random_bundles import TWO_LEVELS
from reference import Reference, rms

from imagen_fast.backends import NonFiniteError, choose
from imagen_fast.backends import slots as slots_module
from imagen_fast.backends import triton as triton_module
from imagen_fast.backends.eager import Eager
from imagen_fast.backends.slots import Slot, chunk_of, key_of, through, work_bytes
from imagen_fast.backends.triton import Triton
from imagen_fast.bundle import Bundle
from imagen_fast.engine import Engine, PrecisionWarning
from imagen_fast.errors import BackendError, OperationError
from imagen_fast.graph.kinds import KINDS
from imagen_fast.image.color_bounds import bound_colors
from imagen_fast.spec import Level, ModelSpec, preset

ON_GPU = torch.cuda.is_available()
PRECISIONS = ["fp16", *(["bf16"] if ON_GPU else [])]
Arrays = dict[str, NDArray[Any]]

MIXED = ModelSpec(
    scale=2,
    levels=(Level(20, depth=2, convs=1), Level(30, attention="global"), Level(10, convs=0)),
    head_dim=5,
    window=6,
    latent_channels=3,
)
LISTING = preset("listing", 1)


def random(*shape: int, seed: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def compare(bundle: Bundle, precision: str, inputs: Arrays, wanted: list[str]) -> None:
    """Our outputs, of which each errs at most twice as PyTorch's does in the same precision."""
    ours = Triton(bundle, precision=precision).run(inputs, wanted)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    definition = Reference(bundle.graph, bundle.tensors, inputs, wanted, "kernel", device)
    assert definition.problem(ours, precision) == ""
    for name in wanted:
        assert ours[name].dtype == np.float32
        assert rms(definition.truth[name]) > 0.01


WIDE = {
    "two levels": (TWO_LEVELS, 5),
    "two levels, x1": (replace(TWO_LEVELS, scale=1), 5),
    "base": (preset("base", 2), 1),
}


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_wide_networks(name: str, precision: str, bundle_of: Callable[..., Bundle]) -> None:
    """At their own widths, and an odd size."""
    spec, rows = WIDE[name]
    compare(bundle_of(spec), precision, {"image": random(1, rows, 3, 3)}, ["picture"])


@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul:RuntimeWarning")
def test_listing() -> None:
    torch.manual_seed(0)
    from imagen_fast.models.listing import ListingGenerator

    network = ListingGenerator(LISTING)
    bundle = Bundle(LISTING, {name: 1.5 * t.numpy() for name, t in network.state_dict().items()})
    compare(bundle, "fp16", {"rows": 2 * random(2, 1, 30, 64) - 1}, ["rows"])
    with pytest.raises(NonFiniteError):
        Triton(bundle).run(np.full((1, 1, 4, 64), np.inf, np.float32))
    with pytest.raises(BackendError, match="rows has shape"):
        Triton(bundle).run(np.zeros((1, 4, 4, 3), np.uint8))


def test_what_has_no_kernel_is_named(bundle_of: Callable[..., Bundle]) -> None:
    backend = Triton(bundle_of(replace(MIXED, window=18)))  # maps are of windows up to 16
    with pytest.raises(OperationError, match=r"operation 'attention.0' .* a window has 324 pixels"):
        backend.run({"image": random(1, 5, 10, 3)}, ["attention.0"])
    with pytest.raises(BackendError, match="input 'image' is needed and was not given"):
        backend.run({"context.0": random(1, 5, 10, 20)}, ["picture"])


def test_the_table_of_kinds() -> None:
    """docs/triton.md names the kinds whose kernels have limits, and those that have none: "no"."""
    text = (Path(__file__).parents[2] / "docs" / "triton.md").read_text()
    table = text.partition("## Which operations it runs")[2].partition("\n## ")[0]
    said = {
        kind: answer
        for kinds, answer in re.findall(r"^\| (`.*) \| (.*) \|$", table, re.M)
        for kind in re.findall(r"`(\w+)`", kinds)
    }
    assert len(said) == len(said.keys() & KINDS.keys()) >= 5
    assert {kind for kind, answer in said.items() if answer == "no"} == KINDS.keys() - ROWS.keys()


def test_a_batch_goes_through_in_chunks(
    small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of bytes, from a view that is not contiguous; each tile as if it were alone."""
    tiles = (255 * random(4, 6, 5, 3)).astype(np.uint8)[:, ::2]
    backend = Triton(small_bundle, precision="fp16")
    whole = backend.run(tiles)
    assert whole.dtype == np.uint8
    assert np.abs(whole.astype(int) - Eager(small_bundle).run(tiles)).max() <= 2
    monkeypatch.setattr(triton_module, "CHUNK_PIXELS", 2 * 3 * 5)
    np.testing.assert_array_equal(backend.run(tiles), whole)
    slots = backend._open()
    assert len(slots.get(key_of({"image": tiles}, ["picture"], 2), 0)) == 2
    for index in (0, 3):
        np.testing.assert_array_equal(backend.run(tiles[index : index + 1])[0], whole[index])


def test_shapes_come_and_go(small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "MOST_SHAPES", 2)
    backend = Triton(small_bundle, precision="fp16")
    images = [random(1, side, 3, 3, seed=side) for side in (5, 1, 2, 5, 7, 1)]
    outputs = [backend.run(image) for image in images]  # smaller and larger than the memory
    for image, output in zip(images, outputs, strict=True):
        np.testing.assert_array_equal(Triton(small_bundle, precision="fp16").run(image), output)
    slots = backend._open()
    assert [key[0][0][1] for key in slots._ready] == [(1, 7, 3), (1, 1, 3)]
    (large, _) = slots._ready.values()
    assert slots.memory == work_bytes(large[0].program)


def test_prepare_makes_the_slots_of_a_run(small_bundle: Bundle) -> None:
    backend = Triton(small_bundle, precision="fp16")
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

    def start(self, tiles: Any, out: Any) -> None:
        if self.fails == tiles["x"][0]:
            raise RuntimeError("no more")
        self.log.append(f"{self.name} starts {tiles['x'][0]}")
        out["y"].copy_(torch.from_numpy(tiles["x"]))

    def finish(self) -> bool:
        self.log.append(f"{self.name} ends")
        return self.name != "b"


def test_a_slot_is_waited_for_before_it_starts_again() -> None:
    log: list[str] = []
    slots = [Counted("a", log), Counted("b", log)]
    given, output = {"x": np.arange(6, dtype=np.uint8)}, torch.zeros(6, dtype=torch.uint8)
    assert not through(slots, given, {"y": output}, 2)  # b is not finite
    assert log == ["a starts 0", "b starts 2", "a ends", "a starts 4", "b ends", "a ends"]
    assert output.tolist() == list(range(6))
    log.clear()
    slots = [Counted("a", log), Counted("c", log, fails=2)]
    with pytest.raises(RuntimeError, match="no more"):
        through(slots, given, {"y": output}, 2)
    assert log == ["a starts 0", "a ends"]  # none is left at work
    assert through(slots[:1], given, {"y": output}, 3)


@pytest.mark.parametrize(
    ("count", "side", "most", "chunk"),
    [(8, 10, 400, 4), (6, 10, 400, 3), (7, 10, 400, 1), (1, 100, 400, 1), (8, 1, 400, 8)],
)
def test_chunks_divide_a_batch(count: int, side: int, most: int, chunk: int) -> None:
    assert chunk_of({"x": np.zeros((count, side, side, 1))}, most) == chunk


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_a_tile_beyond_fp16_is_computed_in_fp32(small_bundle: Bundle) -> None:
    """Its neighbours keep their precision: a white pixel times a large weight is infinite."""
    tensors = dict(small_bundle.tensors)
    stem = tensors["encoder.stem.weight"].copy()
    stem[:, :, 1, 1] *= 3e5
    tensors |= {"encoder.stem.weight": stem}
    tensors |= {"encoder.stem.bias": np.zeros_like(tensors["encoder.stem.bias"])}
    bundle = Bundle(small_bundle.spec, tensors)
    tiles = np.zeros((3, 4, 4, 3), np.uint8)
    tiles[1, 2, 2] = 255
    with pytest.raises(NonFiniteError, match="not finite in fp16"):
        Triton(bundle, precision="fp16").run(tiles)
    engine = Engine(Triton(bundle, precision="fp16"))
    with pytest.warns(PrecisionWarning, match="not finite in fp16; this part is computed in fp32"):
        output = engine.run(tiles)
    assert engine.reruns == 1
    for part, backend in ((slice(1, 2), Eager(bundle)), (slice(0, 3, 2), Triton(bundle))):
        expected = backend.run(tiles[part])
        bound_colors(tiles[part], expected)  # as an engine does
        np.testing.assert_array_equal(output[part], expected)


def test_engine_enlarges_a_picture(tiny_bundle: Bundle) -> None:
    image = (255 * random(13, 9, 3)).astype(np.uint8)
    with Engine(Triton(tiny_bundle, precision="fp16")) as engine:
        output = engine(image)
        assert engine.info()["backend"] == "triton"
        assert {"torch", "triton"} < engine.info()["versions"].keys()  # type: ignore[attr-defined]
    expected = Engine(Eager(tiny_bundle, device="cpu"))(image)
    assert np.abs(output.astype(int) - expected).max() <= 2


@pytest.mark.skipif(ON_GPU, reason="there is a GPU")
def test_the_interpreter_is_for_the_cpu(small_bundle: Bundle) -> None:
    backend = Triton(small_bundle)
    assert (backend.device, backend.precision) == ("cpu", "fp16")
    assert choose("triton")[0] is Triton
    assert choose("auto")[0] is not Triton
    for options, message in (
        ({"device": "cuda"}, "PyTorch finds 0 CUDA devices"),
        ({"device": "gpu"}, "expected auto, cpu, cuda or cuda:N"),
        ({"precision": "fp32"}, "backend 'triton' has no fp32; choose bf16 or fp16"),
        ({"precision": "bf16"}, "interpreter has no bf16; choose fp16"),
    ):
        with pytest.raises(BackendError, match=message):
            Triton(small_bundle, **options)


@pytest.mark.skipif(ON_GPU, reason="there is a GPU")
def test_without_a_gpu_and_interpreter_it_says_what_to_do() -> None:
    code = """
from imagen_fast import load
from imagen_fast.cli.doctor import examine
from imagen_fast.errors import BackendError, OperationError
from imagen_fast.graph import Graph, Grid, Input, Output
from imagen_fast.graph.builder import Builder
from imagen_fast.graph.kinds import KINDS
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
    backend = Triton(small_bundle, precision="fp16")
    backend.close()
    with pytest.raises(BackendError, match="this backend is closed"):
        backend.run(random(1, 3, 3, 3))


def test_a_head_wider_than_the_kernels_take(bundle_of: Callable[..., Bundle]) -> None:
    spec = ModelSpec(scale=1, levels=(Level(160, convs=0),), head_dim=160)
    with pytest.raises(BackendError, match=r"head_dim is 160.*choose backend native or eager"):
        Triton(bundle_of(spec), precision="fp16")
