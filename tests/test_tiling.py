"""Cutting and joining alone; that tiled equals whole for a real network is in test_engine.py."""

import tracemalloc
import weakref
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from imagen_fast.errors import TilingError
from imagen_fast.graph import network
from imagen_fast.graph.reach import alignment, exact_overlap, radius, reads
from imagen_fast.spec import PRESETS
from imagen_fast.tile_sizes import automatic
from imagen_fast.tiling import RAMP, STRIP, cut, largest_overlap, stream

Samples = NDArray[Any]


def enlarge(scale: int) -> Callable[[Samples], Samples]:
    return lambda tiles: tiles.repeat(scale, axis=1).repeat(scale, axis=2)


def joined(picture: Samples, tile: int, overlap: int, alignment: int, scale: int) -> Samples:
    grid = cut(*picture.shape[:2], tile, overlap, alignment)
    return np.concatenate(list(stream(picture, grid, scale, enlarge(scale), batch=2)))


@st.composite
def cuts(draw: st.DrawFn) -> tuple[int, int, int, int]:
    alignment = 2 * draw(st.integers(1, 16))
    overlap = draw(st.integers(0, 40))
    tile = draw(st.integers(2 * overlap + 2 * alignment, 200))
    return draw(st.integers(1, 1000)), tile, overlap, alignment


@given(cuts())
def test_spans_cover_the_line(sizes: tuple[int, int, int, int]) -> None:
    length, tile, overlap, alignment = sizes
    spans = cut(length, 1, tile, overlap, alignment).rows
    assert spans[0].start == spans[0].low == spans[0].ramp == 0
    assert spans[-1].stop == spans[-1].high == length
    for span in spans:
        assert span.start % alignment == 0
        assert span.start <= span.low < span.high <= span.stop
        assert span.stop - span.start <= tile
    for before, after in pairwise(spans):
        assert after.low == before.high - after.ramp
        assert after.ramp == min(RAMP, before.stop - after.start)
        seam = after.low + after.ramp // 2
        assert seam - after.start >= overlap
        assert before.stop - seam >= overlap


@given(
    cuts(),
    st.integers(1, 60),
    st.integers(1, 3),
    st.sampled_from([np.uint8, np.uint16, np.float32]),
    st.booleans(),
)
def test_joined_tiles_are_the_picture(
    sizes: tuple[int, int, int, int], other: int, scale: int, dtype: type, upright: bool
) -> None:
    length, tile, overlap, alignment = sizes
    length = min(length, 3 * tile)
    shape = (length, other, 1) if upright else (other, length, 1)
    rng = np.random.default_rng(length)
    picture = (rng.random(shape) * (1 if dtype == np.float32 else 255)).astype(dtype)
    output = joined(picture, tile, overlap, alignment, scale)
    assert output.dtype == dtype
    np.testing.assert_array_equal(output, enlarge(scale)(picture[None])[0])


@pytest.mark.parametrize("axis", [0, 1])
def test_one_tile_fades_into_the_next(axis: int) -> None:
    values = iter([0.0, 1.0])

    def run(tiles: Samples) -> Samples:
        return np.full_like(tiles, next(values))

    picture = np.zeros((40, 8, 1) if axis == 0 else (8, 40, 1), np.float32)
    grid = cut(*picture.shape[:2], 32, 8, 8)
    line = np.concatenate(list(stream(picture, grid, 1, run))).max(axis=1 - axis)[:, 0]
    ramp = (np.arange(RAMP) + 0.5) / RAMP
    np.testing.assert_allclose(line, [0] * 20 + list(ramp) + [1] * 12)


def test_rows_come_before_the_tiles_below_them_are_run() -> None:
    calls = 0

    def run(tiles: Samples) -> Samples:
        nonlocal calls
        calls += len(tiles)
        return tiles

    picture = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48, 1)
    grid = cut(64, 48, 16, 4, 4)
    strips = stream(picture, grid, 1, run)
    first = next(strips)
    assert calls == len(grid.columns) == 5
    # The seam lies 4 pixels before the tile's end and its ramp takes half of these again.
    np.testing.assert_array_equal(first, picture[:8])
    assert sum(len(strip) for strip in strips) == 64 - 8


