"""A call with named inputs and outputs through the C API gives what Python gives, bit by bit."""

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from c_interface import INVALID, NOT_FINITE, Engine, Failed, Samples, library

from imagen_fast import c_library
from imagen_fast.backends.native import Native
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.graph import network
from imagen_fast.graph.passes import needed
from imagen_fast.spec import Level, ModelSpec

if missing := c_library.missing():
    pytest.skip(missing, allow_module_level=True)

SPEC = ModelSpec(scale=2, levels=(Level(32, convs=1), Level(32)), latent_channels=5)
RNG = np.random.default_rng(0)
IMAGE = RNG.random((2, 9, 14, 3), dtype=np.float32)
BYTES = RNG.integers(0, 256, (2, 9, 14, 3), np.uint8)
LATENT = RNG.standard_normal((2, 5, 7, 5)).astype(np.float32)
LATENTS = {
    "latent": LATENT,
    "latent.0": RNG.standard_normal((2, 10, 14, 32)).astype(np.float32),
    "latent.1": RNG.standard_normal((2, 5, 7, 32)).astype(np.float32),
}


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[..., Bundle]) -> Bundle:
    return bundle_of(SPEC)


@pytest.fixture(scope="module")
def python(bundle: Bundle) -> Native:
    return Native(bundle, precision="fp32")


