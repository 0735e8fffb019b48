"""What an exported file says of itself, and what is refused before it is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagen_fast.export import photograph
from imagen_fast.export.options import ExportOptions, chosen
from imagen_fast.export.verify import verify

from imagen_fast._version import __version__
from imagen_fast.bundle import Bundle, load_bundle
from imagen_fast.errors import ExportError, ImageError, WeightsError
from imagen_fast.graph import Graph, network
from imagen_fast.loading import load
from imagen_fast.metrics import psnr
from imagen_fast.spec import Level, ModelSpec, preset

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")

from imagen_fast.export.onnx import digest, export  # noqa: E402


def test_metadata(smallest: Bundle) -> None:
    named = Bundle(smallest.source, smallest.tensors, {"name": "sr-x2", "license": "Apache-2.0"})
    model = onnx.load_from_string(export(named, ExportOptions(io="uint8"), checksum="12ab"))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    text = metadata.pop("graph")
    graph = Graph.from_json(text)
    assert (list(graph.inputs), list(graph.outputs)) == (["image"], ["picture"])
    assert metadata.pop("digest") == digest(model, text)
    assert metadata == {
        "format": "imagen-fast-onnx-2",
        "name": "sr-x2",
        "task": "",
        "architecture": "imagen-fast",
        "scale": "2",
        "layout": "NHWC",
        "range": "0..255",
        "clamped": "yes",
        "precision": "fp32",
        "license": "Apache-2.0",
        "version": __version__,
        "checksum": "sha256:12ab",
    }
    assert (model.producer_name, model.producer_version) == ("imagen-fast", __version__)
    assert model.doc_string == (
        "image (batch, height, width, 3) uint8 to picture (batch, 2*height, 2*width, 3) uint8; "
        "0 to 255"
    )


def test_inputs_and_outputs_by_name(smallest: Bundle) -> None:
    options = ExportOptions(inputs=("context.1",), outputs=("picture.1", "features.0"))
    model = onnx.load_from_string(export(smallest, options))
    sides = [
        {x.name: [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] for x in side}
        for side in (model.graph.input, model.graph.output)
    ]
    half = ["ceil(height/2)", "ceil(width/2)"]
    assert sides == [
        {
            "image": ["batch", 3, "height", "width"],
            "context.1": ["batch", 16, *half],
        },
        {
            "picture.1": ["batch", 3, *(f"2*{side}" for side in half)],
            "features.0": ["batch", 8, "height", "width"],
        },
    ]


def test_what_a_video_hands_on_goes_in_and_out(video_path: Path) -> None:
    options = ExportOptions(inputs=("previous",), outputs=("picture", "previous"))
    data = export(load_bundle(video_path), options)
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    session = onnxruntime.InferenceSession(data)
    frame = np.random.default_rng(0).random((1, 3, 8, 12), np.float32)
    before = np.zeros((1, 32, 8, 12), np.float32)
    pictures = []
    for _ in range(2):
        given = {"image": frame, "previous": before}
        picture, before = session.run(["picture", "previous.out"], given)
        pictures.append(picture)
    with load(video_path, precision="fp32") as engine:
        found: list[Any] = []
        also: dict[str, Any] = {}
        for _ in range(2):
            given = {"image": frame[0].transpose(1, 2, 0), **also}
            made = engine.in_parts(given, ["picture", "previous"])
            also = {"previous": made["previous"]}
            found.append(made["picture"].transpose(2, 0, 1)[None])
    for one, other in zip(pictures, found, strict=True):
        np.testing.assert_allclose(np.clip(one, 0, 1), other, atol=1e-4)
    assert np.abs(pictures[0] - pictures[1]).max() > 0.02


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ExportOptions(outputs=("sample",)),
            "no output 'sample'; choose from picture, picture.1, ",
        ),
        (
            ExportOptions(inputs=("style",)),
            "no input 'style'; choose from image, context.0, context.1",
        ),
        (
            ExportOptions(inputs=("context.0",), outputs=("features.0",)),
            "depends on the input 'context",
        ),
        (ExportOptions(io="uint8", outputs=("features.0",)), "pictures alone; choose float"),
    ],
    ids=str,
)
def test_names_that_do_not_fit(options: ExportOptions, said: str, smallest: Bundle) -> None:
    with pytest.raises(ExportError, match=said):
        export(smallest, options)


def test_names_that_would_meet_in_the_file(smallest: Bundle) -> None:
    graph = smallest.graph
    text = graph.to_json().replace("encoder.stem.bias", "image")
    tensors = dict(smallest.tensors)
    tensors["image"] = tensors.pop("encoder.stem.bias")
    with pytest.raises(ExportError, match="two things in the file would be called 'image'"):
        export(Bundle(Graph.from_json(text), tensors), ExportOptions())


@pytest.mark.parametrize(("opset", "ir"), [(20, 9), (23, 11)])
def test_versions_are_as_old_as_the_opset_allows(opset: int, ir: int, smallest: Bundle) -> None:
    """So that runtimes which know the opset read the file."""
    model = onnx.load_from_string(export(smallest, ExportOptions(opset=opset)))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    assert model.ir_version == ir


def test_the_same_bytes_every_time(smallest: Bundle) -> None:
    assert export(smallest, ExportOptions()) == export(smallest, ExportOptions())


def test_half_is_half_as_large(bundle_of: Callable[..., Bundle]) -> None:
    small = bundle_of(preset("small", 4))
    full, half = (len(export(small, ExportOptions(precision=p))) for p in ("fp32", "fp16"))
    assert 0.5 < half / full < 0.53


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (ExportOptions(precision="bf16"), "precision is 'bf16'; ONNX expects fp32 or fp16"),
        (ExportOptions(opset=19), "opset is 19; ONNX expects 20 or 23"),
        (ExportOptions(io="bytes"), "io is 'bytes'; ONNX expects float or uint8"),
        (ExportOptions(shape=(0, 8)), "the shape is 0x8; expected at least 1x1"),
        (ExportOptions(shape=(8192, 4096)), "at most 16,777,216 pixels, or no fixed shape"),
        (ExportOptions(batch=0), "the batch is 0; expected 1 to 1024"),
    ],
    ids=lambda value: str(value),
)
def test_options_out_of_range(options: ExportOptions, said: str, smallest: Bundle) -> None:
    with pytest.raises(ExportError, match=said):
        export(smallest, options)


def test_a_listing_has_no_pictures(listing: Bundle) -> None:
    with pytest.raises(ExportError, match="pictures alone; choose float"):
        export(listing, ExportOptions(io="uint8"))


def test_tensors_that_do_not_fit(smallest: Bundle) -> None:
    name = "decoder.stages.0.0.attention.kv.weight"
    tensors = {**smallest.tensors, name: np.zeros((8, 8), np.float32)}
    with pytest.raises(WeightsError, match=rf"{name} is \(8, 8\), expected \(16, 8\)"):
        export(Bundle(smallest.spec, tensors), ExportOptions())
    del tensors[name]
    with pytest.raises(WeightsError, match=rf"{name} is missing, expected \(16, 8\)"):
        export(Bundle(smallest.spec, tensors), ExportOptions())


def test_weights_beyond_half(smallest: Bundle) -> None:
    name = "encoder.stem.weight"
    bundle = Bundle(smallest.spec, {**smallest.tensors, name: 1e6 * smallest.tensors[name]})
    with pytest.raises(ExportError, match=f"tensor '{name}' holds values beyond fp16's 65504"):
        export(bundle, ExportOptions(precision="fp16"))
    export(bundle, ExportOptions())


@pytest.mark.parametrize("shape", [(2, 40, 61), (3, 300, 500), (1, 1, 1), (1, 96, 128)])
def test_the_photograph_takes_any_shape(shape: tuple[int, int, int]) -> None:
    own = photograph.load(None)
    assert own.shape == (96, 128, 3)
    made = photograph.shaped(own, *shape, 3)
    assert (made.shape, made.dtype) == ((*shape, 3), np.uint8)
    h, w = shape[1:]
    middle = own[(96 - h) // 2 :, (128 - w) // 2 :] if h <= 96 else own
    np.testing.assert_array_equal(made[0, : min(h, 96), : min(w, 128)], middle[:h, :w])
    assert all(np.any(made[0] != other) for other in made[1:])
    if h > 96:  # continued by mirrors
        np.testing.assert_array_equal(made[0, 96:192, :128], own[::-1])


def run_of(error: float, wrong_from: int = 0) -> Callable[..., Any]:
    """Repeats pixels, with an error in pictures from this number of the batch on."""

    def run(given: dict[str, Any]) -> dict[str, Any]:
        x = given["image"]
        output = x.repeat(2, axis=1).repeat(2, axis=2).copy()
        output[wrong_from:] += np.array(error, x.dtype)
        return {"picture": output}

    return run


@pytest.mark.parametrize(
    ("precision", "error", "passes"),
    [
        *(("fp32", 0, True), ("fp32", 0.9e-4, True), ("fp32", 1.6e-4, False)),
        *(("fp16", 3e-3, True), ("fp16", 5e-3, False), ("fp16", np.nan, False)),
    ],
)
def test_the_bars(precision: str, error: float, passes: bool) -> None:
    """80 dB and 50 dB: a root mean square error of 1e-4 and 3.16e-3."""
    graph = chosen(network(ModelSpec(scale=2, levels=(Level(32),))), ExportOptions())

    def check(wrong_from: int) -> None:
        runs = {"run": (run_of(error, wrong_from), "a"), "reference": (run_of(0), "b")}
        found = verify(graph, ExportOptions(precision=precision), **runs)
        assert found.psnr.keys() == {"1x96x128x3", "2x37x53x3"}
        assert found.worst == np.inf or abs(found.worst + 20 * np.log10(error)) < 0.1

    if passes:
        check(0)
        return
    with pytest.raises(ExportError, match=r"the export is wrong: .* to b on the photograph that"):
        check(0)
    if np.isfinite(error):
        with pytest.raises(ExportError, match="input 2x37x53x3"):
            check(1)  # the second picture alone


def test_an_output_of_another_shape_is_wrong() -> None:
    x = np.zeros((1, 4, 4, 3), np.float32)
    assert psnr(x[:, :3], x) == -np.inf
    assert psnr(x, x) == np.inf


def test_a_picture_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nothing\.png"):
        photograph.load(tmp_path / "nothing.png")
