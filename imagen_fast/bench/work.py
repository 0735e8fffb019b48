"""What one picture costs by arithmetic: floating-point operations, and bytes through memory."""

from __future__ import annotations

from imagen_fast.spec import Level, ModelSpec


def flops(spec: ModelSpec, h: int, w: int) -> int:
    """Floating-point operations for a picture (h, w), a multiplication and an addition being two.

    Convolutions, linear layers and the two products of attention, as the definition has them: a
    convolution counts as nine taps a weight, though Winograd's form needs fewer; windows that
    reach beyond the picture count whole. Activations, norms and sums are left out, being far below
    one per cent. This is what PyTorch's FlopCounterMode counts. For a listing, (h, w) are its rows'
    number, h·w.
    """
    if spec.architecture == "listing":
        level, rows = spec.levels[0], h * w
        return 2 * level.depth * (8 * rows * level.channels**2 + 4 * rows**2 * level.channels)
    total = 0
    sides = _sides(spec, h, w)
    for index, (level, (rows, columns)) in enumerate(zip(spec.levels, sides, strict=True)):
        pixels, c = rows * columns, level.channels
        total += 2 * level.depth * level.convs * 18 * pixels * c**2  # encoder and decoder
        for number in range(2 * level.depth):
            total += _attention(spec, level, rows, columns, shifted=bool(number % 2))
        if index:
            # Down reads 4 pixels for each of these, Up writes 4.
            total += 2 * 8 * pixels * c * spec.levels[index - 1].channels
    finest = spec.levels[0].channels
    stem = 18 * h * w * spec.image_channels * finest
    return total + stem + stem * spec.scale**2  # the head


def _attention(spec: ModelSpec, level: Level, rows: int, columns: int, shifted: bool) -> int:
    """q, k, v, the products with keys and values, and the projection."""
    if level.attention == "global":
        tokens = keys = rows * columns
    else:
        shift = spec.window // 2 if shifted else 0
        tall, wide = (-(-(side + shift) // spec.window) for side in (rows, columns))
        keys = spec.window**2
        tokens = tall * wide * keys
    return 8 * tokens * level.channels**2 + 4 * tokens * keys * level.channels


def traffic(spec: ModelSpec, h: int, w: int, element: int) -> int:
    """Bytes that cross memory for a picture if every block reads and writes its features once.

    `element` is the bytes of a feature. An engine that keeps features in its caches from block to
    block moves less, one that stores what is inside a block moves more. Weights are left out:
    they stay in the caches.
    """
    if spec.architecture == "listing":
        return 4 * spec.levels[0].depth * h * w * spec.levels[0].channels * element
    total = 0
    for index, (level, (rows, columns)) in enumerate(
        zip(spec.levels, _sides(spec, h, w), strict=True)
    ):
        plane = rows * columns * level.channels * element
        total += 2 * level.depth * (level.convs * 2 + 3) * plane  # attention reads a context too
        if index:
            total += 2 * plane
    finest = h * w * spec.levels[0].channels * element
    picture = h * w * spec.image_channels * 4  # float32
    return total + 3 * finest + picture * (1 + spec.scale**2)


def _sides(spec: ModelSpec, h: int, w: int) -> list[tuple[int, int]]:
    """Each level's height and width."""
    sides = [(h, w)]
    for _ in spec.levels[1:]:
        h, w = -(-h // 2), -(-w // 2)
        sides.append((h, w))
    return sides
