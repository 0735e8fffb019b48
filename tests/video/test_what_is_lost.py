"""What a result cannot hold, or a decoder leaves out, is refused or named."""

import subprocess
import sys
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image


def test_sound_that_the_container_cannot_hold_is_refused(make, video, tmp_path):
    source = make(tmp_path / "a.mp4", sound=True)
    done = video(source, "-o", tmp_path / "b.webm")
    assert done.exit_code == 1
    assert "its sound is aac, which a webm file cannot hold" in done.output
    assert video(source, "-o", tmp_path / "b.ts").exit_code == 0
    with av.open(str(tmp_path / "b.ts")) as made:
        (voice,) = made.streams.audio
        assert voice.codec_context.name == "aac"
        assert sum(frame.samples for frame in made.decode(voice)) >= 20 * 1024


def test_transparency_that_is_lost_is_said(make, video, tmp_path):
    source = make(tmp_path / "a.mov", codec="png", pix_fmt="rgba", frames=2)
    said = "what is transparent is laid on black"
    assert said in video(source, "-o", tmp_path / "b.mp4").stderr
    assert said not in video(source, "-o", tmp_path / "b.mov", "--codec", "prores").stderr


def see_through(container, stream):
    """Frames whose left half is transparent; for `prepare`."""
    if stream.codec_context.name == "libvpx":
        stream.codec_context.options = {"auto-alt-ref": "0"}  # without which it has no alpha
    for number in range(3):
        samples = np.full((48, 64, 4), 200, np.uint8)
        samples[:, :, 1], samples[:, :32, 3], samples[:, 32:, 3] = 10 * number, 0, 255
        frame = av.VideoFrame.from_ndarray(samples, "rgba").reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = 512 * number, stream.time_base
        container.mux(stream.encode(frame))


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparency_of_vp8_and_vp9_is_read(make, video, tmp_path, monkeypatch, codec):
    """Which FFmpeg's own decoders leave out without a word."""
    source = make(tmp_path / "a.webm", codec=codec, pix_fmt="yuva420p", pts=[], prepare=see_through)
    assert video(source, "-o", tmp_path / "b.apng").exit_code == 0
    with Image.open(tmp_path / "b.apng") as made:
        assert made.n_frames == 3
        alpha = np.asarray(made.convert("RGBA"))[..., 3]
    assert (alpha[:, :60] == 0).all()
    assert (alpha[:, 68:] == 255).all()
    said = "what is transparent is laid on black"
    for name in ("b.webm", "b.mp4"):
        done = video(source, "-o", tmp_path / name)
        assert done.exit_code == 0, done.output
        assert said in done.stderr

    create = av.CodecContext.create

    def without(name, *arguments):
        if name.startswith("libvpx"):
            raise ValueError(name)
        return create(name, *arguments)

    monkeypatch.setattr(av, "CodecContext", SimpleNamespace(create=without))
    done = video(source, "-o", tmp_path / "c.apng")
    assert done.exit_code == 0
    assert f"{source}: its transparency is left out: {codec} is missing here" in done.stderr


def test_transparency_of_prores_is_laid_on_black_in_webm(make, video, look_at, tmp_path):
    source = make(tmp_path / "a.mov", codec="prores_ks", pix_fmt="yuva444p10le", pts=[],
                  prepare=see_through)  # fmt: skip
    done = video(source, "-o", tmp_path / "b.webm")
    assert done.exit_code == 0, done.output
    assert "what is transparent is laid on black" in done.stderr
    assert look_at.pixels(tmp_path / "b.webm")[0][:, :60].max() < 8


def test_sound_that_is_left_out_is_named(make, video, fake_model, tmp_path):
    source = make(tmp_path / "a.mp4", sound=True, frames=3)
    for name, what in (("b.gif", "gif"), ("b.y4m", "y4m"), ("b.webp", "webp"),
                       ("out", "pictures")):  # fmt: skip
        done = video(source, "-o", tmp_path / name)
        assert done.exit_code == 0, done.output
        assert f"{source}: sound left out: {what} cannot hold it" in done.stderr
    assert "left out" not in video(source, "-o", tmp_path / "b.mkv").stderr
    line = [sys.executable, "-m", "imagen_fast", "video", "-", "-o", tmp_path / "c.mkv"]
    make(tmp_path / "a.ts", sound=True, frames=3)
    done = subprocess.run(
        [*line, "-n", fake_model, "--backend", "fake"],
        input=(tmp_path / "a.ts").read_bytes(), capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"standard input: sound left out: standard input is read for" in done.stderr
