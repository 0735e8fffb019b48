"""Videos through a model that reads what it made of the frame before."""

import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from imagen_fast import load
from imagen_fast.cli import main
from imagen_fast.image.picture import Picture
from imagen_fast.recurrent import Recurrent
from imagen_fast.video.frames import Frame
from imagen_fast.video.pipeline import Pipeline

ENGINE = ("--backend", "native", "--precision", "fp32", "--threads", "2")


def still(number: int, height: int, width: int) -> np.ndarray:
    """The same for the first 130 frames, over the end of a segment, then something that moves."""
    y, x = np.mgrid[:height, :width]
    at = max(0, number - 130)
    wave = 90 + 40 * np.sin(x / 3 + at / 5) + 30 * np.cos(y / 2)
    return wave[..., None].repeat(3, 2).astype(np.uint8)


def enlarge(source, out, model, *more):
    line = ["video", source, "-o", out, "-n", model, *ENGINE, *more]
    return CliRunner().invoke(main, [str(one) for one in line], catch_exceptions=False)


def test_a_killed_run_goes_on_to_what_it_would_have_been(make, video_path, look_at, tmp_path):
    source = make(
        tmp_path / "a.mkv", frames=300, size=(16, 32), codec="ffv1", pix_fmt="bgr0", draw=still
    )
    out, parts = tmp_path / "b.mkv", tmp_path / "b.mkv.parts"
    line = [sys.executable, "-m", "imagen_fast", "video", source, "-o", out, "-n", video_path]
    more = (*ENGINE, "--codec", "ffv1")
    process = subprocess.Popen([*map(str, line), *more], stdout=subprocess.DEVNULL)
    while not (parts / "000000.packets").exists():
        assert process.poll() is None, "it ended before it wrote this"
        time.sleep(0.002)
    process.kill()
    process.communicate()
    done = enlarge(source, out, video_path, "--codec", "ffv1")
    assert done.exit_code == 0
    assert "from an earlier run" in done.output
    whole = tmp_path / "whole.mkv"
    assert enlarge(source, whole, video_path, "--codec", "ffv1").exit_code == 0
    assert look_at.packets(out, "video") == look_at.packets(whole, "video")


def test_frames_are_those_of_the_stream(make, video_path, look_at, tmp_path):
    source = make(tmp_path / "a.mkv", frames=5, size=(16, 24), codec="ffv1", pix_fmt="bgr0")
    out = tmp_path / "b.mkv"
    assert enlarge(source, out, video_path, "--codec", "ffv1").exit_code == 0
    with load(video_path, precision="fp32", threads=2) as engine, engine.stream_video(24, 16) as s:
        expected = [s.push(frame) for frame in look_at.pixels(source)]
    for one, other in zip(look_at.pixels(out), expected, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 3  # by way of YUV


def test_task_and_model_have_to_go_together(make, video_path, tmp_path):
    source = make(tmp_path / "a.mp4", frames=1)
    done = enlarge(source, tmp_path / "b.mp4", video_path, "--task", "restore")
    assert done.exit_code == 2
    assert enlarge(source, tmp_path / "b.mp4", video_path, "--task", "upscale").exit_code == 0
    picture = CliRunner().invoke(main, ["upscale", str(source), "-n", str(video_path)])
    assert picture.exit_code == 2
    assert "its command is video" in picture.output


@pytest.mark.parametrize("finished", [0, 4])
def test_a_segment_begins_as_if_nothing_came_before(video_path, finished):
    """Also at a frame that equals the one before; and without computing those that are finished."""
    color = np.random.default_rng(0).integers(60, 120, (8, 8, 3), np.uint8)
    same = [Picture(color), None, None, None]
    given = [Frame(i, i, 1, None if i < finished else same[i % 8 % 4]) for i in range(8)]
    given[4] = Frame(4, 4, 1, Picture(color) if finished else None)
    made = {}
    with load(video_path, precision="fp32", threads=1) as engine:
        Pipeline(
            iter(given),
            [Recurrent(engine)],
            lambda index: index < finished,
            lambda frame, result: made.update({frame.index: result.color}),
            lambda: None,
            lambda index: index % 4 == 0,
        ).run(lambda frame: None)
        alone = engine(color)
    assert sorted(made) == list(range(finished, 8))
    for result in made.values():
        assert np.abs(result.astype(int) - alone).max() <= 1
