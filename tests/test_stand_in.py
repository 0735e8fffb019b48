"""What a checkout or a download leaves in place of a file is named, with what to do."""

from pathlib import Path

import pytest

from imagen_fast import ImageError, WeightsError, load, upscale
from imagen_fast.stand_in import explain

LEFT = {
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1290456\n",
        "a Git LFS pointer.*git lfs pull",
    ),
    "html": (b"<!DOCTYPE html>\n<html><head><title>Sign in</title>", "a web page.*download"),
    "html with a mark": (b"\xef\xbb\xbf\n  <html lang=de>", "a web page.*download"),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page"),
    "json": (b'{"message": "Not Found"}', "text.*Not Found.*download"),
    "words": (b"Invalid username or password.", "text.*Invalid username"),
}
PARTS = pytest.mark.parametrize(("content", "said"), LEFT.values(), ids=LEFT)


@PARTS
@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx"])
def test_in_place_of_a_model(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    if name.endswith("onnx"):
        pytest.importorskip("onnx", reason="the extra onnx is not installed")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"{path}: not .* file: it is {said}"):
        load(path, backend="fake")


def test_an_empty_model(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match=f"{path}: not a safetensors file: it is empty"):
        load(path)


@PARTS
def test_in_place_of_a_picture(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=f"{path}: it is no picture .*; it is {said}"):
        upscale(path, backend="fake")


@PARTS
def test_in_place_of_a_bundle_of_kernels(tmp_path: Path, content: bytes, said: str) -> None:
    from imagen_fast.export.bundle_file import read_header

    path = tmp_path / "model.cuda.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"{path}: not a safetensors file: it is {said}"):
        read_header(path)


@pytest.mark.parametrize(
    "beginning",
    [
        b"\x89PNG\r\n\x1a\n",
        b"\x90\x01\0\0\0\0\0\0{",
        b"\x08\x0a\x12",
        b"\xff\xd8\xff",
        b"P6\n3 3\n",
    ],
)
def test_what_is_none_of_these(beginning: bytes) -> None:
    assert explain(beginning) is None


def test_a_drawing_is_no_web_page() -> None:
    assert "web page" not in str(explain(b'<?xml version="1.0"?>\n<svg width="9">'))
