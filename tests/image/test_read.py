"""Every kind of picture that comes in, with its samples known from how it was made."""

import io
import struct
import zlib

import numpy as np
import png
import pytest
import tifffile
from icc_profiles import INKS, linear_grey, press_cmyk, srgb_of_lab, wide_rgb
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagen_fast.errors import ImageError
from imagen_fast.image.picture import Metadata, Picture
from imagen_fast.image.pillow import from_pil, to_pil
from imagen_fast.image.png_chunks import chunk
from imagen_fast.image.read import read
from imagen_fast.image.write import write

RNG = np.random.default_rng(5)


def saved(tmp_path, image, name, **options):
    image.save(tmp_path / name, **options)
    return read(tmp_path / name)


def equal(picture, color, alpha=None):
    color = np.asarray(color)
    assert picture.color.dtype == color.dtype
    np.testing.assert_array_equal(picture.color, color if color.ndim == 3 else color[..., None])
    if alpha is None:
        assert picture.alpha is None
    else:
        assert picture.alpha.dtype == color.dtype
        np.testing.assert_array_equal(picture.alpha, alpha)


HELD = {
    ".png": ("1", "L", "LA", "P", "RGB", "RGBA"),
    ".tif": ("1", "L", "LA", "P", "RGB", "RGBA"),
    ".webp": ("RGB", "RGBA"),
    ".bmp": ("1", "L", "P", "RGB"),
    ".gif": ("P",),
}


@pytest.mark.parametrize(
    ("extension", "mode"), [(extension, mode) for extension in HELD for mode in HELD[extension]]
)
def test_modes_that_files_hold(tmp_path, photo, extension, mode):
    image = Image.fromarray(photo).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(np.tile(np.arange(160, dtype=np.uint8), (120, 1))))
    found = saved(tmp_path, image, f"x{extension}", lossless=True, exact=True)
    expected = np.asarray(image.convert({"1": "L", "P": "RGB"}.get(mode, mode)))
    if mode in ("LA", "RGBA"):
        equal(found, expected[..., :-1], expected[..., -1])
    else:
        equal(found, expected)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(tmp_path, photo, mode, progressive):
    image = Image.fromarray(photo).convert(mode)
    found = saved(tmp_path, image, "x.jpg", quality=90, progressive=progressive)
    with Image.open(tmp_path / "x.jpg") as reference:
        equal(found, np.asarray(reference))


def test_palette_with_an_alpha_for_each_colour(tmp_path):
    image = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7])
    found = saved(tmp_path, image, "x.png", transparency=bytes([0, 100, 200, 255]))
    equal(found, np.uint8([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 8, 7]]]),
          [[0, 100], [200, 255]])  # fmt: skip


@pytest.mark.parametrize("extension", [".png", ".gif"])
def test_palette_with_one_transparent_colour(tmp_path, extension):
    image = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7])
    found = saved(tmp_path, image, f"x{extension}", transparency=2)
    np.testing.assert_array_equal(found.alpha, [[255, 255], [0, 255]])
    np.testing.assert_array_equal(found.color[0], [[255, 0, 0], [0, 255, 0]])


def test_rgb_with_one_transparent_colour(tmp_path, photo):
    key = tuple(int(value) for value in photo[70, 50])
    found = saved(tmp_path, Image.fromarray(photo), "x.png", transparency=key)
    equal(found, photo, np.where((photo == key).all(-1), 0, 255))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("interlace", [False, True])
def test_grey_of_every_depth_with_one_transparent_level(tmp_path, depth, interlace):
    top = 2**depth - 1
    samples = RNG.integers(0, top + 1, (11, 13))
    samples[3, 4] = key = top // 2
    with (tmp_path / "x.png").open("wb") as file:
        writer = png.Writer(
            13, 11, greyscale=True, bitdepth=depth, transparent=key, interlace=interlace
        )
        writer.write_array(file, samples.ravel().tolist())
    full = 65535 if depth == 16 else 255
    dtype = np.uint16 if depth == 16 else np.uint8
    equal(read(tmp_path / "x.png"), (samples * (full // top)).astype(dtype),
          np.where(samples == key, 0, full))  # fmt: skip


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize(("channels", "alpha"), [(1, False), (1, True), (3, False), (3, True)])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 2), (5, 9), (300, 7)])
def test_sixteen_bit_png(tmp_path, channels, alpha, interlace, height, width):
    samples = RNG.integers(0, 65536, (height, width, channels + alpha), dtype=np.uint16)
    with (tmp_path / "x.png").open("wb") as file:
        writer = png.Writer(
            width, height, greyscale=channels == 1, alpha=alpha, bitdepth=16, interlace=interlace
        )
        writer.write_array(file, samples.ravel().tolist())
    equal(read(tmp_path / "x.png"), samples[..., :channels], samples[..., -1] if alpha else None)


