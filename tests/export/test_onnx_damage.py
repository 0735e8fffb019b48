"""ONNX files cut and changed at random: what is taken is ours, and runs."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imagen_fast.export.options import ExportOptions, chosen

from imagen_fast.bundle import Bundle
from imagen_fast.errors import WeightsError

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from imagen_fast.export.onnx_file import read  # noqa: E402

from imagen_fast.backends.onnxruntime import OnnxRuntime  # noqa: E402


def runs_or_is_refused(content: bytes, path: Path) -> bool:
    """Whether the file is taken; then it must run."""
    path.write_bytes(content)
    try:
        bundle = read(path)
    except WeightsError:
        return False
    OnnxRuntime(bundle, device="cpu", threads=1).close()
    return True


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.floats(0, 1, exclude_max=True))
def test_truncated_anywhere(cut: float, whole: bytes, tmp_path: Path) -> None:
    assert not runs_or_is_refused(whole[: int(cut * len(whole))], tmp_path / "cut.onnx")


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=9)), max_size=3),
    insert=st.booleans(),
    weights=st.booleans(),
)
def test_mutated_anywhere(
    edits: list[tuple[float, bytes]], insert: bool, weights: bool, whole: bytes, tmp_path: Path
) -> None:
    """Most bytes are weights: many such files are taken, and run. Without them all is graph."""
    model = onnx.load_from_string(whole)
    if not weights:
        for tensor in model.graph.initializer:
            tensor.raw_data = b""
    content = bytearray(model.SerializeToString())
    for where, new in edits:
        at = int(where * len(content))
        content[at : at if insert else at + len(new)] = new
    runs_or_is_refused(bytes(content), tmp_path / "mutated.onnx")


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    at=st.integers(0), bit=st.integers(0, 7), part=st.sampled_from(["node", "input", "metadata"])
)
def test_bits_flipped_in_the_graph(
    at: int, bit: int, part: str, whole: bytes, smallest: Bundle, tmp_path: Path
) -> None:
    """Where no weights are."""
    model = onnx.load_from_string(whole)
    message = {
        "node": lambda: model.graph.node[at % len(model.graph.node)],
        "input": lambda: model.graph.input[0],
        "metadata": lambda: model.metadata_props[at % len(model.metadata_props)],
    }[part]()
    content = bytearray(message.SerializeToString())
    content[at % len(content)] ^= 1 << bit
    try:
        message.ParseFromString(bytes(content))
        flipped = model.SerializeToString()
    except Exception:  # not even a message
        return
    path = tmp_path / "flipped.onnx"
    if runs_or_is_refused(flipped, path):
        # What runs is what was written, whatever was flipped.
        assert read(path).graph == chosen(smallest.graph, ExportOptions())
