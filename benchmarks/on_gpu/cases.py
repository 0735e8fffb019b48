"""One operation with weights and inputs: our kernel, PyTorch's modules for it, what it costs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from imagen_fast.kernels.triton import (
    conv_block,
    down,
    global_attention,
    head,
    ops,
    stem,
    up,
    window_attention,
)
from torch import Tensor, nn

from imagen_fast.models import blocks
from on_gpu.layers import Layer

MODULES = {
    "stem": stem,
    "conv_block": conv_block,
    "down": down,
    "up": up,
    "head": head,
    "window_attention": window_attention,
}
ITEM = {torch.float32: 4, torch.float16: 2, torch.bfloat16: 2}


class WithSdpa(blocks.AttentionBlock):
    """The attention block on PyTorch's own fused attention."""

    def attend(self, queries: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        d = self.head_dim
        q = self.q(queries).unflatten(-1, (-1, d)).transpose(1, 2)
        k, v = self.kv(keys).unflatten(-1, (2, -1, d)).permute(2, 0, 3, 1, 4)
        q = blocks.rms_norm(q) * self.temperature.view(-1, 1, 1)
        if mask is not None:
            mask = mask.to(q.dtype)
        out = F.scaled_dot_product_attention(q, blocks.rms_norm(k), v, attn_mask=mask)
        return self.proj(out.transpose(1, 2).flatten(2))


@dataclass
class Case:
    """What can be done with a layer.

    Attributes:
        layer: which.
        module: the reference in float32, on the device.
        inputs: what the module takes besides None: NHWC, in the case's dtype or, of pictures,
            bytes or float32.
        weights: packed.
        ours: the operation, with `None` or a configuration, into memory of its own; NHWC.
        written: that memory, the result first.
        bytes, flops: that cannot be avoided.
    """

    layer: Layer
    dtype: torch.dtype
    module: nn.Module
    inputs: list[Tensor | None]
    weights: Any
    ours: Callable[[dict[str, Any] | None], Tensor]
    written: list[Tensor]
    bytes: int
    flops: int

    def theirs(self, dtype: torch.dtype, module: nn.Module | None = None) -> Callable[[], Tensor]:
        """The module in a dtype as a function without arguments, channels_last; NHWC."""
        network = copy.deepcopy(module or self.module).to(dtype, memory_format=torch.channels_last)
        run = Reference(network, self.layer)
        given = [x if x is None or x.dtype == torch.uint8 else x.to(dtype) for x in self.inputs]
        return lambda: run(*given)


class Reference(nn.Module):
    """A module of NCHW tensors on NHWC ones; pictures in bytes are divided and rounded."""

    def __init__(self, module: nn.Module, layer: Layer) -> None:
        super().__init__()
        self.module, self.layer = module, layer

    def forward(self, *inputs: Tensor | None) -> Tensor:
        dtype = next(self.module.parameters()).dtype
        given = [
            x if x is None else (x.to(dtype) / 255 if x.dtype == torch.uint8 else x).movedim(3, 1)
            for x in inputs
        ]
        also = given.pop() if self.layer.also else None
        y = self.module(*given)
        y = y if also is None else y + also
        y = y.movedim(1, 3)
        if self.layer.kernel == "head":
            y = y.clamp(0, 1)
            if self.layer.as_bytes:
                y = (y * 255).round().to(torch.uint8)
        return y.contiguous()


def make(layer: Layer, dtype: torch.dtype, device: torch.device) -> Case:
    """A case with random weights, strong enough that everything shows, and random inputs."""
    torch.manual_seed(0)
    n, h, w = layer.size
    module = _module(layer).requires_grad_(False).to(device)

    def features(channels: int, h: int = h, w: int = w) -> Tensor:
        return torch.randn(n, h, w, channels, device=device).to(dtype)

    image = None
    if layer.image_channels:
        image = torch.rand(n, h, w, layer.image_channels, device=device)
        image = (image * 255).round().to(torch.uint8) if layer.as_bytes else image
    x = features(layer.channels)
    coarse = features(layer.coarser, (h + 1) // 2, (w + 1) // 2) if layer.kernel == "up" else None
    inputs: list[Tensor | None] = {
        "stem": [image],
        "head": [x, image],
        "up": [coarse, x],
    }.get(layer.kernel, [x])
    if "attention" in layer.kernel:
        inputs = [x, features(layer.channels) if layer.cross else None]
        inputs += [features(layer.channels)] if layer.also else []
    weights = _packed(layer, module, dtype, device)
    ours, written = _ours(layer, weights, inputs)
    costs = cost(layer, weights, ITEM[dtype])
    return Case(layer, dtype, module, inputs, weights, ours, written, *costs)


def _module(layer: Layer) -> nn.Module:
    c, image = layer.channels, layer.image_channels
    if layer.kernel == "stem":
        return nn.Conv2d(image, c, 3, padding=1)
    if layer.kernel == "conv_block":
        return blocks.ConvBlock(c)
    if layer.kernel == "down":
        return blocks.Down(c, layer.coarser)
    with torch.no_grad():
        if layer.kernel == "up":
            finer = blocks.Up(layer.coarser, c)
            finer.conv.weight.mul_(10)
            return finer
        if layer.kernel == "head":
            last = blocks.Head(c, layer.scale, image)
            last.conv.weight.mul_(4)
            return last
        block = blocks.AttentionBlock(c, layer.head_dim, layer.window, layer.shift)
        block.proj.weight.mul_(20)
        block.temperature.uniform_(-1.5, 1.5)
        if layer.window:
            block.position.mul_(20)
    return block


def _packed(layer: Layer, module: Any, dtype: torch.dtype, device: torch.device) -> Any:
    if layer.kernel == "stem":
        return stem.pack_stem(module.weight, module.bias, dtype, device)
    if "attention" in layer.kernel:
        position = module.position if layer.window else None
        return window_attention.pack_window_attention(
            module.q.weight, module.kv.weight, module.proj.weight, module.temperature, position,
            dtype=dtype, device=device,
        )  # fmt: skip
    more = (layer.scale,) if layer.kernel == "head" else ()
    pack = getattr(MODULES[layer.kernel], f"pack_{layer.kernel}")
    return pack(module.conv.weight, module.conv.bias, *more, dtype, device)


def _ours(
    layer: Layer, weights: Any, inputs: list[Tensor | None]
) -> tuple[Callable[[dict[str, Any] | None], Tensor], list[Tensor]]:
    """Allocates where the kernel writes once, so that what is timed allocates nothing."""
    x = inputs[0]
    assert x is not None
    kernel = layer.kernel
    if kernel == "head":
        picture, flag = ops.head(x, weights, inputs[1], as_bytes=layer.as_bytes)
        out = torch.empty_like(picture)
        into = {"out": out, "not_finite": flag}
        arguments: tuple[Any, ...] = (x, weights, inputs[1])
    elif "attention" in kernel:
        out = torch.empty_like(x)
        also = inputs[2] if layer.also else None
        into = {"out": out} | ({"shift": layer.shift} if layer.window else {})
        arguments = (x, weights, inputs[1], also)
        pixels = x.numel() // layer.channels
        size = window_attention.scratch_elements(weights, tuple(x.shape), x.dtype, 3)
        if not layer.window:
            size = global_attention.scratch_elements(weights, pixels, pixels)
        into["scratch"] = x.new_empty(size)
    else:
        arguments = (x, weights, inputs[1]) if kernel == "up" else (x, weights)
        out = torch.empty_like(getattr(ops, kernel)(*arguments))
        into = {"out": out}

    def run(config: dict[str, Any] | None) -> Tensor:
        if config is None:
            getattr(ops, kernel)(*arguments, **into)
            return out
        # The kernel itself, with scratch memory of its own choice.
        given = {name: value for name, value in into.items() if name != "scratch"}
        getattr(MODULES[kernel], kernel)(*arguments, **given, config=config)
        return out

    return run, [out, *([into["scratch"]] if "scratch" in into else [])]


def cost(layer: Layer, weights: Any, item: int) -> tuple[int, int]:
    """Bytes that must cross device memory and FLOPs that must be done, features of `item` bytes."""
    n, h, w = layer.size
    c, sample = layer.channels, 1 if layer.as_bytes else 4
    if layer.kernel == "stem":
        return stem.cost(n, h, w, c, layer.image_channels, sample, item)
    if layer.kernel == "conv_block":
        return conv_block.cost(n, h, w, c, item)
    if layer.kernel == "down":
        return down.cost(n, h, w, c, layer.coarser, item)
    if layer.kernel == "up":
        return up.cost(n, h, w, c, layer.coarser, item, skip=True)
    if layer.kernel == "head":
        return head.cost(n, h, w, weights, sample, sample)
    if layer.window:
        return window_attention.cost(
            weights, (n, h, w, c), item, cross=layer.cross, also=layer.also
        )
    moved, flops = global_attention.cost(weights, h * w, h * w, n, item, layer.cross)
    return moved + item * layer.also * n * h * w * c, flops


def default_config(case: Case, arch: int) -> dict[str, Any]:
    """The configuration that the kernel takes where nothing was tuned."""
    kernel, layer = MODULES[case.layer.kernel], case.layer
    if layer.kernel in ("stem", "conv_block"):
        return kernel.default_config(layer.channels, case.dtype, arch)
    if layer.kernel == "window_attention":
        return kernel.default_config(case.weights, case.dtype, arch)
    return kernel.default_config(case.weights, arch)
