"""The head's kernels against the reference block in float64."""

import copy

import pytest
import torch
from tolerance import DEVICE, DTYPES, assert_parity

from imagen_fast.models.blocks import Head

triton_kernel = pytest.importorskip("imagen_fast.kernels.triton.head")

ROWS = {"form": "rows", "block_w": 16, "num_warps": 4, "num_stages": 1}
TAPS = {
    **{"form": "taps", "block_h": 4, "block_w": 8, "block_k": 16},
    **{"num_warps": 4, "num_stages": 1},
}
# N, H, W, C, image channels, scale
CASES = {
    "rows: wider than a strip, taller than a run": (ROWS, (1, 9, 19, 16, 3, 4)),
    "rows: one pixel in a batch": (ROWS, (3, 1, 1, 16, 3, 2)),
    "rows: one column, a side of 3": (ROWS, (2, 6, 1, 32, 3, 3)),
    "rows: one channel, no enlargement": (ROWS, (1, 5, 17, 16, 1, 1)),
    "taps: no multiple of a tile, batch": (TAPS, (2, 5, 11, 32, 3, 3)),
    "taps: one row, as many columns as there can be": (TAPS, (1, 1, 17, 16, 4, 4)),
    "taps: channels that fill no tile": (TAPS, (1, 6, 3, 20, 2, 2)),
    "taps: no enlargement": (TAPS, (1, 4, 9, 48, 3, 1)),
}
# `rows` is for 16 bits: in fp32 the weights do not fit.
RUNS = [
    (case, dtype)
    for case, (config, _) in CASES.items()
    for dtype in DTYPES
    if config["form"] != "rows" or dtype != torch.float32
]


def make(case, dtype):
    """The block with outputs on both sides of 0 and of 1, features, an image of bytes."""
    _, (n, h, w, c, image_channels, scale) = CASES[case]
    torch.manual_seed(0)
    block = Head(c, scale, image_channels).requires_grad_(False)
    block.conv.weight.mul_(4)
    block.conv.get_parameter("bias").uniform_(-0.5, 0.5)
    x = torch.randn(n, h, w, c, device=DEVICE).to(dtype)
    image = torch.randint(0, 256, (n, h, w, image_channels), dtype=torch.uint8, device=DEVICE)
    return block, x, image


def run(case, block, x, image, kind):
    """The picture in `kind`, and whether the kernel saw something that is not finite."""
    config, (n, h, w, _, image_channels, scale) = CASES[case]
    weights = triton_kernel.pack_head(
        block.conv.weight, block.conv.bias, scale, x.dtype, DEVICE
    )  # fmt: skip
    out = torch.full((n, scale * h, scale * w, image_channels), 77, dtype=kind, device=DEVICE)
    flag = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    got = triton_kernel.head(x, weights, image, out=out, not_finite=flag, config=config)
    assert got is out
    return out, int(flag)


def reference(block, x, base, dtype):
    """The block in `dtype`, clamped → NHWC float64."""
    x, base = (None if t is None else t.to(dtype).permute(0, 3, 1, 2) for t in (x, base))
    with torch.inference_mode():
        y = copy.deepcopy(block).to(DEVICE, dtype)(x, base)
    return y.clamp(0, 1).permute(0, 2, 3, 1).double()


@pytest.mark.parametrize(("case", "dtype"), RUNS, ids=str)
def test_parity(case, dtype):
    """Floats of bytes, of floats and of no base; bytes are those floats, rounded."""
    block, x, image = make(case, dtype)
    for base in (image, image.float() / 255, None):
        values = base if base is None else image.double() / 255
        out, flag = run(case, block, x, base, torch.float32)
        assert not flag
        truth, theirs = (reference(block, x, values, kind) for kind in (torch.float64, dtype))
        assert_parity(out, truth, theirs)
        as_bytes, flag = run(case, block, x, base, torch.uint8)
        assert not flag
        assert torch.equal(as_bytes, (out * 255).round().to(torch.uint8))


@pytest.mark.parametrize("case", [c for c in CASES if "one pixel" in c or "fill no tile" in c])
def test_without_features_bytes_come_back(case):
    """And halves go to the even side: 2.5 / 255 to 2, 3.5 / 255 to 4."""
    block, x, _ = make(case, torch.float16)
    block.conv.get_parameter("bias").zero_()
    image = torch.arange(x[..., 0].numel() * block.conv.out_channels // block.scale**2)
    image = image.view(*x.shape[:3], -1).to(DEVICE)
    same = image.to(torch.uint8)
    wide = same.repeat_interleave(block.scale, 1).repeat_interleave(block.scale, 2)
    for base in (same, image.float() / 255):
        assert torch.equal(run(case, block, x * 0, base, torch.uint8)[0], wide)
    halves = (image + 0.5) / 255
    assert torch.all(halves * 255 == image + 0.5)
    expected = (wide + wide % 2).to(torch.uint8)
    assert torch.equal(run(case, block, x * 0, halves, torch.uint8)[0], expected)


@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul:RuntimeWarning")
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize(("case", "dtype"), [r for r in RUNS if "one" in r[0]], ids=str)
def test_what_is_not_finite_is_told(case, dtype, value, kind):
    """In the last feature of the last pixel, though the clamp and bytes would hide it."""
    block, x, image = make(case, dtype)
    x[-1, -1, -1, -1] = value
    assert run(case, block, x, image, kind)[1] == 1


def test_an_image_that_is_not_finite_is_told():
    case = "rows: one pixel in a batch"
    block, x, image = make(case, torch.float16)
    image = image.float()
    image[1, 0, 0, 2] = torch.nan
    assert run(case, block, x, image, torch.uint8)[1] == 1


def test_a_flag_that_stands_is_left():
    case = "taps: no enlargement"
    block, x, image = make(case, torch.float16)
    weights = triton_kernel.pack_head(block.conv.weight, block.conv.bias, 1, x.dtype, DEVICE)
    flag = torch.ones(1, dtype=torch.int32, device=DEVICE)
    triton_kernel.head(
        x, weights, image, out=torch.empty_like(image), not_finite=flag, config=CASES[case][0]
    )
    assert int(flag) == 1


@pytest.mark.parametrize("channels", [16, 20, 64, 96, 128])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_default_configurations_cover_all_channels(channels, scale):
    for dtype in (torch.bfloat16, torch.float32):
        outputs = 3 * scale**2
        empty = torch.zeros(outputs, channels, 3, 3), torch.zeros(outputs)
        weights = triton_kernel.pack_head(*empty, scale, dtype, "cpu")
        for arch in (80, 86, 90, 100, 120):
            config = triton_kernel.default_config(weights, arch)
            if config["form"] == "taps":
                assert weights.taps.shape[1] % config["block_k"] == 0
                assert config["block_k"] >= 16
            else:
                assert weights.taps.shape[1] == channels
