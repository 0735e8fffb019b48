"""What every kernel computes, by the blocks of `models.blocks` on the weights that kernels read.

These run where no kernel can: on a CPU without Triton's interpreter. Arguments and results are
the kernels' own, (N, H, W, C); packed weights are unpacked into the reference's modules, so that
the definition stands once. Slow, and meant to be.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from imagen_fast.models.blocks import AttentionBlock, ConvBlock, Down, Head, Up
from imagen_fast.models.listing import SelfAttention

if TYPE_CHECKING:
    from .triton.attention_weights import AttentionWeights
    from .triton.conv_block import ConvBlockWeights
    from .triton.down import DownWeights
    from .triton.head import HeadWeights
    from .triton.linear import LinearWeights
    from .triton.stem import StemWeights
    from .triton.up import UpWeights


Module = TypeVar("Module", bound=nn.Module)


def stem(image: Tensor, weights: StemWeights) -> Tensor:
    """conv3x3(image) + b; bytes are divided by 255."""
    c, image_c = weights.channels, weights.image_channels
    matrix = weights.matrix[: 9 * image_c, :c]  # (tap, in), out
    weight = matrix.view(3, 3, image_c, c).permute(3, 2, 0, 1)
    x = _floats(image).to(weight.dtype)
    tensors = {"weight": weight, "bias": weights.bias[:c].to(weight.dtype)}
    conv = _module(nn.Conv2d(image_c, c, 3, padding=1, device="meta"), tensors)
    return _run(conv, x)


def conv_block(x: Tensor, weights: ConvBlockWeights) -> Tensor:
    """x + SiLU(conv3x3(x) + b)."""
    c = weights.channels
    tensors = {"conv.weight": weights.filters, "conv.bias": weights.bias[:c].to(x.dtype)}
    with torch.device("meta"):
        block = ConvBlock(c)
    return _run(_module(block, tensors), x)


def down(x: Tensor, weights: DownWeights) -> Tensor:
    """conv2x2(x) of stride 2, + b."""
    c, coarser = weights.channels, weights.coarser
    taps = weights.matrix.unflatten(0, (2, 2, -1))[:, :, :c, :coarser]  # dy, dx, in, out
    bias = weights.bias[:coarser].to(x.dtype)
    with torch.device("meta"):
        block = Down(c, coarser)
    tensors = {"conv.weight": taps.permute(3, 2, 0, 1), "conv.bias": bias}
    return _run(_module(block, tensors), x)


def up(x: Tensor, weights: UpWeights, skip: Tensor | None) -> Tensor:
    """skip + conv_transpose2x2(x) of stride 2, cropped to the skip, + b."""
    c, coarser = weights.channels, weights.coarser
    taps = weights.matrix[:coarser, : 4 * c].view(coarser, 2, 2, c)
    bias = weights.bias[:c].to(x.dtype)
    with torch.device("meta"):
        block = Up(coarser, c)
    tensors = {"conv.weight": taps.permute(0, 3, 1, 2), "conv.bias": bias}
    return _run(_module(block, tensors), x, skip)


def head(x: Tensor, weights: HeadWeights, image: Tensor | None) -> Tensor:
    """image repeated s × s + pixel_shuffle(conv3x3(x) + b), float32, not clamped."""
    c, image_c, scale = weights.channels, weights.image_channels, weights.scale
    outputs = image_c * scale**2
    # (dy, dx, image channel) → (image channel, dy, dx), as the pixel shuffle reads them
    order = torch.arange(outputs, device=x.device).view(-1, image_c).T.flatten()
    taps = weights.taps[:, :c, order].view(3, 3, c, outputs)
    tensors = {"conv.weight": taps.permute(3, 2, 0, 1), "conv.bias": weights.bias[order]}
    with torch.device("meta"):
        block = Head(c, scale, image_c)
    # Sums in fp32, as the kernel's: what is rounded to 16 bits is the features alone.
    exact = {name: tensor.float() for name, tensor in tensors.items()}
    base = None if image is None else _floats(image)
    return _run(_module(block, exact), x.float(), base)


def linear(x: Tensor, weights: LinearWeights) -> Tensor:
    """x @ weight + b: (…, in) → (…, out)."""
    matrix = weights.matrix[: weights.inner, : weights.outer]
    return x @ matrix + weights.bias[: weights.outer].to(x.dtype)


def attention(
    x: Tensor,
    weights: AttentionWeights,
    context: Tensor | None = None,
    also: Tensor | None = None,
    *,
    shift: int = 0,
    residual: bool = True,
) -> Tensor:
    """residual · x + proj(attention(q(x), kv(context))) + also, of any of the three kinds.

    Raises:
        ValueError: these weights are never without a residual, or never with one.
    """
    if residual == weights.relu:
        raise ValueError("only the listing's layers are without a residual, and all of them are")
    qkv, proj = _unpacked(weights)
    if weights.relu:
        y = _run_rows(_listing_layer(weights, qkv, proj), x)
    else:
        block = _attention_block(weights, qkv, proj, shift)
        rows = x.ndim == 3  # (N, T, C): a picture of one row
        y = _run(block, x[:, None] if rows else x, context)
        y = y[:, 0] if rows else y
    return y if also is None else y + also


def _unpacked(weights: AttentionWeights) -> tuple[Tensor, Tensor]:
    """(3, C, C): the rows of q, k and v; and proj (C, C), both as `nn.Linear` has them."""
    c, n, d = weights.channels, weights.heads, weights.head_dim
    qkv = weights.qkv.unflatten(1, (3, n, -1))[:c, ..., :d]  # (C, 3, n, d)
    proj = weights.proj.unflatten(0, (n, -1))[:, :d, :c]  # (n, d, C)
    return qkv.flatten(2).permute(1, 2, 0), proj.flatten(0, 1).T


def _attention_block(
    weights: AttentionWeights, qkv: Tensor, proj: Tensor, shift: int
) -> AttentionBlock:
    d, n = weights.head_dim, weights.heads
    with torch.device("meta"):
        block = AttentionBlock(weights.channels, d, weights.window, shift)
    temperature = weights.scale[:n] * (math.sqrt(d) / math.log2(math.e))
    tensors = {
        "q.weight": qkv[0],
        "kv.weight": qkv[1:].flatten(0, 1),
        "proj.weight": proj,
        "temperature": temperature.to(qkv.dtype),
    }
    if weights.position is not None:
        tensors["position"] = weights.position[:, : weights.channels]
    return _module(block, tensors)


def _listing_layer(weights: AttentionWeights, qkv: Tensor, proj: Tensor) -> SelfAttention:
    c, d = weights.channels, weights.head_dim
    assert weights.qkv_bias is not None
    assert weights.proj_bias is not None
    with torch.device("meta"):
        layer = SelfAttention(c)
    rescale = math.sqrt(d) / math.log2(math.e)
    bias = weights.qkv_bias.view(3, -1)[:, :d].to(qkv.dtype)
    tensors = {"q.weight": qkv[0] * rescale, "q.bias": bias[0] * rescale}
    for index, name in ((1, "k"), (2, "v")):
        tensors |= {f"{name}.weight": qkv[index], f"{name}.bias": bias[index]}
    tensors |= {"out.weight": proj, "out.bias": weights.proj_bias[:c].to(qkv.dtype)}
    return _module(layer, tensors)


def _module(module: Module, tensors: dict[str, Tensor]) -> Module:
    """A module without storage takes these tensors over."""
    module.load_state_dict(tensors, assign=True)
    return module


def _floats(image: Tensor) -> Tensor:
    return image.float() / 255 if image.dtype == torch.uint8 else image


def _run(module: nn.Module, *inputs: Tensor | None) -> Tensor:
    """A module of NCHW tensors on NHWC ones; tokens (N, T, C) and None pass as they are."""
    given = [x.permute(0, 3, 1, 2) if x is not None and x.ndim == 4 else x for x in inputs]
    with torch.no_grad():
        output: Tensor = module(*given)
    return output.permute(0, 2, 3, 1).contiguous()


def _run_rows(module: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        output: Tensor = module(x)
    return output
