"""`imagen-fast video`: what comes out has the frames, times, colours and sound of what went in."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from imagen_fast import catalogue
from imagen_fast.cli import main


def twice(frame: np.ndarray) -> np.ndarray:
    return frame.repeat(2, axis=0).repeat(2, axis=1)


def test_frames_times_and_sound_are_those_of_the_source(make, video, look_at, tmp_path):
    source, out = make(tmp_path / "a.mp4", frames=60, sound=True), tmp_path / "b.mp4"
    done = video(source, "-o", out)
    assert done.exit_code == 0, done.output
    assert look_at.times(out) == look_at.times(source)
    assert look_at.packets(out, "audio") == look_at.packets(source, "audio")
    for made, given in zip(look_at.pixels(out), look_at.pixels(source), strict=True):
        assert np.abs(made.astype(int) - twice(given)).mean() < 3
    assert not (tmp_path / "b.mp4.parts").exists()


def test_variable_frame_rate_stays_exact(make, video, look_at, tmp_path):
    moments = [0, 512, 700, 5000, 5001, 9999, 20000]
    source, out = make(tmp_path / "a.mp4", pts=moments), tmp_path / "b.mp4"
    assert video(source, "-o", out).exit_code == 0
    assert look_at.times(out) == [Fraction(at, 12800) for at in moments]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "name"),
    [
        ("libx264", "yuv420p10le", "a.mp4"),
        ("libx264", "yuv444p", "a.mp4"),
        ("libx264", "yuv422p", "a.mkv"),
        ("ffv1", "gray", "a.mkv"),
        ("prores_ks", "yuv422p10le", "a.mov"),
    ],
)
def test_sample_formats_stay(make, video, tmp_path, codec, pix_fmt, name):
    source = make(tmp_path / name, codec=codec, pix_fmt=pix_fmt, frames=3)
    out = tmp_path / f"out{source.suffix}"
    assert video(source, "-o", out, "--codec", codec).exit_code == 0
    with av.open(str(out)) as container:
        assert container.streams.video[0].pix_fmt == pix_fmt


def test_colours_pixel_aspect_rotation_chapters_and_titles_stay(make, video, tmp_path):
    def prepare(container, stream):
        context = stream.codec_context
        context.colorspace, context.color_range = 9, 1
        context.color_primaries, context.color_trc = 9, 16
        context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_rotation(90)
        container.metadata["title"] = "a title"
        half = {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000)}
        container.set_chapters([{**half, "metadata": {"title": "one"}}])

    source = make(tmp_path / "a.mp4", pix_fmt="yuv420p10le", prepare=prepare)
    out = tmp_path / "b.mp4"
    assert video(source, "-o", out).exit_code == 0
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        context, frame = stream.codec_context, next(container.decode(stream))
        assert (context.colorspace, context.color_range) == (9, 1)
        assert (context.color_primaries, context.color_trc) == (9, 16)
        assert stream.sample_aspect_ratio == Fraction(4, 3)
        assert frame.rotation == 90
        assert (frame.width, frame.height) == (128, 96)
        assert container.metadata["title"] == "a title"
        (chapter,) = container.chapters()
        assert chapter["metadata"]["title"] == "one"


@pytest.mark.parametrize(("codec", "matrix"), [("libx264", 1), ("ffv1", 0)])
def test_rgb_gets_a_matrix_where_it_becomes_yuv(make, video, look_at, tmp_path, codec, matrix):
    source = make(tmp_path / "a.mkv", codec="ffv1", pix_fmt="bgr0", frames=2)
    out = tmp_path / "b.mkv"
    assert video(source, "-o", out, "--codec", codec).exit_code == 0
    with av.open(str(out)) as container:
        assert next(container.decode(video=0)).colorspace == matrix
    made, given = look_at.pixels(out)[0], look_at.pixels(source)[0]
    assert np.abs(made.astype(int) - twice(given)).mean() < (3 if matrix else 0.01)


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
@pytest.mark.parametrize("mirrored", [False, True])
def test_frames_are_turned_upright_where_the_container_cannot_say_so(
    make, video, look_at, tmp_path, degrees, mirrored
):
    def prepare(container, stream):
        stream.set_display_rotation(degrees, hflip=mirrored)

    source, out = make(tmp_path / "a.mp4", frames=2, prepare=prepare), tmp_path / "b.avi"
    done = video(source, "-o", out, "--codec", "ffv1")
    assert done.exit_code == 0, done.output
    stored = look_at.pixels(source)[0]
    # Mirrored first, then turned counter-clockwise, as `set_display_rotation` says.
    shown = np.rot90(stored[:, ::-1] if mirrored else stored, degrees // 90)
    if mirrored and degrees % 180:  # the matrix mirrors what is turned already
        shown = np.rot90(stored, degrees // 90)[:, ::-1]
    made = look_at.pixels(out)[0]
    assert made.shape == twice(shown).shape
    assert np.abs(made.astype(int) - twice(shown)).mean() < 5


def test_a_matrix_that_players_would_guess_otherwise_by_size_is_said(make, video, tmp_path):
    source = make(tmp_path / "a.mp4", size=(400, 64), frames=2)
    assert video(source, "-o", tmp_path / "b.mp4").exit_code == 0
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].codec_context.colorspace == 6  # 800 rows look like HD


@pytest.mark.parametrize("size", [(1, 1), (41, 61)])
def test_odd_sizes(make, video, look_at, tmp_path, size):
    source = make(tmp_path / "a.mkv", size=size, codec="ffv1", pix_fmt="yuv444p", frames=3)
    out = tmp_path / "b.mp4"
    assert video(source, "-o", out).exit_code == 0
    assert look_at.pixels(out)[0].shape == (2 * size[0], 2 * size[1], 3)


def test_a_part(make, video, look_at, tmp_path):
    source, out = make(tmp_path / "a.mp4", frames=50, sound=True), tmp_path / "b.mp4"
    assert video(source, "-o", out, "--start", "0.2", "--end", "0:00:00.4").exit_code == 0
    assert look_at.times(out) == [Fraction(at, 25) for at in range(5)]
    whole, part = (dict(look_at.packets(path, "audio")) for path in (source, out))
    kept = {at: data for at, data in whole.items() if 0.2 <= at < 0.4}
    assert list(part.values()) == list(kept.values())
    for at, before in zip(part, kept, strict=True):
        assert abs(at - (before - Fraction(1, 5))) < Fraction(1, 48000)


def test_unchanged_frames_are_computed_once(make, look_at, tmp_path, fake_model):
    from imagen_fast import load
    from imagen_fast.video.job import Job, Wanted

    def draw(number, height, width):
        return np.full((height, width, 3), 50 * (number // 10), np.uint8)

    still = make(tmp_path / "a.mkv", codec="ffv1", frames=30, draw=draw)
    computed = []
    with (
        load(fake_model, backend="fake") as engine,
        Job(Wanted(still, tmp_path / "b.mkv", 2)) as job,
    ):

        def model(given):
            computed.append(given)
            return engine(given)

        assert job.run([model, model], {}, lambda kept: None) == 30
    assert len(computed) == 3
    levels = [frame.mean() for frame in look_at.pixels(tmp_path / "b.mkv")]
    assert np.ptp(levels[:10]) < 2
    assert levels[10] > levels[9] + 30


@pytest.mark.parametrize("name", ["out.gif", "out.webp", "out.apng"])
def test_animations(video, tmp_path, name):
    frames = [Image.new("RGB", (20, 16), color) for color in ("red", "blue", "lime")]
    source = tmp_path / "in.gif"
    frames[0].save(source, save_all=True, append_images=frames[1:], duration=[40, 120, 80], loop=0)
    out = tmp_path / name
    done = video(source, "-o", out)
    assert done.exit_code == 0, done.output
    with Image.open(out) as image:
        assert image.n_frames == 3
        for number, (color, duration) in enumerate(
            zip([(255, 0, 0), (0, 0, 255), (0, 255, 0)], [40, 120, 80], strict=True)
        ):
            image.seek(number)
            image.load()
            assert image.size == (40, 32)
            assert image.info["duration"] == duration
            middle = image.convert("RGB").getpixel((20, 16))
            assert np.abs(np.subtract(middle, color)).max() <= 6  # WebP is lossy


def test_an_animated_webp_is_read(video, look_at, tmp_path):
    frames = [Image.new("RGB", (20, 16), color) for color in ("red", "blue")]
    source = tmp_path / "in.webp"
    frames[0].save(
        source, save_all=True, append_images=frames[1:], duration=[40, 200], lossless=True
    )
    assert video(source, "-o", tmp_path / "b.mp4").exit_code == 0
    assert look_at.times(tmp_path / "b.mp4") == [0, Fraction(1, 25)]


def test_pictures_in_and_out(video, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in (2, 10, 1):
        Image.new("RGB", (8, 6), (number * 20, 0, 0)).save(folder / f"{number}.png")
    assert video(folder, "-o", tmp_path / "out").exit_code == 0
    made = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in made] == ["000001.png", "000002.png", "000003.png"]
    reds = [Image.open(path).getpixel((0, 0))[0] for path in made]
    assert reds == [20, 40, 200]
    assert Image.open(made[0]).size == (16, 12)
    again = video(folder / "%d.png", "-o", tmp_path / "jpegs" / "frame_%03d.jpg")
    assert again.exit_code == 0
    assert len(list((tmp_path / "jpegs").glob("frame_???.jpg"))) == 3


def test_quality_of_an_animated_webp(make, video, tmp_path):
    source, sizes = make(tmp_path / "a.mp4"), []
    for number, options in enumerate((("--crf", 10), ("--crf", 90), (), ("--crf", 100))):
        out = tmp_path / f"{number}.webp"
        assert video(source, "-o", out, *options).exit_code == 0
        sizes.append(out.stat().st_size)
    assert sizes[0] < sizes[1] == sizes[2] < sizes[3]


def test_pipes(make, fake_model, look_at, tmp_path):
    source = make(tmp_path / "a.y4m", codec="rawvideo", frames=5)
    command = [sys.executable, "-m", "imagen_fast", "video", "-", "-o", "-", "-n", str(fake_model)]
    with source.open("rb") as given, (tmp_path / "b.y4m").open("wb") as taken:
        done = subprocess.run(
            [*command, "--backend", "fake"], stdin=given, stdout=taken, stderr=subprocess.PIPE
        )
    assert done.returncode == 0, done.stderr
    made, given = look_at.pixels(tmp_path / "b.y4m"), look_at.pixels(source)
    assert len(made) == 5
    assert np.abs(made[4].astype(int) - twice(given[4])).mean() < 3


def test_a_command_that_fails_with_a_decoder_at_work_ends(make, fake_model, tmp_path):
    source = make(tmp_path / "a.mp4", frames=25, size=(64, 96))
    line = [sys.executable, "-m", "imagen_fast", "video", source, "-o", tmp_path / "b.webm"]
    line += ["-n", fake_model, "--codec", "h264"]  # which webm cannot hold
    for _ in range(3):
        done = subprocess.run(line, capture_output=True, timeout=60)
        assert done.returncode == 1


def sound_alone(path: Path) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.mp4", b"hello", "cannot be read as a video"),
        ("a.mp4", b"", "cannot be read as a video"),
        ("a.y4m", b"YUV4MPEG2 W8 H8 F25:1 Ip A0:0 C420\n", "not one frame"),
        ("a.gif", b"GIF89a", "cannot be read as an animation"),
        ("a.mp4", sound_alone, "has no video"),
        ("a.mp4", None, "no such file"),
    ],
)
def test_what_is_no_video_is_refused_in_a_line(video, tmp_path, name, content, says):
    source = tmp_path / name
    if callable(content):
        content(source)
    elif content is not None:
        source.write_bytes(content)
    done = video(source, "-o", tmp_path / "b.mp4")
    assert done.exit_code == 1
    assert says in done.output
    assert len(done.output.splitlines()) == 1
    assert not list(tmp_path.glob("b.mp4*"))


def test_a_file_that_breaks_off_gives_what_there_is_and_says_so(make, video, look_at, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (50, 48, 64, 3), np.uint8)
    whole = make(tmp_path / "a.mkv", frames=50, draw=lambda number, *_: noise[number])
    source = tmp_path / "b.mkv"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    done = video(source, "-o", tmp_path / "c.mp4")
    assert done.exit_code == 0, done.output
    assert "ends after" in done.output
    assert 10 < len(look_at.times(tmp_path / "c.mp4")) < 40


def test_an_output_that_exists_is_kept(make, video, tmp_path):
    source, out = make(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    out.write_bytes(b"mine")
    assert video(source, "-o", out).exit_code == 1
    assert out.read_bytes() == b"mine"
    assert video(source, "-o", source, "--overwrite").exit_code == 1
    assert video(source, "-o", out, "--overwrite").exit_code == 0
    assert out.stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("-o", "b.xyz"), 2, ".xyz is no video"),
        (("-o", "a.mp4", "--codec", "nothing"), 2, "no encoder 'nothing'"),  # and exists
        (("-o", "b.mp4", "--codec", "aac"), 2, "expected one for videos"),
        (("-o", "b.gif", "--codec", "h264"), 2, "--codec is for videos"),
        (("-o", "b.webm", "--codec", "h264"), 1, "does not support"),
        (("-o", "b.mkv", "--codec", "ffv1", "--crf", "20"), 2, "ffv1 has no --crf"),
        (("-o", "b.gif", "--crf", "20"), 2, "gif has no --crf"),
        (("-o", "b.mp4", "--crf", "51.5"), 2, "--crf 51.5: libx264 takes 0 to 51"),
        (("-o", "b.webm", "--crf", "64"), 2, "--crf 64: libvpx-vp9 takes 0 to 63"),
        (("-o", "b", "--preset", "slow"), 2, "png has no --preset"),
        (("-o", "b.mp4", "--preset", "nonsense"), 1, "libx264"),
        (("-o", "b.mp4", "--task", "stylize"), 2, "its command is upscale"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_computed(
    make, video, tmp_path, arguments, code, says, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    done = video(make(tmp_path / "a.mp4"), *arguments)
    assert done.exit_code == code
    assert says in done.output
    assert not list(tmp_path.glob("b.*"))


def test_without_a_model_that_stylizes(make, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path / "none")
    source, out = make(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    line = ["video", str(source), "-o", str(out), "--task", "stylize"]
    done = CliRunner().invoke(main, line)
    assert done.exit_code == 1
    assert "no model that stylizes is shipped" in done.output


def test_without_pyav_the_command_says_how_to_get_it(tmp_path, fake_model):
    (tmp_path / "av.py").write_text("raise ImportError('not here')")
    (tmp_path / "a.mp4").touch()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "imagen_fast",
            "video",
            tmp_path / "a.mp4",
            "-o",
            "b.mp4",
            "-n",
            fake_model,
        ],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 1
    assert "pip install av" in done.stderr


def test_a_model_that_restores(make, look_at, tmp_path, bundle_of):
    from imagen_fast.bundle import save_bundle
    from imagen_fast.spec import Level, ModelSpec

    model, source = tmp_path / "restore.safetensors", make(tmp_path / "a.mkv", codec="ffv1")
    save_bundle(bundle_of(ModelSpec(scale=1, levels=(Level(32, convs=1),))), model)
    means = []
    for strength in ("0", "1"):
        out = tmp_path / f"{strength}.mkv"
        line = ["video", source, "-o", out, "-n", model, "--strength", strength, "--codec", "ffv1"]
        done = CliRunner().invoke(main, [str(one) for one in line], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        made, given = look_at.pixels(out), look_at.pixels(source)
        assert made[0].shape == given[0].shape
        means.append(np.abs(made[3].astype(int) - given[3]).mean())
    assert means[0] < 2 < means[1]


def test_a_noisy_video_is_taken_by_the_model_for_such(make, tmp_path):
    def noisy(number: int, height: int, width: int) -> np.ndarray:
        y, x = np.mgrid[:height, :width][..., None]
        noise = np.random.default_rng(number).normal(0, 20, (height, width, 3))
        return (120 + x + y / 2 + noise).clip(0, 255).astype(np.uint8)

    made = {}
    for name, draw in (("noise", noisy), ("clean", lambda *_: np.full((64, 64, 3), 99, np.uint8))):
        source = make(
            tmp_path / f"{name}.mkv",
            frames=2,
            size=(64, 64),
            codec="ffv1",
            pix_fmt="bgr0",
            draw=draw,
        )
        for model in (), ("-n", "sr-x2"):
            out = tmp_path / f"{name}{len(model)}.mkv"
            command = ["video", str(source), "-o", str(out), "-s", "2", "--codec", "ffv1", *model]
            done = CliRunner().invoke(main, command)
            assert done.exit_code == 0, done.output
            taken = "real-x2-tiny takes the video, not sr-x2-tiny" in done.stderr
            assert taken == (name == "noise" and not model)
            with av.open(str(out)) as container:
                made[out.stem] = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert (made["clean0"] == made["clean2"]).all()
    assert made["noise0"].std() < made["noise2"].std()
