"""Thin convolutions and few attention blocks, `models/plain.py`, as a graph."""

from __future__ import annotations

from imagen_fast.graph.builder import Builder
from imagen_fast.graph.graph import Graph, Input, Output
from imagen_fast.spec import ModelSpec


def plain(spec: ModelSpec) -> Graph:
    """Input `image`, outputs `picture` and `attention.I`, the maps of attention block I."""
    b = Builder()
    level = spec.levels[0]
    b.inputs["image"] = Input(spec.image_channels, picture=True)
    stem = x = b.convolution(
        "convolution", "stem", "image", module="stem", channels=level.channels, kernel=3
    )
    maps = 0
    for block in range(level.depth):
        start = x
        last = block == level.depth - 1
        attended = bool(spec.attention_every) and (block + 1) % spec.attention_every == 0
        long_skip = [stem] if last else []
        for conv in range(level.convs):
            residual = [start] if conv == level.convs - 1 else []
            if conv == level.convs - 1 and not attended:
                residual += long_skip
            x = b.convolution(
                "convolution",
                f"block.{block}.conv.{conv}",
                x,
                *residual,
                module=f"blocks.{block}.{conv}",
                channels=level.channels,
                kernel=3,
                activation="silu",
            )
        if attended:
            module = f"attentions.{maps}"
            tensors = {
                "q": f"{module}.q.weight",
                "kv": f"{module}.kv.weight",
                "temperature": f"{module}.temperature",
                "position": f"{module}.position",
            }
            windows = {
                "head_dim": spec.head_dim,
                "window": spec.window,
                "shift": maps % 2 * spec.window // 2,
            }
            name = f"attention.{maps}"
            b.add("attention_map", name, x, tensors=tensors, **windows)
            b.outputs[name] = Output(name)
            tensors["proj"] = f"{module}.proj.weight"
            inputs = (x, "", *long_skip) if long_skip else (x,)
            x = b.add(
                "window_attention", f"block.{block}.attention", *inputs, tensors=tensors, **windows
            )
            maps += 1
    b.convolution(
        "subpixel_convolution",
        "picture",
        x,
        "image",
        module="head.conv",
        channels=spec.image_channels,
        factor=spec.scale,
    )
    b.outputs = {"picture": Output("picture", picture=True), **b.outputs}
    return b.graph()