def test_one_row_of_tiles_is_held_whoever_holds_the_last_strip() -> None:
    picture = np.zeros((600, 3000, 1), np.uint8)
    grid = cut(600, 3000, 200, 8, 4)
    band = max(4 * (row.high - row.low) for row in grid.rows) * 4 * 3000
    tracemalloc.start()
    try:
        for strip in stream(picture, grid, 4, enlarge(4)):
            assert len(strip) <= STRIP
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert band < peak < 1.8 * band


def test_equal_tiles_are_batched() -> None:
    shapes = []

    def run(tiles: Samples) -> Samples:
        shapes.append(tiles.shape[:3])
        return tiles

    picture = np.zeros((16, 70, 1), np.uint8)
    list(stream(picture, cut(16, 70, 16, 0, 4), 1, run, batch=3))
    assert shapes == [(3, 16, 16), (1, 16, 16), (1, 16, 6)]


@given(st.integers(1, 5000), st.integers(80, 600))
def test_tiles_are_few_and_alike(length: int, tile: int) -> None:
    spans = cut(1, length, tile, 32, 16).columns
    lengths = [span.stop - span.start for span in spans]
    assert max(lengths) <= tile
    # One tile fewer, as long as the alignment allows, would not reach the end.
    assert len(spans) == 1 or (len(spans) - 1) * (tile // 16 * 16 - 64) + 64 < length
    assert len(set(lengths[:-1])) <= 1
    assert max(lengths) - min(lengths) < 16 * len(spans)


def test_an_exact_overlap_is_exact_and_the_smallest() -> None:
    graph = network(PRESETS["tiny"])
    overlap, widest, step = exact_overlap(graph), radius(graph), alignment(graph)
    assert overlap is not None
    assert widest is not None
    assert overlap <= widest + RAMP

    def unread(overlap: int) -> int:
        """Output positions whose tiles do not read all that they depend on."""
        count = 0
        for span in (spans := cut(1, 1000, 256, overlap, step).columns):
            for position in range(span.low, span.high):
                interval = reads(graph, position)
                assert interval is not None
                low, high = interval
                count += low < span.start and span is not spans[0]
                count += high >= span.stop and span is not spans[-1]
        return count

    assert unread(overlap) == 0
    assert unread(overlap - step // 2) > 0


@pytest.mark.parametrize(
    ("tile", "overlap", "message"),
    [
        (-1, 0, "tile is -1"),
        (0, 0, "tile is 0"),
        (64, -1, "overlap is -1"),
        (64, 32, "at least 80 pixels"),
        (79, 26, "at least 80 pixels"),  # 2 · 26 shared pixels become 64
        (15, 0, "at least 16 pixels"),
    ],
)
def test_sizes_that_cannot_work(tile: int, overlap: int, message: str) -> None:
    with pytest.raises(TilingError, match=message):
        cut(100, 100, tile, overlap, 16)


@given(st.integers(16, 600), st.sampled_from([4, 16, 32]))
def test_the_largest_overlap_fits(tile: int, alignment: int) -> None:
    overlap = largest_overlap(tile, alignment)
    if overlap >= 0:
        cut(1000, 1000, tile, overlap, alignment)
    with pytest.raises(TilingError):
        cut(1000, 1000, tile, max(overlap + 1, 0), alignment)


def test_automatic_tiles() -> None:
    assert automatic(300, 200, 60_000, overlap=32, alignment=16, largest=1024) == 300  # whole
    side = automatic(3000, 2000, 100_000, overlap=32, alignment=16, largest=1024)
    assert side % 16 == 0
    assert 300**2 < side**2 <= 100_000
    assert automatic(30_000, 20_000, 10**8, overlap=32, alignment=16, largest=1024) == 1024
    # However little memory there is, a tile has room for its overlaps.
    cut(3000, 2000, automatic(3000, 2000, 10, overlap=100, alignment=16, largest=1024), 100, 16)


def test_no_tile_is_held_while_the_next_is_computed() -> None:
    held: list[weakref.ref[Samples]] = []

    def run(tiles: Samples) -> Samples:
        assert not held or held.pop()() is None
        output = enlarge(2)(tiles)
        held.append(weakref.ref(output))
        return output

    for _ in stream(np.zeros((90, 90, 3), np.uint8), cut(90, 90, 40, 8, 1), 2, run):
        pass
    assert held
