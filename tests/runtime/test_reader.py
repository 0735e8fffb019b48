"""The C++ bundle reader: takes what the Python reader takes, refuses all else as WeightsError."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from imagen_fast.bundle import Bundle, load_bundle, save_bundle
from imagen_fast.errors import WeightsError
from imagen_fast.graph import Graph, Input, Operation, Output, network
from imagen_fast.spec import Level, ModelSpec

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

SPEC = ModelSpec(scale=2, levels=(Level(32, convs=1),))
GRAPH = network(SPEC).to_json()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reader") / "model.safetensors"
    tensors = {"a": np.ones((2, 3), np.float32), "b": np.ones(5, np.float16)}
    save_bundle(Bundle(SPEC, tensors, {"note": 'é "quoted" \\ \n 漢 \U0001f600'}), path)
    return path


def with_header(header: object, data: bytes, path: Path) -> Path:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_reads_what_python_reads(path: Path) -> None:
    metadata, shapes = _native.read_bundle(str(path))
    expected = load_bundle(path)
    assert metadata == expected.metadata
    assert shapes == {name: list(tensor.shape) for name, tensor in expected.tensors.items()}


def test_engine_from_a_file_is_the_engine_from_arrays(small_bundle: Bundle, tmp_path: Path) -> None:
    half = {
        name: t.astype(np.float16 if name.endswith("q.weight") else np.float32)
        for name, t in small_bundle.tensors.items()
    }
    save_bundle(Bundle(SPEC, half), tmp_path / "m.safetensors")
    image = np.random.default_rng(0).integers(0, 256, (1, 9, 9, 3), np.uint8)
    loaded = _native.Engine.load(str(tmp_path / "m.safetensors"))
    made = _native.Engine(network(SPEC).to_json(), half)
    outs = [engine.run({"image": image}, ["picture"])["picture"] for engine in (loaded, made)]
    np.testing.assert_array_equal(*outs)


def test_every_half_is_the_float_that_it_says() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(-1, 256, 1, 1)  # 248 of 256 channels
    operation = Operation(
        "convolution", "y", ("x",), {"weight": "w"}, {"channels": 248, "kernel": 1}
    )
    graph = Graph({"x": Input(256)}, (operation,), {"y": Output("y")}).to_json()
    one = np.eye(256, dtype=np.float32).reshape(1, 16, 16, 256)
    found = _native.Engine(graph, {"w": halves}).run({"x": one}, ["y"])["y"]
    np.testing.assert_array_equal(found.reshape(256, -1).T, halves[:, :, 0, 0].astype(np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": {"dtype": "F64"}}, "F64; expected F32 or F16"),
        ({"a": {"shape": [2, 4]}}, "do not fit its shape"),
        ({"a": {"shape": [2, -3]}}, "impossible shape"),
        ({"a": {"shape": [1 << 62, 1 << 62]}}, "impossible shape"),
        ({"a": {"shape": [2, 3.0]}}, "is not an integer"),
        ({"a": {"data_offsets": [4, 28]}}, "overlap or leave gaps"),
        ({"b": {"data_offsets": [0, 10]}}, "overlap or leave gaps"),
        ({"b": {"data_offsets": [30, 40]}}, "ends beyond the file"),
        ({"b": {"data_offsets": [24]}}, "two data_offsets"),
        ({"b": {"extra": 1}}, "exactly dtype, shape and data_offsets"),
        ({"__metadata__": {"format": "other"}}, "not an imagen-fast model"),
        ({"__metadata__": {"graph": "{}"}}, "has no key"),
        ({"__metadata__": {"graph": GRAPH[:-1] + ',"x":1}'}}, "unknown keys"),
        ({"__metadata__": {"alignment": "0"}}, "its alignment is '0'; expected 1 to 65536"),
        ({"__metadata__": {"exact_overlap": "-1"}}, "its exact_overlap is '-1'"),
    ],
)
def test_wrong_headers(
    change: dict[str, dict[str, object]], message: str, path: Path, tmp_path: Path
) -> None:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    for name, fields in change.items():
        header[name].update(fields)
    wrong = with_header(header, content[8 + length :], tmp_path / "wrong.safetensors")
    with pytest.raises(WeightsError, match=message) as caught:
        _native.read_bundle(str(wrong))
    assert str(wrong) in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{",
        '{"a":',
        "[" * 100000,
        '{"a":1,"a":1}',
        '{"a":"\\ud800"}',
        '{"a":"\x01"}',
        "01",
        "{} x",
    ],
)
def test_headers_that_are_no_json(header: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="JSON"):
        _native.read_bundle(str(with_header(header, b"", tmp_path / "x.safetensors")))


def test_things_that_are_no_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for target in (tmp_path, tmp_path / "empty", tmp_path / "absent", Path("/dev/zero")):
        with pytest.raises(WeightsError, match=str(target)):
            _native.read_bundle(str(target))
    (tmp_path / "long").write_bytes(struct.pack("<Q", 1 << 63) + b"{}")
    with pytest.raises(WeightsError, match="header says"):
        _native.read_bundle(str(tmp_path / "long"))


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_is_refused_or_harmless(data: st.DataObject, path: Path, tmp_path: Path) -> None:
    """Bytes changed, cut off or added: read as Python reads it, or WeightsError. Never a crash."""
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["change", "cut", "insert", "digit"]))
        if kind == "change":
            content[at] = data.draw(st.integers(0, 255))
        elif kind == "digit":
            content[at] = data.draw(st.sampled_from(b'0123456789-[]{}",:'))
        elif kind == "cut":
            del content[at:][: data.draw(st.integers(1, 40))]
            content = content[: max(1, at)]
        else:
            content[at:at] = data.draw(st.binary(min_size=1, max_size=8))
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(content)
    try:
        metadata, shapes = _native.read_bundle(str(damaged))
    except WeightsError:
        return
    if metadata.get("spec") != SPEC.to_json():
        return  # what is known of the architecture beside the graph, which C++ does not read
    if any(not np.isfinite(t).all() for t in load_file(damaged).values()):
        return  # values are checked where they are used
    expected = load_bundle(damaged)
    assert metadata == expected.metadata
    assert shapes == {name: list(tensor.shape) for name, tensor in expected.tensors.items()}
