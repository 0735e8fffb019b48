"""ONNX files are untrusted: reading any ends in a model that is ours or in a WeightsError."""

import json
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagen_fast.export.options import Options

from imagen_fast import model_file
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.errors import WeightsError
from imagen_fast.spec import Level

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
ort = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from imagen_fast.export.onnx import export, graph_options  # noqa: E402
from imagen_fast.export.onnx_file import options_of, read, read_header  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

from imagen_fast.backends.onnxruntime import OnnxRuntime  # noqa: E402


@pytest.fixture
def changed(whole: bytes, tmp_path: Path) -> Callable[[Callable[[Any], Any]], Path]:
    """The file after something was done to its model."""

    def make(change: Callable[[Any], Any]) -> Path:
        model = onnx.load_from_string(whole)
        change(model)
        path = tmp_path / "changed.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return make


def refused(path: Path, said: str) -> None:
    with pytest.raises(WeightsError, match=said) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def metadata(model: Any, key: str, value: str) -> None:
    (entry,) = (entry for entry in model.metadata_props if entry.key == key)
    entry.value = value


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(precision="fp16", opset=23),
        Options(io="uint8"),
        Options(shape=(13, 18), batch=2),
        Options(shape=(8, 8), batch=1, opset=23),
    ],
    ids=str,
)
def test_what_is_written_is_read(
    options: Options, tmp_path: Path, bundle_of: Callable[..., Bundle], smallest: Bundle
) -> None:
    """And runs as it did: the graph that is made anew is the file's."""
    path = tmp_path / "a.onnx"
    path.write_bytes(export(smallest, options, checksum="12ab"))
    bundle = read(path)
    assert bundle.spec == smallest.spec
    assert options_of(bundle.metadata) == options
    assert bundle.metadata["checksum"] == "sha256:12ab"
    header = read_header(path)
    assert (header.spec, header.metadata) == (bundle.spec, bundle.metadata)
    n, (h, w) = options.batch or 1, options.shape or (9, 11)
    x = np.random.default_rng(0).random((n, 3, h, w), dtype=np.float32)
    if options.io == "uint8":
        x = (x * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    outputs = [
        ort.InferenceSession(content).run(None, {"image": x})[0]
        for content in (path.read_bytes(), bundle.exported)
    ]
    np.testing.assert_array_equal(*outputs)


def test_a_listing_is_read(listing: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "listing.onnx"
    path.write_bytes(export(listing, Options()))
    x = np.random.default_rng(0).standard_normal((2, 5, 20), dtype=np.float32)
    outputs = [
        OnnxRuntime(bundle, device="cpu").run(x[:, None])[:, 0] for bundle in (listing, read(path))
    ]
    np.testing.assert_array_equal(*outputs)


def test_files_that_are_no_onnx_files(whole: bytes, smallest: Bundle, tmp_path: Path) -> None:
    save_bundle(smallest, tmp_path / "bundle.onnx")
    for name, content, said in [
        ("empty.onnx", b"", "not an ONNX file: it is empty"),
        ("text.onnx", b"this is a text\n", "not an ONNX file: it is text"),
        ("pickle.onnx", b"\x80\x04K\x01.", "not an ONNX file"),
        ("half.onnx", whole[: len(whole) // 2], "not an ONNX file, or damaged"),
        ("bundle.onnx", (tmp_path / "bundle.onnx").read_bytes(), "not an ONNX file"),
    ]:
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, said)
    refused(tmp_path / "nowhere.onnx", "cannot read the model: No such file")
    refused(tmp_path, "cannot read the model: Is a directory")


@pytest.mark.parametrize("text", [b"imagen-fast-onnx-1", b"checksum", b"encoder.stem.bias"])
def test_names_that_are_no_text(text: bytes, whole: bytes, tmp_path: Path) -> None:
    assert text in whole
    path = tmp_path / "latin.onnx"
    path.write_bytes(whole.replace(text, text[:-1] + b"\xff"))
    refused(path, "its metadata is not UTF-8|its tensors are not those")


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)  # takes no space
    refused(path, "larger than 1 GB")


def test_onnx_files_of_others(tmp_path: Path) -> None:
    shape = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [shape], [shape])
    path = tmp_path / "foreign.onnx"
    onnx.save(helper.make_model(graph), path)
    refused(path, "not an ONNX file that `imagen-fast export` wrote, and others are not run")


def test_other_versions(changed: Callable[..., Path]) -> None:
    newer = changed(lambda model: metadata(model, "format", "imagen-fast-onnx-9"))
    refused(newer, "'imagen-fast-onnx-9', expected 'imagen-fast-onnx-1'.*export the model anew")

    def older(model: Any) -> None:
        metadata(model, "version", "0.0.7")
        model.graph.node[5].name = "called otherwise"

    refused(changed(older), r"another version's \('0.0.7'\) or was changed since; export the model")


def external(model: Any) -> None:
    tensor = model.graph.initializer[3]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"


def external_only_named(model: Any) -> None:
    entry = model.graph.initializer[3].external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def not_finite(model: Any) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "encoder.stem.bias")
    tensor.raw_data = np.full(8, np.nan, np.float32).tobytes()


