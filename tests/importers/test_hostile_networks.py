"""Files that are no networks, or damaged ones: one line of an error, soon, and no more memory."""

from __future__ import annotations

import random
import resource
import time
from pathlib import Path

import networks
import numpy as np
import pytest
import torch
from checkpoints import Compact
from ncnn_files import Writer
from safetensors.torch import save_file
from torch import nn

from imagen_fast import importers
from imagen_fast.errors import ImagenError, WeightsError

onnx = pytest.importorskip("onnx")
helper, TensorProto = onnx.helper, onnx.TensorProto

ROUNDS = 60
SECONDS = 20.0  # for one file, on a busy machine
MEGABYTES = 500  # that reading a small file may take


def _onnx(path: Path) -> list[Path]:
    names = ("strided", "layer norm", "squeeze", "unshuffled", "bilinear", "groups", "gate")
    networks.export(networks.network(*names), path / "a.onnx")
    return [path / "a.onnx"]


def _ncnn(path: Path) -> list[Path]:
    torch.manual_seed(0)
    w = Writer()
    w.add("Input", [], ["data"])
    w.add("Split", ["data"], ["x1", "x2"])
    w.conv(nn.Conv2d(3, 8, 3, padding=1), "x1", "a", "9=2", "-23310=1,0.2")
    w.conv(nn.Conv2d(8, 12, 3, padding=1), "a", "b")
    w.add("PixelShuffle", ["b"], ["c"], "0=2")
    w.add("Interp", ["x2"], ["d"], "0=3", "1=2.0", "2=2.0")
    w.add("BinaryOp", ["c", "d"], ["e"], "0=0")
    w.write(path / "a")
    return [path / "a.param", path / "a.bin"]


def _checkpoint(path: Path) -> list[Path]:
    torch.save(Compact().state_dict(), path / "a.pth")
    return [path / "a.pth"]


def _safetensors(path: Path) -> list[Path]:
    save_file(Compact().state_dict(), path / "a.safetensors")
    return [path / "a.safetensors"]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, left out, doubled or moved, or the end cut off."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place, count = rng.randrange(len(changed) + 1), rng.choice((1, 1, 4, 16))
        part = changed[place : place + count]
        match rng.randrange(5):
            case 0:
                changed[place : place + count] = rng.randbytes(len(part))
            case 1:
                del changed[place : place + count]
            case 2:
                changed[place:place] = part
            case 3:
                other = rng.randrange(len(changed) + 1)
                changed[other : other + len(part)] = part
            case 4 if rng.random() < 0.2:
                del changed[place:]
    return bytes(changed)


@pytest.mark.parametrize("write", [_onnx, _ncnn, _checkpoint, _safetensors])
def test_damaged_files_are_read_or_refused(
    write: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagen_fast.importers import probe

    # What is read is not run as well: every damaged network would be, twice.
    monkeypatch.setattr(probe, "returns_the_picture", lambda one, other: False)
    files = write(tmp_path)  # type: ignore[operator]
    right = {file: file.read_bytes() for file in files}
    rng = random.Random(0)
    refused: list[str] = []
    for _ in range(ROUNDS):
        file = rng.choice(files)
        file.write_bytes(mutated(right[file], rng))
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        try:
            importers._load.cache_clear()
            importers.load(file)
        except ImagenError as error:
            refused.append(str(error))
        assert time.monotonic() - start < SECONDS
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES << 10
        file.write_bytes(right[file])
    assert refused
    assert not [text for text in refused if "\n" in text]
    importers.load(files[0])


def model(*nodes: object, weights: tuple[object, ...] = (), domain: str = "") -> bytes:
    """An ONNX file of these nodes, from "x" to "y"."""
    shape = [1, 3, None, None]
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        list(weights),
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    data: bytes = helper.make_model(graph, opset_imports=opsets).SerializeToString()
    return data


def numbers(name: str, *values: int) -> object:
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)


def elsewhere(location: str) -> bytes:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 3, 1, 1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model(helper.make_node("Conv", ["x", "w"], ["y"]), weights=(tensor,))


