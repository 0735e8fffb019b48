"""The family of `models/generator.py` as a graph."""

from __future__ import annotations

from imagen_fast.graph.builder import Builder
from imagen_fast.graph.graph import PREVIOUS, Graph, Input, Output
from imagen_fast.graph.grid import Grid
from imagen_fast.graph.operation import MAX_CHANNELS
from imagen_fast.graph.steering import steered
from imagen_fast.spec import ModelSpec


def hierarchical(spec: ModelSpec) -> Graph:
    """Encoder, decoder and a head for every level.

    Inputs:
        image: the picture.
        context.L: features that the decoder's cross-attention at level L reads in place of the
            encoder's; optional.
        previous: where the spec is temporal, that output of the frame before; left out, there was
            none.
        latent, latent.L: where the spec has latent channels, what `sample` starts from, and what
            steers its level L.

    Outputs:
        picture: the finest level's; picture.L: that of a coarser level.
        features.L: the encoder's feature maps.
        attention.I: the probabilities of window attention number I, the encoder's first, then the
            decoder's from the coarsest level on.
        previous: where the spec is temporal, what the next frame reads: the features that the
            finest picture is made of, within 0 and 1.
        sample, sample.L: as picture, from a latent.
    """
    b = Builder()
    family = _Family(spec, b)
    b.inputs["image"] = Input(spec.image_channels, picture=True)
    stem = b.convolution(
        "convolution",
        "stem",
        "image",
        module="encoder.stem",
        channels=spec.levels[0].channels,
        kernel=3,
    )
    temporal = spec.architecture == "temporal"
    features = family.encode(family.recall(stem) if temporal else stem)
    read = [family.compare(features[0]), *features[1:]] if temporal else features
    contexts = []
    for number, level in enumerate(spec.levels):
        grid = Grid("image", number)
        name = f"context.{number}"
        b.inputs[name] = Input(level.channels, grid=grid, default=read[number], optional=True)
        contexts.append(name)
    decoded = family.decode("decoder", features[-1], features, contexts, stem)
    b.outputs = {name: Output(f"picture.{n}", True) for n, name in family.names("picture")}
    family.heads("picture", decoded, "image")
    b.outputs |= {f"features.{n}": Output(value) for n, value in enumerate(features)}
    b.outputs |= {name: Output(name) for name in family.maps}
    if temporal:
        b.outputs[PREVIOUS] = Output(b.add("sum", "kept", decoded[0], activation="tanh"))
    if spec.latent_channels:
        b.inputs["latent"] = Input(spec.latent_channels)
        start = b.convolution(
            "convolution",
            "sampler.start",
            "latent",
            module="latent",
            channels=spec.levels[-1].channels,
            kernel=1,
        )
        latents = []
        for number, level in enumerate(spec.levels):
            grid = Grid("latent", 0, 2 ** (len(spec.levels) - 1 - number))
            latents.append(f"latent.{number}")
            b.inputs[latents[-1]] = Input(level.channels, grid=grid)
        nothing = [""] * len(spec.levels)
        decoded = family.decode("sampler", start, nothing, nothing, "", latents)
        b.outputs |= {name: Output(f"sample.{n}", True) for n, name in family.names("sample")}
        family.heads("sample", decoded, "")
    return b.graph()


