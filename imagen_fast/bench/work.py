"""What one picture costs by arithmetic: bytes through memory."""

from __future__ import annotations

from imagen_fast.spec import ModelSpec


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
