"""What the 3×3 convolutions share: a tap of a tile of pixels, and a row's part in three rows."""

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
    K: tl.constexpr,
):
    """The pixels one tap away, (M, K), zeros outside the picture.

    Offsets count from the tile's first pixel, so 32 bits hold them in a picture of any size.
    """
    y = top + row + dy
    z = left + col + dx
    inside = ((y >= 0) & (y < height) & (z >= 0) & (z < width))[:, None]
    if C % K != 0:
        inside = inside & (channel < C)[None, :]
    at = ((row + dy) * width + col + dx) * C
    return tl.load(x + at[:, None] + channel[None, :], mask=inside, other=0)


@triton.jit
def load_taps(weight, C: tl.constexpr, N: tl.constexpr):
    """Nine matrices (C, N), from (9, C, N)."""
    taps = ()
    for tap in tl.static_range(9):
        at = tl.arange(0, C)[:, None] * N + tl.arange(0, N)[None, :]
        taps += (tl.load(weight + tap * C * N + at),)
    return taps


@triton.jit
def add_row(
    line,  # points at the strip's first pixel in an input row
    inside,  # whether the picture has that row
    col,  # (M,) the strip's pixels
    left,  # where the strip's first pixel is in the picture
    rest,  # pixels from there to the row's end
    taps,  # from `load_taps`
    above,  # (M, N) sums of the output row over the input row
    level,  # of the output row beside it
    C: tl.constexpr,
):
    """What an input row adds to three output rows: their sums `above`, `level` and below.

    The row is read three times: from one pixel further left, as it is, from one further right.
    """
    below = tl.zeros(above.shape, tl.float32)
    place = col[:, None] * C + tl.arange(0, C)[None, :]
    for dx in tl.static_range(3):
        mask = inside & (left + col + dx >= 1) & (col + dx <= rest)
        a = tl.load(line + (dx - 1) * C + place, mask=mask[:, None], other=0)
        above = tl.dot(a, taps[6 + dx], above)
        level = tl.dot(a, taps[3 + dx], level)
        below = tl.dot(a, taps[dx], below)
    return above, level, below


@triton.jit
def silu(x):
    """x · sigmoid(x)."""
    return x * tl.sigmoid(x)


def rows_of_run(strips: int, height: int, processors: int) -> int:
    """Rows of a program that walks down a strip: two programs a multiprocessor where that gives
    4 to 64.

    Each run costs two rows more than it gives, and long ones leave processors idle at the end.
    """
    return int(min(max(triton.cdiv(strips * height, 2 * processors), 4), 64))
