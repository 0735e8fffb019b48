"""The network of `models/style.py` as a graph."""

from __future__ import annotations

from imagen_fast.graph.builder import Builder
from imagen_fast.graph.graph import Graph, Input, Output
from imagen_fast.graph.steering import enlarged, steered
from imagen_fast.spec import ModelSpec


def style(spec: ModelSpec) -> Graph:
    """Two pictures in, or one and what is known of the other.

    Inputs:
        image: the content.
        tokens: what a style picture was read as, (N, h, w, C) of any height and width.
        style: the style picture, of a size of its own.

    Outputs:
        picture: the content in the style of the tokens.
        tokens: of a style picture.
        stylized: the content in the style of the picture, as `picture` of its tokens.
    """
    b = Builder()
    b.inputs["image"] = Input(spec.image_channels, picture=True)
    b.inputs["tokens"] = Input(spec.levels[-1].channels)
    b.inputs["style"] = Input(spec.image_channels, picture=True)
    features = _encode(spec, b, "image")
    picture = _draw(spec, b, "picture", features, "tokens")
    tokens = _read(spec, b, _encode(spec, b, "style"))
    stylized = _draw(spec, b, "stylized", features, tokens)
    b.outputs = {
        "picture": Output(picture, True),
        "tokens": Output(tokens),
        "stylized": Output(stylized, True),
    }
    return b.graph()


def _encode(spec: ModelSpec, b: Builder, picture: str) -> list[str]:
    """Features of every level, finest first."""
    features: list[str] = []
    for number, level in enumerate(spec.levels):
        name = f"{picture}.{number}"
        if number:
            x = b.convolution(
                "convolution",
                name,
                features[-1],
                module=f"downs.{number - 1}.conv",
                channels=level.channels,
                kernel=2,
                stride=2,
                activation="silu",
            )
        else:
            x = b.convolution(
                "convolution", name, picture, module="stem", channels=level.channels, kernel=3
            )
        for block in range(level.convs):
            module = f"encoder.{number}.{block}.conv"
            x = _residual(b, f"{name}.{block}", x, x, module, level.channels)
        features.append(x)
    return features


def _read(spec: ModelSpec, b: Builder, features: list[str]) -> str:
    """The tokens: means over patches of colours, of features, and of the squares of both."""
    found = []
    for x, halvings in (("style", len(features)), (features[-2], 2), (features[-1], 1)):
        for name, value in ((x, x), (f"{x}.square", b.add("product", f"{x}.square", x, x))):
            for time in range(halvings):
                value = b.add("halve", f"{name}.halved.{time}", value)
            found.append(value)
    both = b.add("concatenate", "style.found", *found)
    channels = spec.levels[-1].channels
    return b.convolution(
        "convolution", "style.tokens", both, module="tokens", channels=channels, kernel=1
    )


def _draw(spec: ModelSpec, b: Builder, path: str, features: list[str], tokens: str) -> str:
    """The decoder, all of whose blocks but the finest are steered by what was found in tokens."""
    x = b.add(
        "global_attention",
        f"{path}.attention",
        features[-1],
        tokens,
        tensors={
            "q": "attention.q.weight",
            "kv": "attention.kv.weight",
            "proj": "attention.proj.weight",
            "temperature": "attention.temperature",
        },
        head_dim=spec.head_dim,
    )
    # So that it changes slowly from place to place.
    steer = enlarged(b, f"{path}.steer", b.add("halve", f"{path}.steer", x), 2, x)
    for number, level in reversed(list(enumerate(spec.levels))):
        name, skip = f"{path}.{number}", features[number]
        if skip != features[-1]:
            x = b.convolution(
                "convolution",
                f"{name}.coarse",
                x,
                module=f"ups.{number}",
                channels=level.channels,
                kernel=1,
            )
            x = b.add("sum", name, enlarged(b, f"{name}.coarse", x, 2, skip), skip)
        for block in range(level.depth):
            module, at = f"decoder.{number}.{block}", f"{name}.{block}"
            read = x
            if number:
                times = 2 ** (len(spec.levels) - 1 - number)
                read = steered(b, at, f"{module}.steer.conv", x, steer, level.channels, times)
            x = _residual(b, at, read, x, f"{module}.conv", level.channels)
    channels, times = spec.levels[0].channels, 2 ** (len(spec.levels) - 1)
    x = steered(b, f"{path}.colors", "colors.conv", x, steer, channels, times)
    return b.convolution(
        "subpixel_convolution",
        path,
        x,
        "image",
        module="head.conv",
        channels=spec.image_channels,
        factor=1,
    )


def _residual(b: Builder, name: str, x: str, added: str, module: str, channels: int) -> str:
    """added + SiLU(conv(x))."""
    return b.convolution(
        "convolution",
        name,
        x,
        added,
        module=module,
        channels=channels,
        kernel=3,
        activation="silu",
    )