def filtered(samples, kinds):
    """PNG's filters by their definition, byte by byte (PNG, Third Edition, section 9.2)."""
    height, _, channels = samples.shape
    rows = samples.astype(">u2").view(np.uint8).reshape(height, -1).astype(int)
    unit, out = 2 * channels, b""
    for y, kind in enumerate(kinds):
        out += bytes([kind])
        for x in range(rows.shape[1]):
            a = rows[y, x - unit] if x >= unit else 0
            b = rows[y - 1, x] if y else 0
            c = rows[y - 1, x - unit] if y and x >= unit else 0
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            out += bytes([(rows[y, x] - (0, a, b, (a + b) // 2, nearest)[kind]) % 256])
    return out


@pytest.mark.parametrize(
    "kinds", ["00000", "1111", "2222", "3333", "4444", "01234432104213", "2" * 9 + "4" * 300]
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_png_filter(tmp_path, kinds, channels):
    kinds = [int(kind) for kind in kinds]
    smooth = np.cumsum(RNG.integers(-300, 300, (len(kinds), 6, channels)), axis=0)
    samples = (smooth % 65536).astype(np.uint16)
    header = struct.pack(">IIBBBBB", 6, len(kinds), 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    data = zlib.compress(filtered(samples, kinds))
    (tmp_path / "x.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data[:9])
        + chunk(b"IDAT") + chunk(b"IDAT", data[9:]) + chunk(b"IEND")
    )  # fmt: skip
    found = read(tmp_path / "x.png")
    np.testing.assert_array_equal(found.color, samples[..., :3])


def test_sixteen_bit_rgb_png_with_one_transparent_colour(tmp_path):
    samples = RNG.integers(0, 3, (20, 20, 3), dtype=np.uint16) + 40_000
    key = (40_001, 40_000, 40_002)
    with (tmp_path / "x.png").open("wb") as file:
        writer = png.Writer(20, 20, greyscale=False, bitdepth=16, transparent=key)
        writer.write_array(file, samples.ravel().tolist())
    equal(read(tmp_path / "x.png"), samples, np.where((samples == key).all(-1), 0, 65535))


def lzw(data):
    """TIFF's LZW without ever using its table: legal, and all that a test needs."""
    bits = "".join(
        ("100000000" if at % 200 == 0 else "") + format(byte, "09b") for at, byte in enumerate(data)
    )
    bits += "100000001"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", ["strips", "tiles", "planes"])
@pytest.mark.parametrize(("channels", "alpha"), [(1, False), (1, True), (3, False), (3, True)])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_sixteen_bit_tiff(tmp_path, order, layout, channels, alpha, compression):
    samples = RNG.integers(0, 65536, (45, 39, channels + alpha), dtype=np.uint16)
    options = {"strips": {"rowsperstrip": 7}, "tiles": {"tile": (16, 32)}, "planes": {}}[layout]
    stored = samples if samples.shape[2] > 1 else samples[..., 0]
    if layout == "planes" and samples.shape[2] > 1:
        options, stored = {"planarconfig": "separate"}, np.moveaxis(samples, 2, 0)
    tifffile.imwrite(
        tmp_path / "x.tif", stored, byteorder=order, compression=compression, metadata=None,
        predictor=compression is not None, photometric="rgb" if channels == 3 else "minisblack",
        extrasamples=["unassalpha"] if alpha else None, **options,
    )  # fmt: skip
    equal(read(tmp_path / "x.tif"), samples[..., :channels], samples[..., -1] if alpha else None)


@pytest.mark.parametrize("predictor", [1, 2])
def test_sixteen_bit_lzw_tiff(tmp_path, predictor):
    samples = RNG.integers(0, 65536, (30, 20, 3), dtype=np.uint16)
    coded = samples.copy()
    if predictor == 2:
        coded[:, 1:] -= samples[:, :-1]
    # A file of the same directory, whose strips and their compression are then replaced.
    tifffile.imwrite(
        tmp_path / "x.tif", samples, photometric="rgb", rowsperstrip=8, metadata=None,
        compression="zlib", predictor=predictor == 2,
    )  # fmt: skip
    strips = [lzw(coded[top : top + 8].tobytes()) for top in range(0, 30, 8)]
    with (tmp_path / "x.tif").open("ab") as file:
        ends = file.tell() + np.cumsum([0, *map(len, strips)])
        file.write(b"".join(strips))
    with tifffile.TiffFile(tmp_path / "x.tif", mode="r+") as file:
        tags = file.pages[0].tags
        tags["Compression"].overwrite(5)
        tags["StripOffsets"].overwrite(ends[:-1].tolist())
        tags["StripByteCounts"].overwrite(np.diff(ends).tolist())
    equal(read(tmp_path / "x.tif"), samples)


def test_premultiplied_and_unspecified_tiff_channels(tmp_path):
    color = RNG.integers(0, 65536, (9, 9, 3)).astype(np.uint64)
    alpha = RNG.integers(20_000, 65536, (9, 9, 1)).astype(np.uint64)
    stored = np.dstack([(color * alpha + 32767) // 65535, alpha]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    found = read(tmp_path / "x.tif")
    assert np.abs(found.color.astype(int) - color.astype(int)).max() <= 2
    np.testing.assert_array_equal(found.alpha, alpha[..., 0])
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="rgb", extrasamples=["unspecified"])
    equal(read(tmp_path / "x.tif"), stored[..., :3])


def test_white_is_zero(tmp_path):
    samples = RNG.integers(0, 65536, (9, 9), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", samples, photometric="miniswhite")
    equal(read(tmp_path / "x.tif"), 65535 - samples)


def test_a_smaller_copy_is_no_second_page(tmp_path, photo):
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        file.write(photo, photometric="rgb")
        file.write(photo[::2, ::2], photometric="rgb", subfiletype=1)
    equal(read(tmp_path / "x.tif"), photo)


def test_cmyk_goes_through_its_profile(tmp_path):
    inks = np.array(sorted(INKS), np.uint8) * 255
    image = Image.fromarray(np.repeat(inks[None], 4, axis=0), "CMYK")
    expected = srgb_of_lab([INKS[key] for key in sorted(INKS)])
    found = saved(tmp_path, image, "x.tif", icc_profile=press_cmyk())
    inside = (expected > 2).all(-1) & (expected < 253).all(-1)  # of what sRGB can show
    assert inside.sum() >= 6
    assert np.abs(found.color[0][inside] - expected[inside]).max() < 3
    assert found.metadata.icc is None  # it describes inks, the samples are sRGB now
    jpeg = saved(
        tmp_path, image.resize((256, 64), 0), "x.jpg", icc_profile=press_cmyk(), quality=100
    )
    assert np.abs(jpeg.color[8, 8::16][inside] - expected[inside]).max() < 6
    assert jpeg.metadata.icc is None


def test_cmyk_without_a_profile_and_with_a_wrong_one(tmp_path):
    image = Image.fromarray(RNG.integers(0, 256, (9, 9, 4), dtype=np.uint8), "CMYK")
    expected = np.asarray(image.convert("RGB"))
    equal(saved(tmp_path, image, "x.tif"), expected)
    for profile in (wide_rgb(), b"nonsense"):
        found = saved(tmp_path, image, "x.tif", icc_profile=profile)
        equal(found, expected)


def test_lab(tmp_path):
    lab = np.array([[[60, 20, -30], [50, 0, 0], [80, -20, 40], [100, 0, 0]]], float)
    stored = (lab * (2.55, 1, 1)).round().astype(int) & 255
    found = saved(tmp_path, Image.fromarray(stored.astype(np.uint8), "LAB"), "x.tif")
    assert np.abs(found.color - srgb_of_lab(lab)).max() < 3


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "RGBX", "RGBa", "La", "PA"])
def test_modes_that_only_memory_holds(photo, mode):
    image = Image.fromarray(photo)
    ways = {"La": ("LA", "La"), "RGBa": ("RGBA", "RGBa"), "PA": ("L", "P", "PA")}
    for step in ways.get(mode, (mode,)):
        image = image.convert(step)
    found = from_pil(image)
    reference = np.asarray(image.convert("LA" if mode == "La" else "RGBA").convert("RGBA"))
    np.testing.assert_array_equal(np.broadcast_to(found.color, photo.shape), reference[..., :3])
    assert (found.alpha is not None) == (mode in ("RGBa", "La", "PA"))


def test_deep_modes_of_memory():
    deep = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
    equal(from_pil(Image.fromarray(deep)), deep)
    equal(from_pil(Image.fromarray(deep.astype(np.int32))), deep)
    equal(from_pil(Image.fromarray((deep / 65535).astype(np.float32))), deep)


def test_pillow_images_survive_the_way_through(photo, exif_bytes):
    info = {"icc_profile": wide_rgb(), "exif": b"Exif\0\0" + exif_bytes(), "dpi": (300.0, 300.0)}
    for mode in ("L", "LA", "RGB", "RGBA"):
        image = Image.fromarray(photo).convert(mode)
        info["icc_profile"] = linear_grey() if mode in ("L", "LA") else wide_rgb()
        image.info.update(info)
        back = to_pil(from_pil(image))
        assert back.mode == mode
        assert back.tobytes() == image.tobytes()
        assert {name: back.info[name] for name in info} == info
    deep = Image.fromarray(RNG.integers(0, 65536, (5, 7), dtype=np.uint16))
    assert to_pil(from_pil(deep)).tobytes() == deep.tobytes()
    color = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    expected = np.round(color / 257).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(to_pil(Picture(color))), expected)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp"])
def test_what_pillow_images_carry_can_be_saved_as_documented(
    tmp_path, photo, exif_bytes, extension
):
    data = Metadata(wide_rgb(), exif_bytes(), b"<x/>", (300.0, 300.0))
    image = to_pil(Picture(photo, None, data))
    kept = ("icc_profile", "exif", "xmp", "dpi")
    path = tmp_path / f"x{extension}"
    image.save(path, **{name: image.info[name] for name in kept if name in image.info})
    found = read(path).metadata
    assert (found.icc, found.exif) == (data.icc, data.exif)
    assert found.xmp == (None if extension == ".png" else data.xmp)  # Pillow's PNG writes none
    if extension != ".webp":  # which has no place for it
        assert found.dpi == pytest.approx(data.dpi, abs=0.02)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "F", "CMYK", "RGBA"])
@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_images_without_pixels(mode, size):
    with pytest.raises(ImageError, match=f"at least one pixel; this one is {size[0]} × {size[1]}"):
        from_pil(Image.new(mode, size))


def test_a_grey_profile_stays_with_grey(tmp_path, photo):
    grey = Picture(photo[..., :1], None, Metadata(icc=linear_grey()))
    for name in ("x.png", "x.tif", "x.jpg"):
        write(tmp_path / name, grey)
        assert read(tmp_path / name).metadata.icc == linear_grey()


def test_exif_that_imagemagick_wrote(tmp_path, photo, exif_bytes):
    raw = (b"Exif\0\0" + exif_bytes(3)).hex()
    text = "\nexif\n" + f"{len(raw) // 2:8d}\n" + raw
    info = PngInfo()
    info.add_text("Raw profile type exif", text, zip=True)
    found = saved(tmp_path, Image.fromarray(photo), "x.png", pnginfo=info)
    equal(found, photo[::-1, ::-1])
    assert found.metadata.exif == exif_bytes(1)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
def test_damaged_metadata_never_stops_a_picture(tmp_path, photo, exif_bytes, extension):
    whole = exif_bytes(6)
    for cut in (b"", b"II", b"nonsense", *(whole[:n] for n in range(8, len(whole), 7))):
        image = Image.fromarray(photo)
        image.save(
            tmp_path / f"x{extension}", exif=b"Exif\0\0" + cut, icc_profile=b"broken", xmp=b"<"
        )
        found = read(tmp_path / f"x{extension}")
        assert sorted(found.color.shape) == [3, 120, 160]
        assert found.metadata.icc is None


def test_the_name_does_not_matter(tmp_path, photo):
    data = io.BytesIO()
    Image.fromarray(photo).save(data, "PNG")
    path = tmp_path / "holiday 日本 ü.jpg"
    path.write_bytes(data.getvalue())
    equal(read(path), photo)
    equal(read(str(path)), photo)
    link = tmp_path / "link"
    link.symlink_to(path)
    equal(read(link), photo)
