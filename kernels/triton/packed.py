"""A network's weights in the kernels' layouts: packed once, when a model is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from imagen_fast.models.generator import Generator, Stage
from imagen_fast.models.listing import ListingGenerator
from imagen_fast.spec import ModelSpec

from .attention_weights import AttentionWeights, pack_attention, pack_listing
from .conv_block import ConvBlockWeights, pack_conv_block
from .down import DownWeights, pack_down
from .head import HeadWeights, pack_head
from .linear import LinearWeights, pack_linear
from .stem import StemWeights, pack_stem
from .up import UpWeights, pack_up


class StageWeights(NamedTuple):
    """Convolution blocks, then an attention block whose windows start at -shift."""

    convs: tuple[ConvBlockWeights, ...]
    attention: AttentionWeights
    shift: int


class GeneratorWeights(NamedTuple):
    """`models.generator.Generator`, part by part; what there is one of a level, finest first.

    Attributes:
        encoder, decoder: a level's stages.
        downs, ups: between a level and the next coarser one.
        latent: None without a latent entry.
    """

    spec: ModelSpec
    stem: StemWeights
    encoder: tuple[tuple[StageWeights, ...], ...]
    downs: tuple[DownWeights, ...]
    decoder: tuple[tuple[StageWeights, ...], ...]
    ups: tuple[UpWeights, ...]
    heads: tuple[HeadWeights, ...]
    latent: LinearWeights | None

    @property
    def dtype(self) -> torch.dtype:
        """Of features and matrices."""
        return self.stem.matrix.dtype


def pack_generator(
    network: Generator, dtype: torch.dtype, device: torch.device | str
) -> GeneratorWeights:
    """All weights of a network in float32, packed in `dtype` on a device.

    Raises:
        ValueError: head_dim is above what the kernels take.
    """

    def stages(levels: Iterable[Any]) -> tuple[tuple[StageWeights, ...], ...]:
        return tuple(
            tuple(_pack_stage(stage, dtype, device) for stage in level.children())
            for level in levels
        )

    encoder, decoder, scale = network.encoder, network.decoder, network.spec.scale
    latent = network.latent if network.spec.latent_channels else None
    return GeneratorWeights(
        spec=network.spec,
        stem=pack_stem(*_parameters(encoder.stem), dtype, device),
        encoder=stages(encoder.stages),
        downs=tuple(pack_down(*_parameters(x.conv), dtype, device) for x in encoder.downs),
        decoder=stages(decoder.stages),
        ups=tuple(pack_up(*_parameters(x.conv), dtype, device) for x in decoder.ups),
        heads=tuple(pack_head(*_parameters(x.conv), scale, dtype, device) for x in network.heads),
        latent=None if latent is None else pack_linear(*_parameters(latent), dtype, device),
    )


def pack_listing_generator(
    network: ListingGenerator, dtype: torch.dtype, device: torch.device | str
) -> tuple[AttentionWeights, ...]:
    """The layers of encoder and decoder, in the order in which they run.

    Raises:
        ValueError: d_model is above what the kernels take.
    """
    return tuple(
        pack_listing(
            *(_parameters(x) for x in (layer.q, layer.k, layer.v, layer.out)),
            dtype=dtype,
            device=device,
        )
        for layer in (*network.encoder, *network.decoder)
    )


def _pack_stage(stage: Stage, dtype: torch.dtype, device: torch.device | str) -> StageWeights:
    block = stage.attention
    attention = pack_attention(
        block.q.weight.detach(),
        block.kv.weight.detach(),
        block.proj.weight.detach(),
        block.temperature.detach(),
        block.position.detach() if block.window else None,
        dtype=dtype,
        device=device,
    )
    convs = (pack_conv_block(*_parameters(x.conv), dtype, device) for x in stage.convs)
    return StageWeights(tuple(convs), attention, block.shift)


def _parameters(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return layer.weight.detach(), layer.bias.detach()
