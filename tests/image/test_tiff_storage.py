"""However a TIFF file stores its samples, they come out: by the tags that say how."""

import io

import numpy as np
import pytest
import tifffile
from containers import entry, reversed_bits, tiff
from icc_profiles import wide_rgb
from PIL import Image

from imagen_fast import ImageError, upscale
from imagen_fast.image.read import read

RNG = np.random.default_rng(11)
KINDS = {"grey": 1, "grey and alpha": 2, "rgb": 3, "rgb and alpha": 4}
LAYOUTS = {
    "strips": {"rowsperstrip": 7},
    "tiles": {"tile": (16, 32)},
    "planes": {"planarconfig": "separate", "rowsperstrip": 7},
    "planes in tiles": {"planarconfig": "separate", "tile": (16, 16)},
}


def stored(samples, layout, **options):
    """A TIFF file of (H, W, C) samples, laid out as named."""
    channels = samples.shape[2]
    if layout.startswith("planes"):
        samples = np.moveaxis(samples, 2, 0)
    out = io.BytesIO()
    tifffile.imwrite(
        out, samples if channels > 1 else samples[..., 0], metadata=None, software=False,
        photometric="rgb" if channels > 2 else "minisblack",
        extrasamples=None if channels % 2 else ["unassalpha"], **LAYOUTS[layout], **options,
    )  # fmt: skip
    return out.getvalue()


def with_reversed_bits(content):
    """The file with the bits of every byte of its samples in the other order, and saying so."""
    out = io.BytesIO(content)
    with tifffile.TiffFile(out) as file:
        page = file.pages[0]
        parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        resolution = page.tags["ResolutionUnit"].offset  # which then is another tag
        order = file.byteorder
    data = bytearray(content)
    for begin, count in parts:
        data[begin : begin + count] = reversed_bits(data[begin : begin + count])
    # Tags have to be in order for some readers, but not for libtiff, Pillow or this package.
    short = {"<": "little", ">": "big"}[order]
    data[resolution : resolution + 2] = (266).to_bytes(2, short)
    data[resolution + 8 : resolution + 10] = (2).to_bytes(2, short)
    return bytes(data)


def compare(path, samples):
    found = read(path)
    color = samples.shape[2] - 1 + samples.shape[2] % 2
    np.testing.assert_array_equal(found.color, samples[..., :color])
    if samples.shape[2] > color:
        np.testing.assert_array_equal(found.alpha, samples[..., color])
    else:
        assert found.alpha is None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("channels", "layout"),
    [(n, layout) for n in KINDS.values() for layout in LAYOUTS if n > 1 or "planes" not in layout],
)
def test_bits_of_sixteen_bit_samples_in_the_other_order(
    tmp_path, order, compression, channels, layout
):
    samples = RNG.integers(0, 65536, (45, 39, channels), dtype=np.uint16)
    options = {"byteorder": order, "compression": compression, "predictor": compression is not None}
    content = with_reversed_bits(stored(samples, layout, **options))
    (tmp_path / "x.tif").write_bytes(content)
    compare(tmp_path / "x.tif", samples)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_bits_of_eight_bit_samples_in_the_other_order(tmp_path, compression, channels):
    samples = RNG.integers(0, 256, (45, 39, channels), dtype=np.uint8)
    content = with_reversed_bits(stored(samples, "strips", compression=compression))
    (tmp_path / "x.tif").write_bytes(content)
    compare(tmp_path / "x.tif", samples)


def test_the_api_enlarges_a_file_whose_bits_are_in_the_other_order(tmp_path):
    samples = np.full((20, 30, 3), (1000, 20_000, 60_000), np.uint16)
    (tmp_path / "x.tif").write_bytes(with_reversed_bits(stored(samples, "strips")))
    target = upscale(tmp_path / "x.tif", 2, output=tmp_path / "y.tif", backend="fake")
    large = tifffile.imread(target).astype(int)
    assert large.shape == (40, 60, 3)
    assert np.abs(large - samples[0, 0].astype(int)).max() < 700  # the engine sees floats


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", KINDS.values(), ids=KINDS)
def test_sixteen_bit_samples_are_turned_upright(tmp_path, channels, orientation):
    samples = RNG.integers(0, 65536, (5, 8, channels), dtype=np.uint16)
    tag = [(274, 3, 1, orientation, True)]
    (tmp_path / "x.tif").write_bytes(stored(samples, "strips", extratags=tag))
    eight = Image.fromarray((samples[..., 0] >> 8).astype(np.uint8))
    eight.getexif()[274] = orientation
    out = io.BytesIO()
    eight.save(out, "TIFF", exif=eight.getexif())
    (tmp_path / "y.tif").write_bytes(out.getvalue())
    turned = read(tmp_path / "y.tif").color
    found = read(tmp_path / "x.tif").color[..., :1]
    assert turned.shape == ((8, 5, 1) if orientation > 4 else (5, 8, 1))
    np.testing.assert_array_equal(found >> 8, turned)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f4", [0, 16384, 65535]), ("i4", [0, 300, 65535]), ("i2", [0, 300, 32767])],
)
def test_one_channel_of_floats_and_of_signed_numbers(tmp_path, order, compression, dtype, expected):
    samples = np.array([[0, 0.25, 1]] if dtype == "f4" else [expected], dtype)
    tifffile.imwrite(
        tmp_path / "x.tif", samples, byteorder=order, compression=compression, metadata=None
    )
    assert read(tmp_path / "x.tif").color[0, :, 0].tolist() == expected


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("role", ["assocalpha", "unspecified"])
def test_a_fourth_plane_of_eight_bits_is_what_a_fourth_channel_is(tmp_path, compression, role):
    samples = RNG.integers(0, 256, (21, 17, 4), dtype=np.uint8)
    options = {"photometric": "rgb", "extrasamples": [role], "compression": compression}
    tifffile.imwrite(tmp_path / "together.tif", samples, **options)
    planes = np.moveaxis(samples, 2, 0)
    tifffile.imwrite(tmp_path / "apart.tif", planes, planarconfig="separate", **options)
    together, apart = (read(tmp_path / f"{name}.tif") for name in ("together", "apart"))
    np.testing.assert_array_equal(together.color, apart.color)
    assert (together.alpha is None) == (apart.alpha is None)
    if together.alpha is not None:
        np.testing.assert_array_equal(together.alpha, apart.alpha)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("kind", "dtype", "layout"),
    [
        ("grey", "u1", "strips"), ("grey", "f4", "tiles"), ("grey and alpha", "u2", "strips"),
        ("rgb", "u1", "planes"), ("rgb", "u2", "planes in tiles"), ("rgb and alpha", "u1", "tiles"),
    ],
)  # fmt: skip
def test_bigtiff_of_either_order_of_bytes(tmp_path, kind, dtype, layout, compression):
    samples = RNG.integers(0, 256, (45, 39, KINDS[kind]))
    samples = (samples / 255).astype("f4") if dtype == "f4" else samples.astype(dtype)
    for order in "<>":
        options = {"byteorder": order, "bigtiff": True, "compression": compression}
        (tmp_path / "x.tif").write_bytes(stored(samples, layout, **options))
        expected = samples if dtype != "f4" else np.rint(samples * 65535).astype(np.uint16)
        compare(tmp_path / "x.tif", expected)