@pytest.fixture(scope="module")
def engine(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("graph") / "m.safetensors"
    save_bundle(bundle, path)
    with Engine(library(), path, precision="fp32") as engine:
        yield engine


def test_a_listing_of_inputs_and_outputs_is_the_graph_s(engine: Engine, bundle: Bundle) -> None:
    graph = bundle.graph
    inputs = list(graph.inputs)
    for which, named in (
        ("input", {n: (n, x.picture, x.optional) for n, x in graph.inputs.items()}),
        ("output", {n: (x.value, x.picture, False) for n, x in graph.outputs.items()}),
    ):
        infos = engine.infos(which)
        assert [info.name.decode() for info in infos] == list(named)
        for info, (value, picture, optional) in zip(infos, named.values(), strict=True):
            channels, grid = graph.values[value].channels, graph.values[value].grid
            assert (info.channels, info.picture, info.optional) == (channels, picture, optional)
            assert (inputs[info.of], info.halvings, info.factor, info.margin) == (
                grid.of, grid.halvings, grid.factor, grid.around // 2,
            )  # fmt: skip


def test_features_pictures_and_maps(engine: Engine, python: Native) -> None:
    wanted = ["features.1", "picture", "attention.0", "picture.1"]
    found = engine.run_graph({"image": IMAGE}, wanted)
    for name, array in python.run({"image": IMAGE}, wanted).items():
        np.testing.assert_array_equal(found[name], array)
    assert engine.bytes_needed > 0


def test_pictures_of_latents_and_a_context(engine: Engine, python: Native) -> None:
    context = engine.run_graph({"image": IMAGE[:, ::-1].copy()}, ["features.0", "features.1"])
    given = {"image": IMAGE} | {f"context.{i}": x for i, x in enumerate(context.values())}
    for inputs, wanted in ((LATENTS, ["sample"]), (given, ["picture"])):
        found, expected = engine.run_graph(inputs, wanted), python.run(inputs, wanted)
        np.testing.assert_array_equal(found[wanted[0]], expected[wanted[0]])


def test_a_generator_s_file_makes_pictures_of_latents_alone(bundle: Bundle, tmp_path: Path) -> None:
    graph = needed(bundle.graph, ["sample", "sample.1"])
    tensors = {name: bundle.tensors[name] for name in graph.tensors}
    alone = Bundle(graph, tensors, {"task": "generate"})
    save_bundle(alone, tmp_path / "m.safetensors")
    expected = Native(alone, precision="fp32").run(LATENTS, ["sample", "sample.1"])
    with Engine(library(), tmp_path / "m.safetensors", precision="fp32") as engine:
        found = engine.run_graph(LATENTS, ["sample", "sample.1"])
    assert {name: x.shape for name, x in found.items()} == {
        "sample": (2, 20, 28, 3),
        "sample.1": (2, 10, 14, 3),
    }
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_two_pictures_of_different_sizes(tmp_path: Path) -> None:
    levels = (Level(8, convs=0), Level(16, convs=1), Level(24, attention="global"))
    spec = ModelSpec("style", 1, levels, head_dim=12)
    weights = {
        name: np.float32(0.2) * RNG.standard_normal(shape, np.float32)
        for name, shape in network(spec).tensors.items()
    }
    bundle = Bundle(spec, weights, {"task": "stylize"})
    save_bundle(bundle, tmp_path / "m.safetensors")
    style = RNG.random((2, 31, 20, 3), dtype=np.float32)
    python = Native(bundle, precision="fp32")
    expected = python.run({"image": IMAGE, "style": style}, ["stylized"])["stylized"]
    with Engine(library(), tmp_path / "m.safetensors", precision="fp32") as engine:
        found = engine.run_graph({"image": IMAGE, "style": style}, ["stylized"])["stylized"]
        np.testing.assert_array_equal(found, expected)
        tokens = engine.run_graph({"style": style}, ["tokens"])
        found = engine.run_graph({"image": IMAGE, **tokens}, ["picture"])["picture"]
        np.testing.assert_array_equal(found, expected)
        with pytest.raises(Failed, match="'tokens' is needed and was not given"):
            engine.run_graph({"image": IMAGE}, ["picture"])


def test_one_picture_is_a_case_of_it(engine: Engine) -> None:
    for picture in (BYTES, IMAGE):
        found = engine.run_graph({"image": picture}, ["picture"])["picture"]
        assert found.dtype == picture.dtype
        np.testing.assert_array_equal(found, engine(picture, untiled=True))


def test_bytes_beside_floats(engine: Engine, python: Native) -> None:
    found = engine.run_graph({"image": BYTES}, ["features.0", "picture"])
    assert {n: x.dtype for n, x in found.items()} == {"features.0": "float32", "picture": "uint8"}
    np.testing.assert_array_equal(found["picture"], python.run(BYTES))
    floats = python.run({"image": (BYTES / np.float32(255))}, ["features.0"])
    np.testing.assert_allclose(found["features.0"], floats["features.0"], atol=1e-5)


def test_arrays_with_gaps_and_from_bottom_to_top(engine: Engine) -> None:
    wide = np.zeros((2, 9, 20, 8), np.float32)
    image = wide[:, ::-1, 3:17, 2:5]
    image[...] = IMAGE
    room = np.full((2, 9, 15, 40), 77, np.float32)
    engine.run_graph({"image": image}, {"features.0": room[:, :, :14, :32]})
    expected = engine.run_graph({"image": IMAGE}, ["features.0"])["features.0"]
    np.testing.assert_array_equal(room[:, :, :14, :32], expected)
    assert (room[:, :, 14:] == 77).all()
    assert (room[..., 32:] == 77).all()


@pytest.mark.parametrize(
    ("given", "wanted", "message"),
    [
        ({"picture": IMAGE}, ["picture"], "no input 'picture'; it has image, "),
        ({"image": IMAGE}, ["features.9"], "no output 'features.9'; it has picture, "),
        ({"image": IMAGE}, ["sample"], "'latent' is needed and was not given"),
        ({"image": IMAGE[..., :2]}, ["picture"], "has 2 channels; expected 3"),
        ({"image": IMAGE, "context.0": IMAGE}, ["picture"], "has 3 channels; expected 32"),
        ({"image": IMAGE, "latent": LATENT[:1]}, ["picture"], "another number of images"),
        ({"image": BYTES}, ["picture.1"], "bytes are for the finest picture alone"),
        (LATENTS | {"latent": LATENT.astype(np.uint8)}, ["sample"], "bytes are for pictures alone"),
        ({"image": IMAGE * 2}, ["picture"], "do not lie between 0 and 1"),
        (LATENTS | {"latent": LATENT * np.float32("inf")}, ["sample"], "not finite"),
        ({"image": IMAGE}, {"picture": np.zeros((2, 18, 27, 3), np.float32)}, "expected float32"),
        ({"image": IMAGE}, {"picture": np.zeros((2, 18, 28, 3), np.uint8)}, "is uint8"),
    ],
)  # fmt: skip
def test_what_cannot_be(
    given: dict[str, Samples], wanted: list[str] | dict[str, Samples], message: str, engine: Engine
) -> None:
    with pytest.raises(Failed) as caught:
        engine.run_graph(given, wanted)
    assert caught.value.status == INVALID
    assert message in str(caught.value)


def test_a_run_that_is_not_finite_leaves_nothing_behind(
    bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("graph") / "m.safetensors"
    save_bundle(bundle, path)
    huge = LATENTS | {"latent": np.full_like(LATENT, 3e38)}
    with Engine(library(), path) as engine:
        before = engine.run_graph(LATENTS, ["sample"])["sample"]
        with pytest.raises(Failed) as caught:
            engine.run_graph(huge, ["sample"])
        assert caught.value.status == NOT_FINITE
        after = engine.run_graph(LATENTS, ["sample"])["sample"]
        np.testing.assert_array_equal(after, before)


def test_structures_of_an_older_header_still_run(engine: Engine) -> None:
    """Without their names, which came later: the first input and the first output."""
    from c_interface import OK, Picture, picture

    out = np.empty((2, 18, 28, 3), np.float32)
    given, taken = picture(IMAGE, "never read"), picture(out, "never read")
    given.size = taken.size = Picture.name.offset
    status = engine.lib.imagen_fast_run_graph(
        engine.handle, ctypes.byref(given), 1, ctypes.byref(taken), 1, None
    )
    assert status == OK
    np.testing.assert_array_equal(out, engine(IMAGE, untiled=True))
