"""The article's listing on the kernels: layers of attention, one after another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import ops
from .attention_weights import AttentionWeights
from .buffers import Place, Plan
from .ops.global_attention import scratch_elements


class Listing:
    """Runs packed layers. Holds nothing of a run: a `Place` does."""

    def __init__(self, layers: Sequence[AttentionWeights]) -> None:
        self.layers = layers

    def plan(self, shape: tuple[int, ...]) -> Plan:
        """The memory for rows (N, T, d_model)."""
        rows = shape[0] * shape[1]
        scratch = max(scratch_elements(layer, rows, rows) for layer in self.layers)
        return Plan(self.layers[0].qkv.dtype, (), (shape,), scratch)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The input's."""
        return shape

    def run(
        self,
        x: Tensor,
        place: Place | None = None,
        *,
        out: Tensor | None = None,
        not_finite: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(N, T, d_model) float32 → the same, and a (1,) int32 that is 1 if it is not finite.

        Args:
            place: from `plan(x.shape).place(...)`; None to allocate.
            out: float32; allocated if None.
            not_finite: the caller sets it to 0; allocated if None.
        """
        place = place or Place()
        dtype, first = self.layers[0].qkv.dtype, place.work(0)
        y = x.to(dtype) if first is None else first.copy_(x)
        for layer in self.layers:
            y = ops.global_attention(y, layer, out=place.work(0), scratch=place.scratch)
        wrong = (~torch.isfinite(y)).any().to(torch.int32).view(1)
        not_finite = wrong if not_finite is None else not_finite.bitwise_or_(wrong)
        return (y.float() if out is None else out.copy_(y)), not_finite
