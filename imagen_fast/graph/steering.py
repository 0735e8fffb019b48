"""`models/steer.py` as operations of a graph."""

from __future__ import annotations

from imagen_fast.graph.builder import Builder


def steered(
    b: Builder, name: str, module: str, x: str, steer: str, channels: int, times: int = 1
) -> str:
    """x + γ x + β, x being so many times as large as what steers it."""
    both = b.convolution(
        "convolution", f"{name}.steer", steer, module=module, channels=2 * channels, kernel=1
    )
    both = enlarged(b, name, both, times, x)
    gamma = b.add("slice", f"{name}.gamma", both, first=0, channels=channels)
    beta = b.add("slice", f"{name}.beta", both, first=channels, channels=channels)
    scaled = b.add("product", f"{name}.scaled", gamma, x)
    return b.add("sum", f"{name}.steered", scaled, x, beta)


def enlarged(b: Builder, name: str, x: str, times: int, like: str) -> str:
    """x so many times as large, as far as `like` reaches."""
    if times == 1:
        return x
    x = b.add("bilinear", f"{name}.enlarged", x, factor=times)
    return b.add("crop", f"{name}.fitted", x, like)
