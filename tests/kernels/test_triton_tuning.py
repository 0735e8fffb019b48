"""Files of configurations: what is taken from them, and that nothing wrong is."""

import json
import re
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

from imagen_fast.kernels.triton import conv_block, down, head, stem, tuning, up, window_attention
from imagen_fast.kernels.triton.attention_variant import blank
from imagen_fast.kernels.triton.tuning_rules import RULES, problem, unfit

from imagen_fast.errors import BackendError

GPU = "NVIDIA H100 80GB HBM3"
CONV = {"form": "rows", "block_w": 64, "num_warps": 4, "num_stages": 1}
TAPS = {"form": "taps", "block_h": 8, "block_w": 16, "block_k": 32, "block_n": 32, "tail": 0}
TAPS |= {"descriptor": False, "num_warps": 4, "num_stages": 2}
KERNELS = {"conv_block": {"c64_bf16": CONV, "c32_fp32": TAPS}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "FOLDER", tmp_path)
    tuning.of_device.cache_clear()
    yield tmp_path
    tuning.of_device.cache_clear()


def write(kernels, gpu=GPU, version="3.6.1", **changes):
    path = tuning.path_for(gpu, version)
    data = json.loads(tuning.dump(gpu, version, {"driver": "1"}, kernels)) | changes
    path.write_text(json.dumps(data))
    return path


def conv(channels, dtype=torch.bfloat16):
    empty = torch.zeros(channels, channels, 3, 3), torch.zeros(channels)
    return conv_block.pack_conv_block(*empty, dtype, "cpu")


def weights_of(kernel, dtype):
    """Packed weights of the widths that presets have."""
    empty = torch.zeros(96, 64, 2, 2), torch.zeros(96)
    return {
        "stem": lambda: stem.pack_stem(torch.zeros(64, 3, 3, 3), torch.zeros(64), dtype, "cpu"),
        "conv_block": lambda: conv(96, dtype),
        "down": lambda: down.pack_down(*empty, dtype, "cpu"),
        "up": lambda: up.pack_up(empty[0], torch.zeros(64), dtype, "cpu"),
        "head": lambda: head.pack_head(
            torch.zeros(48, 64, 3, 3), torch.zeros(48), 4, dtype, "cpu"
        ),
        "window_attention": lambda: blank(64, 8, dtype),
    }[kernel]()  # fmt: skip


def test_what_was_written_is_read(folder):
    path = tuning.path_for(GPU, "3.6.1+git1234")
    assert path == folder / "nvidia-h100-80gb-hbm3-triton-3.6.json"
    path.write_text(tuning.dump(GPU, "3.6.1+git1234", {"driver": "1"}, KERNELS))
    assert tuning.load(path) == KERNELS
    assert '   "c64_bf16": {"form": "rows"' in path.read_text()  # a line each, to be reviewed


def test_a_device_takes_its_file(folder, monkeypatch):
    device = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: GPU)
    monkeypatch.setattr(tuning.triton, "__version__", "3.6.1")
    assert tuning.tuned("conv_block", conv(64), device) is None
    write(KERNELS)
    assert tuning.tuned("conv_block", conv(64), device) is None  # read once in a process
    tuning.of_device.cache_clear()
    assert tuning.tuned("conv_block", conv(64), device) == CONV
    assert tuning.tuned("conv_block", conv(96), device) is None
    assert tuning.tuned("conv_block", conv(64), torch.device("cpu")) is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "another")
    tuning.of_device.cache_clear()
    assert tuning.tuned("conv_block", conv(64), device) is None


def test_what_does_not_fit_the_weights_is_refused(folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: GPU)
    monkeypatch.setattr(tuning.triton, "__version__", "3.6.1")
    write({"conv_block": {"c48_bf16": CONV}})
    with pytest.raises(BackendError, match=r"c48_bf16 in .*json: form rows is for 16, 32 and 64"):
        tuning.tuned("conv_block", conv(48), torch.device("cuda", 0))


