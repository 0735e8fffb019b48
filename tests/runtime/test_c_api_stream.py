"""Frames of a running video through the C API: what `Engine.stream_video` gives, bit by bit."""

import ctypes
import threading
from pathlib import Path

import numpy as np
import pytest
from c_interface import INVALID, Engine, Failed, Frame, Stream, frame
from noise import noise

from imagen_fast import c_library, load
from imagen_fast.bundle import Bundle, load_bundle, save_bundle

if missing := c_library.missing():
    pytest.skip(missing, allow_module_level=True)

LAYOUTS = ("rgb", "bgr", "nv12", "i420")


@pytest.fixture(scope="module")
def engine(lib, tiny_path):
    with Engine(lib, tiny_path, precision="fp32", threads=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def twin(tiny_path: Path):
    with load(tiny_path, precision="fp32", threads=1) as engine:
        yield engine


def shape(layout: str, height: int, width: int) -> tuple[int, ...]:
    return (height, width, 3) if layout in ("rgb", "bgr") else (height * 3 // 2, width)


@pytest.mark.parametrize("given", LAYOUTS)
@pytest.mark.parametrize("wanted", LAYOUTS)
def test_all_layouts_give_what_python_gives(engine, twin, given, wanted):
    height, width = 18, 26
    how = {"matrix": "bt709", "full_range": given == "i420"}
    with (
        Stream(engine, width, height, given, wanted, **how) as stream,
        twin.stream_video(width, height, format=given, out_format=wanted, **how) as other,
    ):
        for seed in range(2):
            samples = noise(*shape(given, height, width), seed=seed)
            out = np.full(shape(wanted, 2 * height, 2 * width), 77, np.uint8)
            np.testing.assert_array_equal(stream.push(samples, out), other.push(samples))


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize(("height", "width"), [(2, 2), (2, 6), (8, 2), (10, 14)])
def test_all_matrices_and_small_sizes(engine, twin, matrix, height, width):
    samples = noise(*shape("nv12", height, width))
    out = np.zeros(shape("i420", 2 * height, 2 * width), np.uint8)
    with Stream(engine, width, height, "nv12", "i420", matrix) as stream:
        stream.push(samples, out)
    how = {"format": "nv12", "out_format": "i420", "matrix": matrix}
    with twin.stream_video(width, height, **how) as other:
        np.testing.assert_array_equal(out, other.push(samples))


def test_rows_may_lie_apart_and_upside_down(engine, twin):
    height, width = 6, 10
    samples = noise(*shape("nv12", height, width))
    wide = noise(height * 3 // 2, width + 7, seed=1)
    wide[:, :width] = samples
    out = np.full((2 * height, 2 * width + 3, 3), 77, np.uint8)
    address, stride = wide.ctypes.data, wide.strides[0]
    given = Frame(ctypes.sizeof(Frame))
    given.planes[0], given.planes[1] = address, address + height * stride
    given.strides[0] = given.strides[1] = stride
    taken = Frame(ctypes.sizeof(Frame))
    taken.planes[0], taken.strides[0] = out[-1:].ctypes.data, -out.strides[0]
    with Stream(engine, width, height, "nv12", "bgr") as stream:
        stream.push_frames(given, taken)
    with twin.stream_video(width, height, format="nv12", out_format="bgr") as other:
        np.testing.assert_array_equal(out[::-1, : 2 * width], other.push(samples))
    assert (out[:, 2 * width :] == 77).all()


def test_a_model_for_videos_gives_what_python_gives(lib, video_path):
    """Frames of a scene, a cut, and the scene behind it; sides that squares do not fill."""
    height, width = 18, 26
    scene = [noise(height, width, 3) // 4 + shade for shade in (20, 24, 30)]
    frames = [*scene, *(255 - frame for frame in scene)]
    with (
        Engine(lib, video_path, precision="fp32", threads=1) as engine,
        load(video_path, precision="fp32", threads=1) as twin,
        Stream(engine, width, height, "bgr", "rgb") as stream,
        twin.stream_video(width, height, format="bgr", out_format="rgb") as other,
    ):
        for number, samples in enumerate(frames):
            out = np.zeros((2 * height, 2 * width, 3), np.uint8)
            np.testing.assert_array_equal(stream.push(samples, out), other.push(samples))
            alone = twin(samples[..., ::-1].copy())
            apart = np.abs(out.astype(int) - alone).max()
            assert apart <= 1 if number in (0, 3) else apart > 3


def test_a_model_for_videos_may_need_what_came_before(lib, video_path, tmp_path):
    """As a file that was exported with it does; zeros are given at the first frame."""
    bundle = load_bundle(video_path)
    needs = tmp_path / "needs.safetensors"
    save_bundle(Bundle(bundle.graph.given(["previous"]), bundle.tensors, bundle.metadata), needs)
    frames = [noise(8, 12, 3) // 4 + shade for shade in (20, 24)]
    made = []
    for path in (video_path, needs):
        with (
            Engine(lib, path, precision="fp32", threads=1) as engine,
            Stream(engine, 12, 8, "rgb", "rgb") as stream,
        ):
            made.append([stream.push(x, np.zeros((16, 24, 3), np.uint8)) for x in frames])
    np.testing.assert_array_equal(*made)


def test_threads_take_turns(engine, twin):
    frames = [noise(12, 16, 3, seed=seed) for seed in range(8)]
    outs = [np.empty((24, 32, 3), np.uint8) for _ in frames]
    with Stream(engine, 16, 12, "bgr", "rgb") as stream:  # by way of memory of the stream's own
        threads = [
            threading.Thread(target=stream.push, args=pair)
            for pair in zip(frames, outs, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for given, out in zip(frames, outs, strict=True):
        np.testing.assert_array_equal(out, twin(given[..., ::-1].copy()))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"width": 0}, "width is 0"),
        ({"height": -3}, "height is -3"),
        ({"format": "yv12"}, "format is 9"),
        ({"format": "nv12", "width": 15}, "even sizes"),
        ({"out_format": "i420", "height": 11}, "even sizes"),
        ({"matrix": "xyz"}, "matrix is 9"),
        ({"full_range": 2}, "full_range is 2"),
        ({"width": 1 << 29}, "too large"),
    ],
)
def test_what_cannot_be_is_refused(engine, how, says):
    with pytest.raises(Failed, match=says) as failed:
        Stream(engine, **{"width": 16, "height": 12, **how})
    assert failed.value.status == INVALID


def test_planes_and_strides_are_checked(engine):
    samples, out = noise(18, 16), np.empty((24, 32, 3), np.uint8)
    with Stream(engine, 16, 12, "nv12", "rgb") as stream:
        for change, says in (
            (lambda given: given.planes.__setitem__(1, None), r"in.planes\[1\] is NULL"),
            (lambda given: given.strides.__setitem__(1, 15), r"in.strides\[1\] is 15 bytes"),
            (lambda given: setattr(given, "size", 3), "imagen_fast_frame.size is 3"),
        ):
            given = frame(samples, "nv12")
            change(given)
            with pytest.raises(Failed, match=says):
                stream.push_frames(given, frame(out, "rgb"))
    with (
        Stream(engine, 16, 12) as stream,
        pytest.raises(Failed, match="overlap"),
    ):
        stream.push_frames(frame(out, "rgb"), frame(out, "rgb"))
