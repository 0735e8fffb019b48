"""Frames stay in order, few of them are held, and whatever fails ends all threads."""

import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from imagen_fast.image.picture import Picture
from imagen_fast.video.frames import Frame
from imagen_fast.video.joining import decoding_times
from imagen_fast.video.pipeline import Pipeline


def frames(count, same=lambda index: False):
    for index in range(count):
        color = np.full((1, 1, 3), index % 256, np.uint8)
        yield Frame(index, index, 1, None if same(index) else Picture(color))


def pipeline(given, models, write, skipped=lambda index: False):
    return Pipeline(given, models, skipped, write, lambda: None)


@pytest.mark.parametrize("models", [1, 2, 3])
def test_order_with_models_of_different_speed(models):
    made = []

    def model(number):
        def compute(picture):
            time.sleep(0.001 * number)
            return picture

        return compute

    pipeline(
        frames(40, lambda index: index % 5 == 4),
        [model(number) for number in range(models)],
        lambda frame, result: made.append((frame.index, int(result.color[0, 0, 0]))),
    ).run(lambda frame: None)
    assert made == [(i, i - 1 if i % 5 == 4 else i) for i in range(40)]


def test_frames_that_are_finished_pass_by():
    made, told = [], []
    run = pipeline(
        frames(10, lambda index: index < 6),
        [lambda picture: picture] * 2,
        lambda frame, result: made.append(frame.index),
        lambda index: index < 6,
    )
    run.run(lambda frame: told.append(frame.index))
    assert made == [6, 7, 8, 9]
    assert told == list(range(10))


def test_a_slow_writer_holds_the_reader_back():
    read = []

    def source():
        for frame in frames(50):
            read.append(frame.index)
            yield frame

    ahead = []

    def write(frame, result):
        time.sleep(0.005)
        ahead.append(len(read) - frame.index)

    pipeline(source(), [lambda picture: picture] * 2, write).run(lambda frame: None)
    assert max(ahead) <= 10


@pytest.mark.parametrize("where", ["read", "compute", "write", "tell"])
def test_whatever_fails_ends_all_threads(where):
    before = threading.active_count()

    def fail(here):
        if here == where:
            raise RuntimeError(where)

    def source():
        for frame in frames(1000):
            if frame.index == 5:
                fail("read")
            yield frame

    def compute(picture):
        fail("compute")
        return picture

    run = pipeline(source(), [compute] * 2, lambda frame, result: fail("write"))
    with pytest.raises(RuntimeError, match=where):
        run.run(lambda frame: fail("tell"))
    assert threading.active_count() == before


def test_decoding_times_rise_and_none_comes_after_its_frame_is_shown():
    rng = np.random.default_rng(0)
    segments, start = [], 0
    for _ in range(20):
        shown = start + np.cumsum(rng.integers(1, 100, 12))
        start = int(shown[-1])
        order = [0, *(1 + np.argsort(np.arange(11) + rng.uniform(0, 3, 11)))]  # B-frames
        segments.append([int(shown[i]) for i in order])
    decoded = list(decoding_times(segments))
    shown = [pts for segment in segments for pts in segment]
    assert all(a < b for a, b in pairwise(decoded))
    assert all(dts <= pts for dts, pts in zip(decoded, shown, strict=True))
    assert list(decoding_times([[5, 6, 9]])) == [5, 6, 9]  # in order: decoded when shown


def test_stages_run_side_by_side():
    """40 frames of 5, 10 and 5 ms take what 2 models need, not what all stages take together."""

    def source():
        for frame in frames(40):
            time.sleep(0.005)
            yield frame

    def compute(picture):
        time.sleep(0.01)
        return picture

    run = pipeline(source(), [compute] * 2, lambda frame, result: time.sleep(0.005))
    began = time.perf_counter()
    run.run(lambda frame: None)
    assert time.perf_counter() - began < 0.75 * 40 * 0.020
