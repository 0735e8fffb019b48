"""What fails with one picture stops no other."""

from noise import noise
from PIL import Image


def test_one_failing_picture_does_not_stop_the_rest(upscale, picture, tmp_path):
    """Too large for the output format: found only when the work is done."""
    Image.fromarray(noise(1, 9000, 3)).save(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    result = upscale(tmp_path / "a.png", tmp_path / "b.png", "--ext", "webp")
    assert result.exit_code == 1
    assert "1 done, 0 skipped, 1 failed" in result.stdout
    assert "WEBP" in result.stderr


def test_a_surprise_is_a_failure_of_its_picture(upscale, picture, monkeypatch, tmp_path):
    """A bug met with one picture is named as such, and the others are done."""
    from imagen_fast.engine import Engine

    stream = Engine.stream

    def buggy(self, image, progress):
        if image.width == 3:
            raise RuntimeError("a bug")
        return stream(self, image, progress)

    monkeypatch.setattr(Engine, "stream", buggy)
    Image.new("RGB", (3, 3)).save(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    arguments = (tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "out")
    result = upscale(*arguments)
    assert result.exit_code == 1
    assert "internal error: RuntimeError: a bug" in result.stderr
    assert "1 done, 0 skipped, 1 failed" in result.stdout
    assert "Traceback" not in result.stderr
    monkeypatch.setenv("IMAGEN_FAST_DEBUG", "1")
    assert "Traceback" in upscale(*arguments, "--resume").stderr