def constant(model: Any) -> None:
    """Where a Reshape's sizes are huge, a runtime asks for as much memory."""
    tensor = next(t for t in model.graph.initializer if t.data_type == TensorProto.INT64)
    tensor.raw_data = np.full(len(tensor.raw_data) // 8, 1 << 40, np.int64).tobytes()


def dimensions(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [1 << 31, 1 << 31]


def node(kind: str, domain: str = "") -> Callable[[Any], None]:
    def change(model: Any) -> None:
        model.graph.node.append(helper.make_node(kind, ["output"], ["more"], domain=domain))

    return change


def swapped(model: Any) -> None:
    model.graph.node[0].op_type = "Loop"


def attribute(model: Any) -> None:
    conv = next(n for n in model.graph.node if n.op_type == "Conv")
    conv.attribute[0].ints[:] = [1 << 40] * 4


def function(model: Any) -> None:
    opset = [helper.make_opsetid("", 20)]
    body = [helper.make_node("Identity", ["a"], ["b"])]
    model.functions.append(helper.make_function("d", "Conv", ["a"], ["b"], body, opset))


def opset(model: Any) -> None:
    model.opset_import[0].version = 7


def interface(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4


def second_input(model: Any) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def twice(model: Any) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def sparse(model: Any) -> None:
    model.graph.sparse_initializer.add().dims[:] = [1 << 40]


def training(model: Any) -> None:
    model.training_info.add()


def unnamed(model: Any) -> None:
    model.graph.initializer[0].name = "unknown"


def floats(model: Any) -> None:
    """Values elsewhere than in raw_data, which are as many bytes."""
    tensor = model.graph.initializer[0]
    values = np.frombuffer(tensor.raw_data, np.float32)
    tensor.ClearField("raw_data")
    tensor.float_data[:] = values


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (external, r"external data\), which is not read"),
        (external_only_named, r"external data\), which is not read"),
        (not_finite, "'encoder.stem.bias' holds values that are not finite"),
        (constant, "a constant of the graph, was changed"),
        (dimensions, r"is of shape \(2147483648, 2147483648\)"),
        (node("Identity"), "its graph is not the one"),
        (node("PyOp", "ai.onnx.contrib"), "its graph is not the one"),
        (swapped, "its graph is not the one"),
        (attribute, "its graph is not the one"),
        (function, "its graph is not the one"),
        (opset, "its graph is not the one"),
        (interface, "its graph is not the one"),
        (second_input, "its graph is not the one"),
        (sparse, "its graph is not the one"),
        (training, "its graph is not the one"),
        (twice, "its tensors are not those that its spec asks for"),
        (unnamed, "its tensors are not those that its spec asks for"),
        (floats, "cut short or stored in an unexpected way"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_changed_files(
    change: Callable[[Any], Any], said: str, changed: Callable[..., Path]
) -> None:
    refused(changed(change), said)


def asked(**options: Any) -> str:
    """What a file says of its options, some of them changed."""
    return json.dumps({**graph_options(Options()), **options})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("spec", "", "the model's spec is not JSON"),
        ("spec", "[" * 100_000, "the model's spec is not JSON"),
        ("spec", "{}", "missing or unknown keys"),
        ("export", "", "does not say how it was exported"),
        ("export", "[" * 100_000, "does not say how it was exported"),
        ("export", "[]", "keys are missing or unknown"),
        (
            "export",
            asked(more=1),
            "keys are missing or unknown",
        ),
        ("export", asked(batch="4"), "a size is no integer"),
        ("export", asked(shape=[8]), "does not say how"),
        ("export", asked(shape=[0, 8]), "the shape is 0x8"),
        (
            "export",
            asked(shape=[1 << 40] * 2),
            "the shape is",
        ),
        ("export", asked(opset=True), "a size is no integer"),
        ("export", asked(opset=21), "opset is 21"),
        ("export", asked(precision=[]), r"precision is \[\]"),
        ("export", asked(io="uint8"), "its tensors are not those"),
        (
            "export",
            json.dumps(graph_options(Options(precision="fp16"))),
            "of shape|its tensors are not",
        ),
        (
            "export",
            json.dumps(graph_options(Options(shape=(4096, 4096)))),
            "of shape|its tensors are not",
        ),
    ],
)
def test_metadata_that_lies(key: str, value: str, said: str, changed: Callable[..., Path]) -> None:
    refused(changed(lambda model: metadata(model, key, value)), said)


@pytest.mark.parametrize(
    "levels",
    [
        (Level(4096, depth=64, convs=64),) * 8,  # far more nodes than the file has
        (Level(4096, convs=1), Level(4096, convs=0)),  # far larger tensors
    ],
    ids=["long", "wide"],
)
def test_a_spec_that_promises_much_costs_nothing(
    levels: tuple[Level, ...], smallest: Bundle, changed: Callable[..., Path]
) -> None:
    spec = replace(smallest.spec, levels=levels)
    path = changed(lambda model: metadata(model, "spec", spec.to_json()))
    tracemalloc.start()
    start = time.perf_counter()
    refused(path, "smaller than its spec|its tensors are not|is of shape")
    assert time.perf_counter() - start < 1
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_a_model_without_the_package(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(whole)
    monkeypatch.setattr(model_file, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"onnx is needed; .*pip install '.\[onnx\]'"):
        model_file.load_model(path)