@pytest.mark.parametrize(
    ("kernels", "changes", "message"),
    [
        ({}, {"format": "2"}, "of format 'imagen-fast-triton-configs-1'"),
        ({}, {"more": 1}, "expected an object with format, gpu"),
        ({}, {"gpu": "NVIDIA A100"}, "it is for 'NVIDIA A100'"),
        ({}, {"gpu": 1}, "gpu or triton is no text"),
        ({}, {"kernels": []}, "kernels is no object"),
        ({"conv_block": []}, {}, "conv_block is no object"),
        ({"matmul": {"c64": {}}}, {}, "no kernel is called that; expected one of stem, down"),
        ({"stem": {"c64": 3}}, {}, "stem c64: it is no object"),
        ({"head": {"c64": {"form": "fast"}}}, {}, "form is 'fast'; expected one of rows, taps"),
        ({"head": {"c64": {"form": ["rows"]}}}, {}, r"form is \['rows'\]"),
        ({"conv_block": {"c": {**CONV, "num_warps": 3}}}, {}, "num_warps is 3; expected one of 1"),
        ({"conv_block": {"c": {**CONV, "num_warps": True}}}, {}, "num_warps is True"),
        ({"conv_block": {"c": {**CONV, "num_warps": 4.0}}}, {}, r"num_warps is 4\.0"),
        ({"conv_block": {"c": {**CONV, "block_h": 8}}}, {}, "unknown fields block_h"),
        ({"conv_block": {"c": {**TAPS, "block_h": 64, "block_w": 64}}}, {}, "4096 pixels"),
    ],
)
def test_what_is_wrong_is_named(folder, kernels, changes, message):
    path = tuning.path_for(GPU, "3.6")
    data = {"format": tuning.FORMAT, "gpu": GPU, "triton": "3.6", "machine": {}, "kernels": kernels}
    path.write_text(json.dumps(data | changes))
    with pytest.raises(BackendError, match=message) as raised:
        tuning.load(path)
    assert str(path) in str(raised.value)
    assert "tune_triton.py" in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\udcff", "null"])
def test_what_is_no_json_is_refused(folder, text):
    path = tuning.path_for(GPU, "3.6")
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BackendError, match=re.escape(str(path))):
        tuning.load(path)


def test_the_shipped_files_can_be_read():
    folder = Path(tuning.__file__).parent / "configs"
    for path in folder.glob("*.json"):
        tuning.load(path)
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".md"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kernel", RULES)
def test_defaults_keep_the_rules(kernel, dtype):
    weights = weights_of(kernel, dtype)
    module = {
        "stem": stem, "conv_block": conv_block, "down": down, "up": up, "head": head,
        "window_attention": window_attention,
    }[kernel]  # fmt: skip
    for arch in (80, 86, 90, 100, 120):
        arguments = {
            "stem": (64, dtype, arch),
            "conv_block": (96, dtype, arch),
            "window_attention": (weights, dtype, arch),
        }.get(kernel, (weights, arch))
        config = module.default_config(*arguments)
        assert problem(kernel, config) is None
        assert unfit(kernel, weights, config) is None
    assert re.fullmatch(r"c\d+[a-z0-9_]*_(fp32|bf16)", tuning.key(kernel, weights))


@pytest.mark.parametrize(
    ("kernel", "change", "message"),
    [
        ("conv_block", {"block_n": 64}, "no multiple of block_n"),
        ("conv_block", {"block_k": 64}, "no multiple of block_k"),
        ("down", {"block_n": 256}, "no multiple of block_n"),
        ("up", {"block_k": 64}, "no multiple of block_k"),
        ("head", {"form": "rows"}, "form rows is for 16, 32 and 64 channels in 16 bits"),
        ("window_attention", {"launches": 1}, "take 3 launches"),
        ("window_attention", {"launches": 3, "chunk": 48}, "no multiple of chunk"),
    ],
)
def test_what_cannot_run_is_unfit(kernel, change, message):
    weights = weights_of(kernel, torch.float32)
    attention = {"launches": 3, "resident": 0, "programs": 4, "chunk": 32, "num_warps": 4}
    others = {"block_m": 64, "block_n": 32, "block_k": 32, "block_h": 8, "block_w": 8}
    config = {"conv_block": TAPS, "window_attention": attention}.get(kernel, others) | change
    assert message in str(unfit(kernel, weights, config))
