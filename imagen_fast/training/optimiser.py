"""Muon for hidden weights, AdamW for the rest.

Muon is worth 0.64 dB over AdamW alone after 300 steps (docs/model.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from imagen_fast.training.config import OptimiserConfig

# What is not a map from hidden features to hidden features stays with AdamW.
_NOT_HIDDEN = ("stem", "head", "position", "latent")


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal (Keller Jordan et al. 2024, kellerjordan.github.io/posts/muon).

    A weight (out, ...) is taken as the matrix (out, rest). Its update is the Nesterov momentum
    of its gradient with all singular values brought near 1, so that every direction learns at
    one rate, scaled by √(max(1, rows / columns)). Matrices of one shape go through together.
    Weights shrink by `decay` of themselves times the rate: all updates are of one size, so without
    it they grow for as long as training goes on, and with them what a picture that no layer has
    seen is multiplied by (Liu et al. 2025, arXiv:2502.16982).
    The rate in `param_groups` is a number, or a tensor without axes on the weights' device.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # a checkpoint of an earlier version does not say it
            group.setdefault("decay", self.defaults["decay"])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            grads = [p.grad for p in params]
            for p in params:
                if not self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            averages = [self.state[p]["momentum"] for p in params]
            torch._foreach_lerp_(averages, grads, 1 - group["momentum"])
            nesterov = torch._foreach_lerp(grads, averages, group["momentum"])
            if group["decay"]:
                torch._foreach_mul_(params, 1 - group["lr"] * group["decay"])
            shapes: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for p, update in zip(params, nesterov, strict=True):
                matrix = update.reshape(len(update), -1)
                shapes[matrix.shape].append((p, matrix))
            for (rows, columns), members in shapes.items():
                updates = orthogonal(torch.stack([matrix for _, matrix in members]))
                updates *= group["lr"] * max(1.0, rows / columns) ** 0.5
                shaped = [x.view(p.shape) for (p, _), x in zip(members, updates, strict=True)]
                torch._foreach_sub_([p for p, _ in members], shaped)


def orthogonal(matrices: Tensor) -> Tensor:
    """(B, m, n) → same, singular values between about 0.7 and 1.2, singular vectors kept.

    Five Newton-Schulz steps of the quintic a x + b x³ + c x⁵ with Muon's coefficients, chosen
    to lift small singular values fast rather than to converge. Each multiplies x by a polynomial
    of x xᵀ, and these commute: so the steps are of the small x xᵀ, and x is multiplied once.
    """
    x = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    square = x @ x.mT
    factor = product = _factor(square)
    for _ in range(4):
        square = factor @ square @ factor
        factor = _factor(square)
        product = factor @ product
    x = product @ x
    return x.mT if tall else x


def _factor(square: Tensor) -> Tensor:
    """What a step multiplies x by, of x xᵀ (B, m, m): a + b x xᵀ + c (x xᵀ)²."""
    factor = torch.baddbmm(square, square, square, beta=-4.7750, alpha=2.0315)
    factor.diagonal(dim1=1, dim2=2).add_(3.4445)
    return factor


def build_optimisers(
    model: nn.Module, config: OptimiserConfig, momentum: float = 0.9
) -> dict[str, torch.optim.Optimizer]:
    """The optimisers of a model's parameters, by name; together they hold each once.

    momentum: AdamW's, of the gradient's mean; 0 where what is learnt moves as fast as the learner.
    """
    hidden: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for key, p in model.named_parameters():
        by_muon = (
            config.name == "muon" and p.ndim >= 2 and not any(word in key for word in _NOT_HIDDEN)
        )
        (hidden if by_muon else rest).append(p)
    optimisers: dict[str, torch.optim.Optimizer] = {
        "adamw": torch.optim.AdamW(
            rest, config.lr, betas=(momentum, 0.98), weight_decay=0.0, fused=True
        )
    }
    if hidden:
        optimisers["muon"] = Muon(hidden, config.muon_lr, decay=config.decay)
    return optimisers
