"""The convolution block in one launch: out = x + SiLU(conv3x3(x) + b), zeros around the picture.

Two forms; a configuration names one of them under "form", or "cudnn" for PyTorch's convolution
followed by elementwise operations.

- `rows`: a program walks down a strip of the picture, all weights resident in shared memory.
  An input row, read three times (shifted left, not, right), adds to three output rows at once,
  whose sums stay in registers. Per pixel 3 · C values are read from L2 where `taps` reads 9 · C,
  which at C = 64 is more than the matrix units need time for. For C ≤ 64 in 16 bits.
- `taps`: implicit GEMM over a two-dimensional tile of pixels, a step a tap and block of
  channels, weights streaming. C = 96 and 192 are no powers of two: a second, narrower
  accumulator ("tail") takes the rest, so that no matrix instruction works on padding. C that is
  no multiple of 16, which a matrix instruction takes, is padded to one.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from .conv3x3 import add_row, load_tap, load_taps, rows_of_run, silu
from .device import DTYPES, architecture, largest_block, multiprocessors
from .variant import Variant

SIZES = ["height", "width", "run"]  # one compiled form serves every picture


@triton.jit(do_not_specialize=SIZES)
def conv_rows_kernel(
    x,  # (N, H, W, C)
    weight,  # (9, C, C): tap, in, out
    bias,  # (C,) fp32
    out,  # (N, H, W, C)
    height,
    width,
    run,  # output rows of a program
    C: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """A program: `run` rows of BLOCK_W pixels of one image."""
    strips = tl.cdiv(width, BLOCK_W)
    runs = tl.cdiv(height, run)
    left = tl.program_id(0) % strips * BLOCK_W
    top = tl.program_id(0) // strips % runs * run
    image = tl.program_id(0) // strips // runs
    channel = tl.arange(0, C)
    taps = load_taps(weight, C, C)
    shift = tl.load(bias + channel)[None, :]
    col = tl.arange(0, BLOCK_W)
    rest = width - left
    place = col[:, None] * C + channel[None, :]
    start = ((image.to(tl.int64) * height + top) * width + left) * C
    above = tl.zeros((BLOCK_W, C), tl.float32)  # the output row over the input row
    level = tl.zeros((BLOCK_W, C), tl.float32)
    last = tl.minimum(run, height - top)
    for row in range(-1, last + 1):
        inside = (top + row >= 0) & (top + row < height)
        above, level, below = add_row(
            x + start + row * width * C, inside, col, left, rest, taps, above, level, C
        )
        if row > 0:
            done = start + (row - 1) * width * C + place
            here = (col < rest)[:, None]
            y = silu(above + shift) + tl.load(x + done, mask=here, other=0).to(tl.float32)
            tl.store(out + done, y.to(out.dtype.element_ty), mask=here)
        above = level
        level = below


@triton.jit(do_not_specialize=SIZES)
def conv_taps_kernel(
    x,  # (N, H, W, C)
    weight,  # (9, C', C'): tap, in, out; zeros beyond C
    bias,  # (C',) fp32
    out,  # (N, H, W, C)
    height,
    width,
    tiles,  # tensor descriptor of x with blocks (1, BLOCK_H, BLOCK_W, BLOCK_K), or None
    C: tl.constexpr,
    C_PADDED: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_N: tl.constexpr,
    TAIL: tl.constexpr,
    STAGES: tl.constexpr,
):
    """A program: BLOCK_H × BLOCK_W pixels of one image, BLOCK_N + TAIL output channels."""
    BLOCKS: tl.constexpr = C_PADDED // (BLOCK_N + TAIL)
    STEPS: tl.constexpr = C_PADDED // BLOCK_K
    strips = tl.cdiv(width, BLOCK_W)
    first = tl.program_id(0) % BLOCKS * (BLOCK_N + TAIL)
    left = tl.program_id(0) // BLOCKS % strips * BLOCK_W
    top = tl.program_id(0) // BLOCKS // strips * BLOCK_H
    image = tl.program_id(1)
    pixel = tl.arange(0, BLOCK_H * BLOCK_W)
    row = pixel // BLOCK_W
    col = pixel % BLOCK_W
    k = tl.arange(0, BLOCK_K)
    n = first + tl.arange(0, BLOCK_N)
    start = ((image.to(tl.int64) * height + top) * width + left) * C
    sums = tl.zeros((BLOCK_H * BLOCK_W, BLOCK_N), tl.float32)
    if TAIL > 0:
        m = first + BLOCK_N + tl.arange(0, TAIL)
        more = tl.zeros((BLOCK_H * BLOCK_W, TAIL), tl.float32)
    for step in tl.range(9 * STEPS, num_stages=STAGES):
        dy = step // STEPS // 3 - 1
        dx = step // STEPS % 3 - 1
        channel = step % STEPS * BLOCK_K
        if tiles is not None:  # the copy engine puts zeros outside the picture
            a = tiles.load([image, top + dy, left + dx, channel])
            a = a.reshape(BLOCK_H * BLOCK_W, BLOCK_K)
        else:
            a = load_tap(
                x + start, dy, dx, row, col, top, left, height, width, channel + k, C, BLOCK_K
            )  # (M, K)
        b = weight + (step * BLOCK_K + k)[:, None] * C_PADDED
        sums = tl.dot(a, tl.load(b + n[None, :]), sums, input_precision="ieee")
        if TAIL > 0:
            more = tl.dot(a, tl.load(b + m[None, :]), more, input_precision="ieee")
    place = (row * width + col) * C
    mask = ((top + row < height) & (left + col < width))[:, None]
    finish(x + start, bias, out + start, sums, place[:, None], n, mask, C, C_PADDED)
    if TAIL > 0:
        finish(x + start, bias, out + start, more, place[:, None], m, mask, C, C_PADDED)


@triton.jit
def finish(x, bias, out, sums, pixel, channel, mask, C: tl.constexpr, C_PADDED: tl.constexpr):
    """Bias, activation, residual, store: of (M, N) sums."""
    at = pixel + channel[None, :]
    if C != C_PADDED:
        mask = mask & (channel < C)[None, :]
    y = silu(sums + tl.load(bias + channel)[None, :])
    y += tl.load(x + at, mask=mask, other=0).to(tl.float32)
    tl.store(out + at, y.to(out.dtype.element_ty), mask=mask)


class ConvBlockWeights(NamedTuple):
    """Packed weights of one block.

    Attributes:
        taps: (9, C', C'): tap, input channel, output channel; C' is C rounded up to a multiple of
            16, with zeros. For the kernels.
        bias: (C',) fp32.
        filters: (C, C, 3, 3), channels_last; for cuDNN.
    """

    taps: Tensor
    bias: Tensor
    filters: Tensor

    @property
    def channels(self) -> int:
        """C."""
        return self.filters.shape[0]


def pack_conv_block(
    weight: Tensor, bias: Tensor, dtype: torch.dtype, device: torch.device | str
) -> ConvBlockWeights:
    """`ConvBlock.conv`'s weight (C, C, 3, 3) and bias (C,), packed."""
    weight = weight.to(device, dtype)
    more = -len(bias) % 16
    taps = weight.permute(2, 3, 1, 0).flatten(0, 1)  # (9, C, C)
    return ConvBlockWeights(
        taps=F.pad(taps, (0, more, 0, more)).contiguous(),
        bias=F.pad(bias, (0, more)).to(device, torch.float32).contiguous(),
        filters=weight.contiguous(memory_format=torch.channels_last),
    )


def default_config(channels: int, dtype: torch.dtype, arch: int) -> dict[str, Any]:
    """Block sizes that compile without spills for sm_`arch`; chosen on arithmetic, not measured."""
    exact = channels % 16 == 0
    channels += -channels % 16
    if dtype == torch.float32:  # exact products, on the FMA units
        block_n = largest_block(channels, 64)
        block_k = largest_block(channels, 32)
        block_w = 8 if block_n == 64 else 16
        return _taps(8, block_w, block_k, block_n, 0, num_warps=4, num_stages=2)
    small_shared = arch >= 120 or 80 < arch < 90  # 99 KiB
    if exact and channels in (16, 32, 64):
        if small_shared:
            return {"form": "rows", "block_w": 64, "num_warps": 8, "num_stages": 1}
        return {"form": "rows", "block_w": 64, "num_warps": 4, "num_stages": 2 if arch == 80 else 1}
    stages = 2 if small_shared else 3
    block_n = largest_block(channels, 128)
    tail = 0
    if channels % 3 == 0 and block_n < 128:  # 96 = 64 + 32, 192 = 128 + 64
        block_n, tail = 2 * block_n, block_n
    block_k = largest_block(channels, 64)
    return _taps(8, 16, block_k, block_n, tail, num_warps=8, num_stages=stages)


def _taps(
    block_h: int, block_w: int, block_k: int, block_n: int, tail: int, **launch: int
) -> dict[str, Any]:
    blocks = {"block_h": block_h, "block_w": block_w, "block_k": block_k, "block_n": block_n}
    return {"form": "taps", **blocks, "tail": tail, "descriptor": False, **launch}


def conv_block(
    x: Tensor,
    weights: ConvBlockWeights,
    *,
    out: Tensor | None = None,
    config: Mapping[str, Any] | None = None,
) -> Tensor:
    """x + SiLU(conv3x3(x) + b).

    Args:
        x: (N, H, W, C), contiguous, of the weights' dtype.
        weights: from `pack_conv_block`.
        out: where to write, like x; may not be x, whose neighbours are still being read.
        config: "form" and its block sizes; `default_config` if None.

    Returns:
        (N, H, W, C); `out` if given.
    """
    n, h, w, c = x.shape
    config = config or default_config(c, x.dtype, architecture(x.device))
    out = torch.empty_like(x) if out is None else out
    if config["form"] == "cudnn":
        y = F.conv2d(
            x.permute(0, 3, 1, 2), weights.filters, weights.bias[:c].to(x.dtype), padding=1
        )
        return torch.add(x, F.silu(y).permute(0, 2, 3, 1), out=out)
    launch = {
        "num_warps": config["num_warps"],
        "num_stages": config["num_stages"],
        "enable_fp_fusion": True,
    }
    if config["form"] == "rows":
        strips = triton.cdiv(w, config["block_w"])
        run = rows_of_run(n * strips, h, multiprocessors(x.device))
        conv_rows_kernel[(strips * triton.cdiv(h, run) * n,)](
            x, weights.taps, weights.bias, out, h, w, run, c, config["block_w"], **launch
        )
        return out
    block_h, block_w, block_k = config["block_h"], config["block_w"], config["block_k"]
    tiles = None
    if config["descriptor"]:
        from triton.tools.tensor_descriptor import TensorDescriptor

        tiles = TensorDescriptor.from_tensor(x, [1, block_h, block_w, block_k])
    depth = weights.taps.shape[1]
    blocks = depth // (config["block_n"] + config["tail"])
    conv_taps_kernel[(blocks * triton.cdiv(w, block_w) * triton.cdiv(h, block_h), n)](
        *(x, weights.taps, weights.bias, out, h, w, tiles, c, depth),
        *(block_h, block_w, block_k, config["block_n"], config["tail"], config["num_stages"]),
        **launch,
    )
    return out


def cost(n: int, h: int, w: int, c: int, itemsize: int) -> tuple[int, int]:
    """Bytes that must cross device memory and FLOPs that must be done."""
    return itemsize * (2 * n * h * w * c + 9 * c * c) + 4 * c, 18 * n * h * w * c * c


def variants(dtype: torch.dtype, arch: int = 90) -> Iterator[Variant]:
    """The compiled forms that the presets need on sm_`arch`."""
    for channels in (64, 96, 128, 192, 256):
        yield variant(channels, dtype, default_config(channels, dtype, arch))


def variant(channels: int, dtype: torch.dtype, config: Mapping[str, Any]) -> Variant:
    """The compiled form of a configuration that is not cuDNN's and uses no descriptor."""
    form, name = config["form"], DTYPES[dtype]
    pointer = f"*{name}"
    tensors = {"x": pointer, "weight": pointer, "bias": "*fp32", "out": pointer}
    signature = {**tensors, "height": "i32", "width": "i32"}
    constants: dict[str, object] = {"C": channels, "BLOCK_W": config["block_w"]}
    if form == "rows":
        signature["run"] = "i32"
    else:
        constants |= {"C_PADDED": channels + -channels % 16}
        constants |= {"tiles": None, "STAGES": config["num_stages"], "TAIL": config["tail"]}
        constants |= {f"BLOCK_{axis.upper()}": config[f"block_{axis}"] for axis in "hkn"}
    return Variant(
        name=f"conv_block_{form}_c{channels}_{name}",
        kernel=conv_rows_kernel if form == "rows" else conv_taps_kernel,
        signature=signature,
        constants=constants,
        divisible=tuple(tensors),
        num_warps=config["num_warps"],
        num_stages=config["num_stages"],
        wgmma=dtype != torch.float32,
    )
