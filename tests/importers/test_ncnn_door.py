"""The ncnn door: published networks beside the ncnn package, and networks written here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from ncnn_files import Writer
from running import decibels, defined
from torch import Tensor, nn

from imagen_fast import importers
from imagen_fast.cli import main as cli
from imagen_fast.errors import ImagenError, OperationError, WeightsError

PUBLISHED = {
    "realesr-animevideov3-x2": 2,
    "realesr-animevideov3-x4": 4,
    "waifu2x-photo-noise1_scale2.0x_model": 2,
    "waifu2x-photo-scale2.0x_model": 2,
}
# What the package ncnn 1.0.20261020 gives in fp32 for `default_rng(0).random((3, 13, 18))`, with 7
# pixels repeated around it for waifu2x.
OUTPUTS = Path(__file__).with_name("ncnn_outputs.npz")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_compute_what_ncnn_does(published: Path, name: str) -> None:
    bundle = importers.load(published / "ncnn" / f"{name}.param")
    assert bundle.graph.scale == PUBLISHED[name]
    image = np.random.default_rng(0).random((3, 13, 18), np.float32)[None]
    expected = np.load(OUTPUTS)[name][None]
    assert decibels(defined(bundle, torch.from_numpy(image)), expected) >= 100


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_are_fused(published: Path, name: str) -> None:
    operations = importers.load(published / "ncnn" / f"{name}.bin").graph.operations
    assert len(operations) <= 19
    assert not {x.kind for x in operations} & {"sum", "product", "nearest", "pixel_shuffle"}


class Gated(nn.Module):
    """Depthwise convolutions, gates, squeeze and excitation, and a shuffle."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.depth = nn.Conv2d(8, 8, 5, padding=2, groups=8)
        self.down, self.up = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.head = nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.stem(x), 0.2)
        z = F.hardtanh(self.depth(y), -0.5, 0.7)
        gate = torch.sigmoid(self.up(F.relu(self.down(z.mean((2, 3), keepdim=True)))))
        first, second = (y + 0.5 * z * gate).chunk(2, 1)
        y = torch.cat([first * second, second], 1)
        return F.pixel_shuffle(self.head(y), 2) + F.interpolate(x, scale_factor=2, mode="bilinear")

    def write(self, path: Path, half: bool) -> None:
        w = Writer(half)
        w.add("Input", [], ["data"])
        w.add("Split", ["data"], ["x1", "x2"])
        w.conv(self.stem, "x1", "y", "9=2", "-23310=1,0.2")
        w.conv(self.depth, "y", "z0")
        w.add("Clip", ["z0"], ["z"], "0=-0.5", "1=0.7")
        w.add("Pooling", ["z"], ["m"], "0=1", "4=1")
        w.conv(self.down, "m", "s", "9=1")
        w.conv(self.up, "s", "g", "9=4")
        w.add("BinaryOp", ["z", "g"], ["zg"], "0=2")
        w.add("Eltwise", ["y", "zg"], ["sum"], "0=1", "-23301=2,1.0,0.5")
        w.add("Slice", ["sum"], ["a", "b"], "-23300=2,-233,-233", "1=0")
        w.add("BinaryOp", ["a", "b"], ["ab"], "0=2")
        w.add("Concat", ["ab", "b"], ["joined"], "0=0")
        w.conv(self.head, "joined", "fine")
        w.add("PixelShuffle", ["fine"], ["large"], "0=2")
        w.add("Interp", ["x2"], ["base"], "0=2", "1=2.0", "2=2.0")
        w.add("BinaryOp", ["large", "base"], ["out"], "0=0")
        w.write(path)


