"""Functions of one number, which convolutions and sums end with."""

from __future__ import annotations

from imagen_fast.graph.kind import Number, Range, Word

UNLIMITED = 1e29  # a bound of clamp that bounds nothing

ACTIVATIONS = (
    "none",
    "relu",
    "leaky_relu",  # slope · x below 0
    "prelu",  # the same, with a slope for each channel
    "silu",
    "sigmoid",
    "gelu",
    "gelu_tanh",  # 0.5 · x · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))
    "mish",  # x · tanh(log(1 + exp(x)))
    "tanh",
    "hard_swish",  # x · clamp(x / 6 + 0.5, 0, 1)
    "clamp",  # to low … high
    "elu",  # slope · (exp(x) - 1) below 0
    "softplus",  # log(1 + exp(x))
)
FUNCTIONS = ("abs", "square", "sqrt", "reciprocal", "exp", "log", "erf", "power")  # of sums alone


def settings(names: tuple[str, ...]) -> dict[str, Range]:
    """The attributes of what ends with one of these, times `scale`."""
    return {
        "activation": (Word(names), "none"),
        "slope": (Number(), 0.01),  # of leaky_relu and elu
        "low": (Number(), -UNLIMITED),  # of clamp
        "high": (Number(), UNLIMITED),
        "scale": (Number(), 1.0),
    }