def test_big_endian_bigtiff_keeps_what_it_carries(tmp_path):
    samples = RNG.integers(0, 256, (45, 39, 3), np.uint8)
    tags = [(256, 16, 1, 39, True), (257, 16, 1, 45, True)]  # sizes of 64 bits
    options = {"resolution": (300, 300), "description": "a view", "iccprofile": wide_rgb()}
    tifffile.imwrite(tmp_path / "x.tif", samples, byteorder=">", bigtiff=True, photometric="rgb",
                     metadata=None, extratags=tags, **options)  # fmt: skip
    found = read(tmp_path / "x.tif")
    np.testing.assert_array_equal(found.color, samples)
    assert found.metadata.dpi == (300, 300)
    assert found.metadata.icc == wide_rgb()
    assert b"a view" in found.metadata.exif


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("number", "name"),
    [(34887, "LERC"), (34712, "JPEG 2000"), (50002, "JPEG XL"), (61234, "number 61234")],
)
def test_a_compression_that_is_not_known_is_named(tmp_path, number, name, dtype):
    def compressed(data, at):
        entry(data, at[259], value=number)

    samples = RNG.integers(0, 256, (45, 39, 3)).astype(dtype)
    (tmp_path / "x.tif").write_bytes(tiff(samples, compressed))
    with pytest.raises(ImageError, match=f"its compression, {name}, cannot be undone here: save"):
        read(tmp_path / "x.tif")


def test_a_compression_that_libtiff_was_built_without_is_named(tmp_path, monkeypatch):
    """Of WebP that depends on the machine; Pillow knows it."""
    (tmp_path / "x.tif").write_bytes(
        tiff(
            RNG.integers(0, 256, (5, 4, 3), np.uint8), lambda d, at: entry(d, at[259], value=50001)
        )
    )
    monkeypatch.setattr("imagen_fast.image.libtiff._is_configured", lambda number: number != 50001)
    with pytest.raises(ImageError, match="its compression, WebP, cannot be undone here"):
        read(tmp_path / "x.tif")


@pytest.mark.parametrize(
    ("options", "dtype", "reason"),
    [
        ({"photometric": "rgb"}, "f4", "3 channels of 32 bits"),
        ({"photometric": "rgb"}, "f2", "3 channels of 16 bits"),
        ({"photometric": "minisblack", "extrasamples": ["unassalpha"],
          "planarconfig": "separate", "compression": "zlib"}, "u1", "stored apart"),
    ],
)  # fmt: skip
def test_samples_that_are_not_read_are_named(tmp_path, options, dtype, reason):
    planes = 2 if "planarconfig" in options else 3
    samples = np.ones((planes, 5, 7) if planes == 2 else (5, 7, 3), dtype)
    tifffile.imwrite(tmp_path / "x.tif", samples, **options)
    with pytest.raises(ImageError, match=reason):
        read(tmp_path / "x.tif")


def test_a_compressed_strip_that_is_cut_off_is_an_error(tmp_path):
    samples = RNG.integers(0, 65536, (45, 39, 3), dtype=np.uint16)

    def shortened(data, at):
        count = int.from_bytes(data[at[279] + 8 : at[279] + 12], "little")
        data[at[279] + 8 : at[279] + 12] = (count - 40).to_bytes(4, "little")

    (tmp_path / "x.tif").write_bytes(tiff(samples, shortened, compression="zlib"))
    with pytest.raises(ImageError):
        read(tmp_path / "x.tif")