class _Family:
    """Parts of the family, written into a builder."""

    def __init__(self, spec: ModelSpec, b: Builder) -> None:
        self.spec, self.b = spec, b
        self.maps: list[str] = []  # outputs with attention's probabilities

    def names(self, what: str) -> list[tuple[int, str]]:
        """The pictures of all levels: number and name, the finest without a number."""
        levels = range(len(self.spec.levels))
        return [(n, f"{what}.{n}" if n else what) for n in levels]

    def recall(self, stem: str) -> str:
        """The stem and what is recalled of the frame before, nothing if that is not given."""
        channels = self.spec.levels[0].channels
        nothing = self.b.add("sum", "nothing", stem, scale=0.0)
        self.b.inputs[PREVIOUS] = Input(
            channels, grid=Grid("image"), default=nothing, optional=True
        )
        return self.b.convolution(
            "convolution", "recall", PREVIOUS, stem, module="recall", channels=channels, kernel=3
        )

    def compare(self, features: str) -> str:
        """The finest features and those of the frame before, for cross-attention."""
        channels = self.spec.levels[0].channels
        return self.b.convolution(
            "convolution",
            "compare",
            PREVIOUS,
            features,
            module="compare",
            channels=channels,
            kernel=1,
        )

    def encode(self, x: str) -> list[str]:
        """The feature maps of every level, finest first."""
        features = []
        for number, level in enumerate(self.spec.levels):
            if number:
                x = self.b.convolution(
                    "convolution",
                    f"encoder.{number}",
                    x,
                    module=f"encoder.downs.{number - 1}.conv",
                    channels=level.channels,
                    kernel=2,
                    stride=2,
                )
            for stage in range(level.depth):
                x = self.stage("encoder", "encoder", number, stage, x, "", "")
            features.append(x)
        return features

    def decode(
        self,
        path: str,
        x: str,
        skips: list[str],
        contexts: list[str],
        stem: str,
        latents: list[str] | None = None,
    ) -> list[str]:
        """Decoded feature maps of every level, finest first; the finest plus `stem`."""
        decoded: list[str] = []
        for number, level in reversed(list(enumerate(self.spec.levels))):
            if decoded:
                inputs = (x, skips[number]) if skips[number] else (x,)
                x = self.b.convolution(
                    "transposed_convolution",
                    f"{path}.{number}",
                    *inputs,
                    module=f"decoder.ups.{number}.conv",
                    channels=level.channels,
                )
            for stage in range(level.depth):
                last = number == 0 and stage == level.depth - 1
                added = stem if last else ""
                latent = latents[number] if latents else ""
                x = self.stage("decoder", path, number, stage, x, contexts[number], added, latent)
            decoded.insert(0, x)
        return decoded

    def stage(
        self,
        part: str,
        path: str,
        number: int,
        stage: int,
        x: str,
        context: str,
        added: str,
        latent: str = "",
    ) -> str:
        """`convs` convolution blocks, steered by a latent, and an attention, which adds `added`."""
        level = self.spec.levels[number]
        module, name = f"{part}.stages.{number}.{stage}", f"{path}.{number}.{stage}"
        for conv in range(level.convs):
            if latent:
                steer = f"{module}.steers.{conv}.conv"
                x = steered(self.b, f"{name}.conv.{conv}", steer, x, latent, level.channels)
            x = self.b.convolution(
                "convolution",
                f"{name}.conv.{conv}",
                x,
                x,
                module=f"{module}.convs.{conv}.conv",
                channels=level.channels,
                kernel=3,
                activation="silu",
            )
        # Every second block is shifted; the decoder counts on from the encoder.
        index = stage if part == "encoder" else level.depth + stage
        tensors = {
            "q": f"{module}.attention.q.weight",
            "kv": f"{module}.attention.kv.weight",
            "proj": f"{module}.attention.proj.weight",
            "temperature": f"{module}.attention.temperature",
        }
        inputs = (x, context, added) if added else (x, context) if context else (x,)
        if level.attention == "global":
            return self.b.add(
                "global_attention",
                f"{name}.attention",
                *inputs,
                tensors=tensors,
                head_dim=self.spec.head_dim,
            )
        tensors["position"] = f"{module}.attention.position"
        windows = {
            "head_dim": self.spec.head_dim,
            "window": self.spec.window,
            "shift": index % 2 * self.spec.window // 2,
        }
        maps = level.channels // self.spec.head_dim * self.spec.window**2
        if path != "sampler" and maps <= MAX_CHANNELS:
            self.maps.append(f"attention.{len(self.maps)}")
            del tensors["proj"]
            self.b.add("attention_map", self.maps[-1], *inputs[:2], tensors=tensors, **windows)
            tensors["proj"] = f"{module}.attention.proj.weight"
        return self.b.add(
            "window_attention", f"{name}.attention", *inputs, tensors=tensors, **windows
        )

    def heads(self, path: str, decoded: list[str], base: str) -> None:
        """A picture of every level, as outputs; `base` is added, halved for coarser levels."""
        for number, x in enumerate(decoded):
            if number and base:
                base = self.b.add("halve", f"{path}.base.{number}", base)
            self.b.convolution(
                "subpixel_convolution",
                f"{path}.{number}",
                *((x, base) if base else (x,)),
                module=f"heads.{number}.conv",
                channels=self.spec.image_channels,
                factor=self.spec.scale,
            )
