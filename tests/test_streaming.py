"""`Engine.stream_video`: frames one after the other, each with its result at once."""

import numpy as np
import pytest
from noise import noise

from imagen_fast import load
from imagen_fast.errors import ImageError
from imagen_fast.image.picture import Picture
from imagen_fast.metrics import psnr
from imagen_fast.recurrent import Recurrent


@pytest.fixture
def engine(tiny_path):
    with load(tiny_path, backend="fake") as engine:
        yield engine


def test_a_frame_gives_what_its_picture_gives(engine):
    with engine.stream_video(16, 12) as stream:
        for seed in range(3):
            frame = noise(12, 16, 3, seed=seed)
            np.testing.assert_array_equal(stream.push(frame), engine(frame))
        assert stream.frames == 3


def test_a_result_goes_where_it_is_wanted(engine):
    out = np.empty((24, 32, 3), np.uint8)
    with engine.stream_video(16, 12, format="bgr", out_format="rgb") as stream:
        frame = noise(12, 16, 3)
        assert stream.push(frame, out) is out
    np.testing.assert_array_equal(out, engine(frame)[..., ::-1])


@pytest.mark.parametrize("layout", ["nv12", "i420"])
def test_frames_of_video_come_back_as_they_were(engine, layout):
    """Repeated pixels of a frame without detail have its levels."""
    frame = np.full((18, 16), 100, np.uint8)
    frame[12:] = 140
    with engine.stream_video(16, 12, format=layout) as stream:
        out = stream.push(frame)
    assert out.shape == stream.out_shape == (36, 32)
    assert np.abs(out[:24].astype(int) - 100).max() <= 1
    assert np.abs(out[24:].astype(int) - 140).max() <= 1


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"width": 0}, "width is 0"),
        ({"height": 2.5}, "height is 2.5"),
        ({"format": "yuy2"}, "format is 'yuy2'; expected one of rgb, bgr, nv12, i420"),
        ({"format": "nv12", "width": 15}, "even sizes"),
        ({"matrix": "bt2100"}, "matrix is 'bt2100'"),
    ],
)
def test_what_cannot_be_is_refused(engine, how, says):
    with pytest.raises(ImageError, match=says):
        engine.stream_video(**{"width": 16, "height": 12, **how})


def test_frames_are_checked(engine):
    with engine.stream_video(16, 12) as stream:
        for frame in (noise(12, 17, 3), noise(12, 16), noise(12, 16, 3).astype(np.float32), None):
            with pytest.raises(ImageError, match="the frame is"):
                stream.push(frame)
        with pytest.raises(ImageError, match="out is"):
            stream.push(noise(12, 16, 3), np.empty((24, 32, 3), np.float32))
        with pytest.raises(ImageError, match="contiguous"):
            stream.push(noise(12, 16, 3), np.empty((24, 32, 6), np.uint8)[..., ::2])
    with pytest.raises(ImageError, match="closed"):
        stream.push(noise(12, 16, 3))


@pytest.fixture
def remembering(video_path):
    with load(video_path, precision="fp32", threads=1) as engine:
        yield engine


def apart(one, other):
    return np.abs(one.astype(int) - other).max()


def test_a_model_for_videos_reads_what_it_made_of_the_frame_before(remembering):
    frames = [noise(24, 32, 3, seed=1) // 4 + shade for shade in (60, 64, 68)]
    names, before, expected = ["picture", "previous"], {}, []
    for frame in frames:
        found = remembering.in_parts({"image": frame, **before}, names)
        before = {"previous": found["previous"]}
        expected.append(found["picture"])
    with remembering.stream_video(32, 24) as stream:
        made = [stream.push(frame) for frame in frames]
    for one, other in zip(made, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert apart(made[0], remembering(frames[0])) <= 1
    assert apart(made[1], remembering(frames[1])) > 3


@pytest.mark.parametrize(
    ("backend", "precision"), [("eager", "fp32"), ("onnxruntime", "fp32"), ("triton", "fp16")]
)
def test_all_backends_hand_it_on(remembering, video_path, backend, precision):
    module = {"eager": "torch"}.get(backend, backend)
    pytest.importorskip(module, reason=f"needs {module}")
    frames = [noise(6, 9, 3, seed=1) // 4 + shade for shade in (60, 64)]
    with (
        load(video_path, backend, device="cpu", precision=precision) as engine,
        engine.stream_video(9, 6) as stream,
        remembering.stream_video(9, 6) as expected,
    ):
        for frame in frames:
            assert psnr(stream.push(frame), expected.push(frame)) >= 50


def test_a_scene_cut_begins_anew(remembering):
    dark, bright = noise(24, 32, 3) // 8, 200 + noise(24, 32, 3) // 8
    with remembering.stream_video(32, 24) as stream:
        stream.push(dark)
        assert apart(stream.push(bright), remembering(bright)) <= 1
        assert apart(stream.push(bright), remembering(bright)) > 3


def test_small_frames_have_cuts_too(remembering):
    dark, bright = np.full((1, 3, 3), 10, np.uint8), np.full((1, 3, 3), 240, np.uint8)
    with remembering.stream_video(3, 1) as stream:
        stream.push(dark)
        assert apart(stream.push(bright), remembering(bright)) <= 1


def test_frames_in_parts_are_those_of_the_whole(video_path, remembering):
    frames = [noise(100, 120, 3, seed=3) // 2 + shade for shade in (10, 12, 14)]
    with (
        load(video_path, precision="fp32", threads=1, tile=64) as engine,
        engine.stream_video(120, 100) as parts,
        remembering.stream_video(120, 100) as whole,
    ):
        for frame in frames:
            assert apart(parts.push(frame), whole.push(frame)) <= 1


def test_pictures_of_all_kinds_are_frames(remembering):
    through = Recurrent(remembering)
    deep = noise(16, 16, 3).astype(np.uint16) * 257
    alpha = np.full((16, 16), 30_000, np.uint16)
    made = through(Picture(deep, alpha))
    assert made.color.shape == (32, 32, 3)
    assert made.alpha is not None
    assert (made.alpha == 30_000).all()
    through.forget()
    assert apart(through(Picture(noise(16, 16, 3))).color, np.rint(made.color / 257)) <= 1
    grey = through(Picture(noise(16, 16, 1)))
    assert grey.color.shape == (32, 32, 1)
