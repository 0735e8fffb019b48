"""ONNX files are untrusted: reading any ends in a model that is ours or in a WeightsError."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagen_fast.export.options import ExportOptions, chosen

from imagen_fast import model_file
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.errors import WeightsError
from imagen_fast.graph import network
from imagen_fast.spec import Level

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
ort = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from imagen_fast.export.onnx import digest, export  # noqa: E402
from imagen_fast.export.onnx_file import read, read_header  # noqa: E402
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
        ExportOptions(opset=23),
        ExportOptions(precision="fp16"),
        ExportOptions(io="uint8", shape=(13, 18), batch=2),
        ExportOptions(inputs=("context.0",), outputs=("features.1", "picture")),
    ],
    ids=str,
)
def test_what_is_written_is_read(options: ExportOptions, tmp_path: Path, smallest: Bundle) -> None:
    """Graph and tensors, whatever else the file was made for."""
    path = tmp_path / "a.onnx"
    named = Bundle(smallest.source, smallest.tensors, {"name": "a", "license": "CC0"})
    path.write_bytes(export(named, options, checksum="12ab"))
    bundle = read(path)
    assert bundle.graph == chosen(smallest.graph, options)
    assert bundle.metadata["checksum"] == "sha256:12ab"
    assert (bundle.metadata["name"], bundle.metadata["license"]) == ("a", "CC0")
    assert bundle.is_ours
    assert bundle.tensors.keys() == bundle.graph.tensors.keys()
    for name, tensor in bundle.tensors.items():
        half = options.precision == "fp16" and not name.endswith("temperature")
        expected = smallest.tensors[name].astype(np.float16 if half else np.float32)
        assert tensor.dtype == expected.dtype
        np.testing.assert_array_equal(tensor, expected)
    header = read_header(path)
    assert (header.graph, header.metadata, header.tensors) == (bundle.graph, bundle.metadata, {})


def test_a_listing_is_read(listing: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "listing.onnx"
    path.write_bytes(export(listing, ExportOptions()))
    x = np.random.default_rng(0).standard_normal((2, 1, 5, 20), dtype=np.float32)
    outputs = [OnnxRuntime(bundle, device="cpu").run(x) for bundle in (listing, read(path))]
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


@pytest.mark.parametrize("text", [b"imagen-fast-onnx-2", b"checksum", b"encoder.stem.bias"])
def test_names_that_are_no_text(text: bytes, whole: bytes, tmp_path: Path) -> None:
    assert text in whole
    path = tmp_path / "latin.onnx"
    path.write_bytes(whole.replace(text, text[:-1] + b"\xff"))
    refused(path, "its metadata is not UTF-8|not an ONNX file, or damaged|is missing")


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
    refused(path, "not an ONNX file that `imagen-fast export` wrote")


def test_other_versions(changed: Callable[..., Path]) -> None:
    newer = changed(lambda model: metadata(model, "format", "imagen-fast-onnx-9"))
    refused(newer, "'imagen-fast-onnx-9', expected 'imagen-fast-onnx-2'.*export the model anew")


def weight(model: Any) -> Any:
    return next(t for t in model.graph.initializer if t.name == "encoder.stem.bias")


def external(model: Any) -> None:
    tensor = weight(model)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"


def external_only_named(model: Any) -> None:
    entry = weight(model).external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def not_finite(model: Any) -> None:
    weight(model).raw_data = np.full(8, np.nan, np.float32).tobytes()


def dimensions(model: Any) -> None:
    weight(model).dims[:] = [1 << 31, 1 << 31]


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
    weight(model).name = "unknown"


def floats(model: Any) -> None:
    """Values elsewhere than in raw_data, which are as many bytes."""
    tensor = weight(model)
    values = np.frombuffer(tensor.raw_data, np.float32)
    tensor.ClearField("raw_data")
    tensor.float_data[:] = values


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (external, r"external data\), which is not read"),
        (external_only_named, r"external data\), which is not read"),
        (not_finite, "'encoder.stem.bias' holds values that are not finite"),
        (dimensions, r"is of shape \(2147483648, 2147483648\)"),
        (node("Identity"), "it was changed since"),
        (node("PyOp", "ai.onnx.contrib"), "it was changed since"),
        (swapped, "it was changed since"),
        (attribute, "it was changed since"),
        (function, "it was changed since"),
        (opset, "it was changed since"),
        (interface, "it was changed since"),
        (second_input, "it was changed since"),
        (sparse, "it was changed since"),
        (training, "it was changed since"),
        (twice, "two of its tensors have one name"),
        (unnamed, "tensor 'encoder.stem.bias' is missing"),
        (floats, "cut short or stored in an unexpected way"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_changed_files(
    change: Callable[[Any], Any], said: str, changed: Callable[..., Path]
) -> None:
    refused(changed(change), said)


def test_constants_of_the_file_are_not_looked_at(
    changed: Callable[..., Path], smallest: Bundle
) -> None:
    """Where a Reshape's sizes are huge, a runtime would ask for as much memory."""

    def huge(model: Any) -> None:
        tensor = next(t for t in model.graph.initializer if t.data_type == TensorProto.INT64)
        tensor.raw_data = np.full(len(tensor.raw_data) // 8, 1 << 40, np.int64).tobytes()

    bundle = read(changed(huge))
    x = np.random.default_rng(0).random((1, 9, 7, 3), dtype=np.float32)
    outputs = [OnnxRuntime(each, device="cpu").run(x) for each in (smallest, bundle)]
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "the model's graph is not JSON"),
        ("[" * 100_000, "the model's graph is not JSON"),
        ("{}", "expected exactly the keys"),
    ],
)
def test_metadata_that_is_no_graph(value: str, said: str, changed: Callable[..., Path]) -> None:
    refused(changed(lambda model: metadata(model, "graph", value)), said)


def test_a_digest_that_was_made_anew_lets_no_node_run(changed: Callable[..., Path]) -> None:
    """Whoever changes nodes can write their digest as well: what runs is of the graph alone."""

    def change(model: Any) -> None:
        swapped(model)
        (graph,) = (entry.value for entry in model.metadata_props if entry.key == "graph")
        metadata(model, "digest", digest(model, graph))

    graphs = [read(path).graph for path in (changed(change), changed(lambda model: None))]
    assert graphs[0] == graphs[1]


@pytest.mark.parametrize(
    "levels",
    [
        (Level(64, depth=60, convs=6),) * 4,  # far more operations than the file has tensors for
        (Level(4096, convs=1), Level(4096, convs=0)),  # far larger tensors
    ],
    ids=["long", "wide"],
)
def test_a_graph_that_promises_much_costs_nothing(
    levels: tuple[Level, ...], smallest: Bundle, changed: Callable[..., Path]
) -> None:
    graph = network(replace(smallest.spec, levels=levels))

    def promise(model: Any) -> None:
        metadata(model, "graph", graph.to_json())
        metadata(model, "digest", digest(model, graph.to_json()))

    path = changed(promise)
    tracemalloc.start()
    refused(path, "is missing|is of shape")
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