node = helper.make_node
HUGE = node("ConstantOfShape", ["n"], ["c"])
HOSTILE = {
    "a foreign operator": (
        model(node("Trick", ["x"], ["y"], domain="evil"), domain="evil"), "not ONNX's own",
    ),
    "an unknown operator": (model(node("Trick", ["x"], ["y"])), r"\(Trick, .*no such operation"),
    "a cycle": (
        model(
            node("Relu", ["b"], ["a"]), node("Relu", ["a"], ["b"]), node("Add", ["x", "a"], ["y"])
        ),
        "which nothing before it gives",
    ),
    "a huge constant": (
        model(HUGE, node("Add", ["x", "c"], ["y"]), weights=(numbers("n", 1 << 20, 1 << 20),)),
        "numbers; expected",
    ),
    "a constant that grows": (
        model(
            node("Range", ["o", "n", "s"], ["c"]), node("Add", ["x", "c"], ["y"]),
            weights=tuple(
                helper.make_tensor(name, TensorProto.INT64, [], [value])
                for name, value in (("o", 0), ("n", 1 << 60), ("s", 1))
            ),
        ),
        "numbers; expected",
    ),
    "an outer sum": (
        model(
            node("Add", ["u", "v"], ["c"]), node("Add", ["x", "c"], ["y"]),
            weights=(
                helper.make_tensor("u", TensorProto.FLOAT, [20000, 1], np.zeros(20000)),
                helper.make_tensor("v", TensorProto.FLOAT, [1, 20000], np.zeros(20000)),
            ),
        ),
        "numbers; expected",
    ),
    "no output": (model(node("Relu", ["x"], ["z"])), "not computed of the picture"),
    "an output twice": (
        model(node("Relu", ["x"], ["y"]), node("Tanh", ["x"], ["y"])), "computed twice",
    ),
    "an input over itself": (model(node("Relu", ["x"], ["x"])), "computed twice"),
    "graphs inside": (
        model(
            node("If", ["x"], ["y"], then_branch=helper.make_graph([], "t", [], []),
                 else_branch=helper.make_graph([], "e", [], []))
        ),
        "graphs inside",
    ),
    "weights that are not finite": (
        model(
            node("Mul", ["x", "w"], ["y"]),
            weights=(helper.make_tensor("w", TensorProto.FLOAT, [3, 1, 1], [1, np.nan, 1]),),
        ),
        "not finite",
    ),
    "complex weights": (
        model(
            node("MatMul", ["x", "w"], ["y"]),
            weights=(helper.make_tensor("w", TensorProto.COMPLEX64, [1, 1], [1 + 2j]),),
        ),
        "holds complex numbers; expected real ones",
    ),
    "a shape that is a lie": (
        model(
            node("Reshape", ["x", "n"], ["y"]), weights=(numbers("n", 1, 3, 7, -1),)
        ),
        "no picture of channels",
    ),
    "many channels": (
        model(node("SpaceToDepth", ["x"], ["y"], blocksize=1 << 20)),
        "factor is 1048576; expected a whole number from 1 to 16",
    ),
    "many repeats": (
        model(node("Tile", ["x", "n"], ["y"]), weights=(numbers("n", 1, 1 << 50, 1, 1),)),
        "channels; expected 1 to",
    ),
    "weights above the folder": (elsewhere("../w.bin"), "no file beside it"),
    "weights elsewhere": (elsewhere("/etc/passwd"), "no file beside it"),
    "weights that are not there": (elsewhere("w.bin"), "no file beside it"),
    "nothing": (b"", "empty"),
    "text": (b"hello, this is no network", "text"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    data, problem = HOSTILE[name]
    (tmp_path / "a.onnx").write_bytes(data)
    start = time.monotonic()
    with pytest.raises(ImagenError, match=problem) as caught:
        importers.load(tmp_path / "a.onnx")
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < SECONDS


def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(np.eye(3, dtype="<f4").tobytes())
    (tmp_path / "a.onnx").write_bytes(elsewhere("w.bin"))
    assert importers.load(tmp_path / "a.onnx").graph.scale == 1
    (tmp_path / "w.bin").rename(tmp_path / "v.bin")
    (tmp_path / "w.bin").symlink_to(tmp_path / "v.bin")
    importers._load.cache_clear()
    with pytest.raises(WeightsError, match="no file beside it"):
        importers.load(tmp_path / "a.onnx")