@pytest.mark.parametrize("half", [False, True])
def test_a_gated_network(half: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Gated().eval()
    if half:
        for x in module.parameters():
            x.data = x.data.half().float() if x.ndim > 1 else x.data
    module.write(tmp_path / "a", half)
    image = torch.rand(1, 3, 21, 30)
    with torch.no_grad():
        expected = module(image)
    assert decibels(defined(importers.load(tmp_path / "a.param"), image), expected) >= 110


@pytest.mark.parametrize("cropped", [0, 1])
def test_valid_convolutions_and_a_transposed_one(cropped: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    first, last = nn.Conv2d(3, 6, 3), nn.ConvTranspose2d(6, 3, 4, 2, 3 - cropped)
    w = Writer()
    w.add("Input", [], ["data"])
    w.conv(first, "data", "a", "9=2", "-23310=1,0.1")
    w.conv(last, "a", "b")
    if cropped:
        w.add("Crop", ["b"], ["c"], "-23309=2,1,1", "-23310=2,-1,-1", "-23311=2,-2,-1")
    w.write(tmp_path / "a")
    image = torch.rand(1, 3, 15, 18)
    with torch.no_grad():
        padded = F.pad(image, (2, 2, 2, 2), mode="replicate")
        expected = last(F.leaky_relu(first(padded), 0.1))
        expected = F.pad(expected, (-cropped,) * 4)
    assert decibels(defined(importers.load(tmp_path / "a.param"), image), expected) >= 110


LINE = "Convolution c 1 1 data out 0=3 1=3 4=1 5=1 6=81"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([], "0 inputs"),
        (["Input i 0 1 data", "Softmax s 1 1 data out"], r"layer 1 \(Softmax, 's'\): the engine"),
        (["Input i 0 1 data", LINE + " 8=2"], "int8"),
        (["Input i 0 1 data", LINE.replace("data", "out")], "which nothing gives before"),
        (["Input i 0 1 data", LINE.replace("0=3", "0=4000000")], "weights for 4000000"),
        (["Input i 0 1 data", LINE.replace("6=81", "6=80")], "80 weights"),
        (["Input i 0 1 data", LINE.replace("6=81", "6=1e300")], r"parameter 6 is 1e\+300"),
        (["Input i 0 1 data", LINE], "4 bytes of weights are needed and 0 are left"),
        (["Input i 0 1 data", "Convolution c 9 1 data"], "layer 1 cannot be read"),
        (["Input i 0 1 data", "Interp u 1 1 data out 0=1 1=1.5 2=1.5"], "1.5 times"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(lines: list[str], problem: str, tmp_path: Path) -> None:
    text = "\n".join(["7767517", f"{len(lines)} {len(lines)}", *lines])
    (tmp_path / "a.param").write_text(text)
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(ImagenError, match=problem) as caught:
        importers.load(tmp_path / "a.param")
    assert "\n" not in str(caught.value)


def test_int8_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.param").write_text(f"7767517\n2 2\nInput i 0 1 data\n{LINE}\n")
    (tmp_path / "a.bin").write_bytes((0x000D4B38).to_bytes(4, "little") + bytes(81))
    with pytest.raises(OperationError, match="int8"):
        importers.load(tmp_path / "a.bin")


@pytest.mark.parametrize("said", [[], ["0=64", "1=64", "2=1"]])
def test_grey_networks_run_over_each_channel(said: list[str], tmp_path: Path) -> None:
    """Whether the file says that its picture has one channel or, as pnnx's, nothing."""
    torch.manual_seed(0)
    first, last = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 4, (3, 3), padding=1)
    w = Writer()
    w.add("Input", [], ["in0"], *said)
    w.add("BinaryOp", ["in0"], ["x"], "0=1", "1=1", "2=0.5")
    w.add("Split", ["x"], ["x1", "x2"])
    w.add("Interp", ["x2"], ["base"], "0=1", "1=2.0", "2=2.0")
    w.conv(first, "x1", "a", "9=1")
    w.conv(last, "a", "b")
    w.add("PixelShuffle", ["b"], ["c"], "0=2")
    w.add("BinaryOp", ["c", "base"], ["out0"], "0=0")
    w.write(tmp_path / "a")
    image = torch.rand(1, 3, 20, 28)
    with torch.no_grad():
        x = image.transpose(0, 1) - 0.5
        c = F.pixel_shuffle(last(F.relu(first(x))), 2)
        expected = (c + F.interpolate(x, scale_factor=2)).transpose(0, 1)
    assert decibels(defined(importers.load(tmp_path / "a.param"), image), expected) >= 110


@pytest.mark.parametrize("channels", ["2", "inf", "1.5"])
def test_pictures_of_other_channels_are_refused(channels: str, tmp_path: Path) -> None:
    (tmp_path / "a.param").write_text(f"7767517\n1 1\nInput i 0 1 data 2={channels}\n")
    with pytest.raises(WeightsError, match=f"a picture of {channels} channels; expected 1 or 3"):
        importers.load(tmp_path / "a.param")


@pytest.mark.parametrize(("taken", "made"), [(3, 1), (3, 2), (3, 4), (3, 9), (1, 2), (1, 3)])
def test_a_result_of_other_channels_than_the_picture_is_refused(
    taken: int, made: int, tmp_path: Path
) -> None:
    w = Writer()
    w.add("Input", [], ["data"], "0=64", "1=64", f"2={taken}")
    w.conv(nn.Conv2d(taken, made, 3, padding=1), "data", "out")
    w.write(tmp_path / "a")
    said = rf"a\.param: its channels are {taken} in and {made} out; expected 3 and 3, or 1 and 1$"
    with pytest.raises(WeightsError, match=said):
        importers.load(tmp_path / "a.param")


def test_bench_times_it_on_ncnn_too(tmp_path: Path) -> None:
    """Its own file, with the border around the picture that it eats, and checked as all are."""
    pytest.importorskip("ncnn", reason="the extra bench is not installed")
    native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")
    torch.manual_seed(0)
    w = Writer()
    w.add("Input", [], ["data"])
    w.conv(nn.Conv2d(3, 8, 3), "data", "a", "9=2", "-23310=1,0.1")
    w.conv(nn.ConvTranspose2d(8, 3, 4, 2, 3), "a", "out")
    w.write(tmp_path / "a")
    arguments = ["bench", "-n", str(tmp_path / "a.bin"), "--backend", "native", "--peers", "ncnn"]
    arguments += ["--size", "16", "--batch", "2", "--threads", "1", "--duration", "40"]
    done = CliRunner().invoke(cli, [*arguments, "--json", str(tmp_path / "a.json"), "-q"])
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    timed = {(x["runtime"], x["precision"]) for x in rows if x.get("samples_ms")}
    here = [precision for precision in ("fp32", "bf16") if native.available(precision)]
    expected = [("ncnn", "fp32"), ("ncnn", "bf16"), *(("native", precision) for precision in here)]
    assert timed == set(expected), rows
    assert all(x["psnr"] is None or x["psnr"] > 80 for x in rows if x["precision"] == "fp32")
