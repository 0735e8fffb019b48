"""Forty files of every kind, eight of them broken: the batch that people have."""

import struct
import zlib

import numpy as np
import pytest
from noise import noise
from PIL import Image

from imagen_fast.image.read import read

SCALE = 2  # of the fake model


def good(folder):
    """32 pictures in 32 ways."""
    rgb, rgba, grey = noise(9, 7, 3), noise(9, 7, 4), noise(9, 7)
    palette = Image.fromarray(rgb).quantize(16)
    deep = (noise(9, 7).astype(np.uint16) << 8) + 77

    def save(name, image, **options):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path, **options)

    save("grey.png", grey)
    save("grey_alpha.png", Image.fromarray(rgba).convert("LA"))
    save("rgb.png", rgb)
    save("rgba.png", rgba)
    save("palette.png", palette)
    save("palette_transparent.png", palette, transparency=3)
    save("one_bit.png", Image.fromarray(grey).convert("1"))
    save("sixteen.png", Image.fromarray(deep))
    save("sixteen.tif", Image.fromarray(deep))
    save("photo.jpg", rgb)
    save("photo.png", rgb)  # the same stem: both results are wanted
    save("photo.webp", rgb)
    save("grey.jpeg", grey)
    save("cmyk.jpg", Image.fromarray(rgb).convert("CMYK"))
    exif = Image.Exif()
    exif[0x0112] = 6
    save("turned.jpg", rgb, exif=exif)
    save("progressive.jpg", rgb, progressive=True)
    save("lossless.webp", rgb, lossless=True)
    save("alpha.webp", rgba, lossless=True)
    save("plain.tiff", rgb)
    save("lzw.tif", rgb, compression="tiff_lzw")
    save("cmyk.tif", Image.fromarray(rgb).convert("CMYK"))
    save("plain.bmp", rgb)
    save("single.gif", palette)
    save("UPPER.PNG", rgb)
    save("with space.png", rgb)
    save("naïve 写真 🎞.png", rgb)
    save("brackets[1].png", rgb)
    save("two.dots.png", rgb)
    save("-dash.png", rgb)
    save(f"{'long' * 60}.png", rgb)  # 244 bytes, 247 with the suffix
    save("one/pixel.png", noise(1, 1, 3))
    save("one/two/strip.png", noise(1, 300, 3))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def broken(folder):
    """8 that cannot be enlarged, each for a reason of its own: name → a word of the reason."""
    whole = (folder / "rgb.png").read_bytes()
    photo = (folder / "photo.jpg").read_bytes()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    frames = [Image.fromarray(noise(5, 5, seed=i)) for i in range(3)]
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("Not a picture at all.\n")
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.jpg").write_bytes(photo[: len(photo) // 2])
    (folder / "bomb.png").write_bytes(
        whole[:8] + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    (folder / "dangling.png").symlink_to(folder / "nowhere.png")
    frames[0].save(folder / "one/animated.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "pages.tif", save_all=True, append_images=frames[1:])
    return {
        "empty.png": "empty",
        "text.png": "no picture",
        "cut.png": "truncated",
        "cut.jpg": "damaged",
        "bomb.png": "3,600,000,000",
        "dangling.png": "No such file",
        "one/animated.gif": "3 frames",
        "pages.tif": "3 pages",
    }


def enlarged(samples):
    """What the fake backend makes of (H, W, C)."""
    return samples.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


@pytest.fixture
def forty(tmp_path):
    folder = tmp_path / "in"
    good(folder)
    reasons = broken(folder)
    (folder / "notes.txt").write_text("A stray file is not a picture.\n")
    (folder / ".hidden.png").write_text("Nor is this.\n")
    return folder, reasons


def test_thirty_two_results_and_eight_reasons(forty, upscale, files, tmp_path):
    folder, reasons = forty
    out = tmp_path / "out"
    first = upscale(folder, "-o", out, "--recursive")
    assert first.exit_code == 1
    assert "40 pictures: 32 done, 0 skipped, 8 failed" in first.stdout
    lines = first.stderr.splitlines()
    assert len(lines) == 8, first.stderr
    for name, reason in reasons.items():
        [line] = [line for line in lines if f"{folder / name}: " in line]
        assert line.startswith("error: ")
        assert reason in line

    names = files(folder)
    assert len(names) == 32 + 8 + 2
    for name in set(names) - reasons.keys() - {"notes.txt", ".hidden.png"}:
        source = read(folder / name)
        stem, _, ext = name.rpartition(".")
        plain, kept = out / f"{stem}_x2.png", out / f"{stem}_{ext}_x2.png"
        result = read(plain if plain.exists() else kept)
        assert (result.alpha is None) == (source.alpha is None), name
        # The colour of what can hardly be seen is free to change.
        seen = np.True_ if source.alpha is None else source.alpha[..., None] >= 16
        expected = enlarged(np.where(seen, source.color, 0))
        found = np.where(enlarged(seen), result.color, 0) if seen.ndim else result.color
        np.testing.assert_array_equal(found, expected, err_msg=name)
    written = files(out)
    assert len(written) == 32
    assert {"photo_jpg_x2.png", "photo_png_x2.png", "photo_webp_x2.png"} <= set(written)

    times = {name: (out / name).stat().st_mtime_ns for name in written}
    for _ in range(2):
        again = upscale(folder, "-o", out, "--recursive", "--resume")
        assert again.exit_code == 1
        assert "0 done, 32 skipped, 8 failed" in again.stdout
        assert {name: (out / name).stat().st_mtime_ns for name in files(out)} == times


def test_resume_does_the_missing_one_alone(upscale, picture, files, tmp_path):
    for index in range(4):
        picture(tmp_path / f"in/{index}.png")
    out = tmp_path / "out"
    assert upscale(tmp_path / "in", "-o", out).exit_code == 0
    (out / "2_x2.png").unlink()
    result = upscale(tmp_path / "in", "-o", out, "--resume")
    assert result.exit_code == 0
    assert "1 done, 3 skipped, 0 failed" in result.stdout
    assert len(files(out)) == 4


@pytest.mark.parametrize("workers", ["1", "3", "4:1", "1:4"])
def test_any_number_of_workers_gives_the_same(forty, upscale, files, tmp_path, workers):
    folder, _ = forty
    out = tmp_path / "out"
    result = upscale(folder, "-o", out, "-r", "-j", workers)
    assert result.exit_code == 1
    assert "32 done, 0 skipped, 8 failed" in result.stdout
    assert len(files(out)) == 32
