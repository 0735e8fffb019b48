"""What the 3×3 convolutions share: one tap of a tile of pixels."""

# mypy: disable-error-code="no-untyped-def"

import triton
import triton.language as tl


@triton.jit
def load_tap(
    x,  # points at the tile's first pixel, (H, W, C)
    dy,
    dx,  # the tap, -1 to 1
    row,
    col,  # (M,) the pixels, from the tile's first
    top,
    left,  # where the tile's first pixel is in the picture
    height,
    width,
    channel,  # (K,)
    C: tl.constexpr,
):
    """The pixels one tap away, (M, K), zeros outside the picture.

    Offsets count from the tile's first pixel, so 32 bits hold them in a picture of any size.
    """
    y = top + row + dy
    z = left + col + dx
    inside = (y >= 0) & (y < height) & (z >= 0) & (z < width)
    at = ((row + dy) * width + col + dx) * C
    return tl.load(x + at[:, None] + channel[None, :], mask=inside[:, None], other=0)


@triton.jit
def silu(x):
    """x · sigmoid(x)."""
    return x * tl.sigmoid(x)
