"""A file is there whole or not at all, and what cannot work is said before any work."""

import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from imagen_fast.errors import ImageError, ImageWarning
from imagen_fast.image.picture import Metadata, Picture
from imagen_fast.image.read import read
from imagen_fast.image.write import FORMATS, check_output, open_writer, write, writer_for

ROWS = np.zeros((10, 20, 3), np.uint8)
EXTENSIONS = sorted(FORMATS)


def write_strips(path, height, *strips, error=None):
    with open_writer(path, height, 20, 3) as out:
        for rows in strips:
            out.write(rows)
        if error is not None:
            assert len(list(path.parent.iterdir())) == 1  # the temporary file
            assert not path.exists()
            raise error


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OSError, SystemExit])
def test_an_exception_leaves_nothing_and_passes_unchanged(tmp_path, extension, error):
    raised = error("stop")
    with pytest.raises(error) as caught:
        write_strips(tmp_path / f"x{extension}", 20, ROWS, error=raised)
    assert caught.value is raised
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_file_is_replaced_only_by_a_whole_one(tmp_path, extension):
    path = tmp_path / f"x{extension}"
    path.write_bytes(b"before")
    with pytest.raises(ImageError, match="10 rows of a picture of 20"):
        write_strips(path, 20, ROWS)
    assert path.read_bytes() == b"before"
    with open_writer(path, 20, 20, 3) as out:
        out.write(ROWS)
        out.write(ROWS)
        assert path.read_bytes() == b"before"
    assert read(path).color.shape == (20, 20, 3)
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_rows_are_refused(tmp_path):
    with pytest.raises(ImageError, match="got 20 rows of a picture of 15"):
        write_strips(tmp_path / "x.png", 15, ROWS, ROWS)
    for rows in (ROWS[:, :19], ROWS[..., :1], ROWS.astype(np.uint16), ROWS[0]):
        with pytest.raises(ImageError, match="rows are"):
            write_strips(tmp_path / "x.png", 15, rows)
    assert list(tmp_path.iterdir()) == []


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write(tmp_path / "x.png", Picture(ROWS))
    expected = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert stat.S_IMODE((tmp_path / "x.png").stat().st_mode) == expected


def test_names_of_any_kind_and_of_the_greatest_length(tmp_path):
    names = ["日本 ü – 😀.png", "a" * 251 + ".png", "é" * 125 + ".png", "-n.png", ".hidden.png",
             "UPPER.PNG", "two\nlines.png", os.fsdecode(b"\xff\xfe.png")]  # fmt: skip
    for name in names:
        write(tmp_path / name, Picture(ROWS))
        assert read(tmp_path / name).color.shape == ROWS.shape
    assert len(list(tmp_path.iterdir())) == len(names)
    with pytest.raises(ImageError, match="File name too long"):
        check_output(tmp_path / ("a" * 252 + ".png"))


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "x.png").symlink_to("folder/real.png")
    write(tmp_path / "x.png", Picture(ROWS))
    assert (tmp_path / "x.png").is_symlink()
    assert read(tmp_path / "folder/real.png").color.shape == ROWS.shape
    assert list((tmp_path / "folder").iterdir()) == [tmp_path / "folder/real.png"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x.gif", "cannot write .gif, expected .png"),
        ("x", "cannot write no extension"),
        ("missing/x.png", "does not exist"),
        ("file.txt/x.png", "does not exist"),
        ("folder.png", "it is a folder"),
        ("pipe.png", "a device or a pipe"),
        ("loop.png", "symbolic links"),
    ],
)
def test_places_where_nothing_can_be_written(tmp_path, name, said):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file.txt").write_bytes(b"")
    (tmp_path / "loop.png").symlink_to("loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    before = sorted(tmp_path.rglob("*"))
    for attempt in (check_output, lambda path: write(path, Picture(ROWS))):
        with pytest.raises(ImageError, match=said) as caught:
            attempt(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_without_permission_to_write(tmp_path):
    folder = Path("/sys")  # where root may not write either
    if os.geteuid() != 0:
        folder = tmp_path / "locked"
        folder.mkdir(mode=0o500)
    if not folder.is_dir():
        pytest.skip("root may write everywhere here")
    with pytest.raises(ImageError, match="cannot be written"):
        write(f"{folder}/x.png", Picture(ROWS))


FULL_DISK = """
import resource, sys
import numpy as np
from imagen_fast.errors import ImageError, ImageWarning
from imagen_fast.image.write import open_writer

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # as a disk that is nearly full
rows = np.random.default_rng(0).integers(0, 256, (100, 2000, 3), dtype=np.uint8)
try:
    with open_writer(sys.argv[1], 1000, 2000, 3) as out:
        for _ in range(10):
            out.write(rows)
except ImageError as error:
    print(error)
"""


@pytest.mark.parametrize("extension", [".png", ".tif", ".jpg", ".webp", ".bmp"])
def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path, extension):
    path = str(tmp_path / f"x{extension}")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.startswith(f"{path}: cannot be written: ")
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "height", "width", "said"),
    [
        ("x.jpg", 65_501, 1, "do not fit into JPEG"),
        ("x.webp", 1, 16_384, "do not fit into WEBP"),
        ("x.bmp", 40_000, 40_000, "do not fit into BMP"),
    ],
)
def test_sizes_that_a_format_cannot_hold(tmp_path, name, height, width, said):
    with pytest.raises(ImageError, match=said):
        check_output(tmp_path / name, height, width)
    with pytest.raises(ImageError, match=said), open_writer(tmp_path / name, height, width, 3):
        pass
    for other in (".png", ".tif"):
        check_output(tmp_path / f"x{other}", 80_000, 80_000)


@pytest.mark.parametrize(("name", "side"), [("x.jpg", 65_500), ("x.webp", 16_383)])
def test_the_greatest_size_that_a_format_holds(tmp_path, name, side):
    write(tmp_path / name, Picture(np.zeros((1, side, 1), np.uint8)))
    assert read(tmp_path / name).width == side


def test_alpha_is_never_dropped_in_silence(tmp_path):
    for extension, form in FORMATS.items():
        picture = Picture(ROWS, ROWS[..., 0])
        if form.alpha:
            write(tmp_path / f"x{extension}", picture)
            assert read(tmp_path / f"x{extension}").alpha is not None
        else:
            with pytest.raises(ImageError, match=r"keeps no transparency: write \.png"):
                write(tmp_path / f"x{extension}", picture)


def test_metadata_that_a_jpeg_cannot_hold_is_left_out_and_named(tmp_path):
    large = {"exif": b"II*\0" + bytes(70_000), "xmp": b"<x>" + b" " * 69_997 + b"</x>"}
    for name, block in large.items():
        data = Metadata(**{name: block})
        said = f"x.jpg: JPEG holds 65,500 bytes of {name.upper()}, not its 70,004"
        with pytest.warns(ImageWarning, match=said):
            write(tmp_path / "x.jpg", Picture(ROWS, None, data))
        assert getattr(read(tmp_path / "x.jpg").metadata, name) is None
        write(tmp_path / "x.png", Picture(ROWS, None, data))
        assert getattr(read(tmp_path / "x.png").metadata, name) == block


@pytest.mark.parametrize("extension", sorted(FORMATS))
def test_rounding_to_eight_bits_is_named(tmp_path, extension):
    path = tmp_path / f"x{extension}"
    deep = Picture(ROWS.astype(np.uint16) * 257)
    if FORMATS[extension].deep:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            write(path, deep)
        assert read(path).color.dtype == np.uint16
    else:
        with pytest.warns(ImageWarning, match=rf"{path}: .* its 16 are rounded: PNG and TIFF"):
            write(path, deep)
        assert read(path).color.dtype == np.uint8


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_quality_out_of_range(tmp_path, quality):
    with pytest.raises(ImageError, match="quality is 1 to 100"):
        write(tmp_path / "x.jpg", Picture(ROWS), quality=quality)


def test_unknown_kinds_of_pictures(tmp_path):
    for options in ({"channels": 4}, {"channels": 3, "dtype": np.float32}):
        refused = pytest.raises(ImageError, match="expected 1 or 3 channels")
        with refused, open_writer(tmp_path / "x.png", 5, 5, **options):
            pass
    for color in (ROWS[0], ROWS[..., :2], ROWS.astype(float), ROWS[:0]):
        with pytest.raises(ImageError, match="color is"):
            Picture(color)
    with pytest.raises(ImageError, match="alpha is"):
        Picture(ROWS, ROWS[..., 0].astype(np.uint16))


@pytest.mark.filterwarnings("ignore:.*its 16 are rounded:imagen_fast.ImageWarning")
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_writer_for_a_picture_takes_its_enlarged_rows(tmp_path, picture, channels, alpha):
    original = picture(5, 7, channels, alpha, np.uint16, dpi=(300.0, 300.0))
    rows = np.full((15, 21, channels + alpha), 777, np.uint16)
    with writer_for(tmp_path / "x.png", original, 3) as out:
        out.write(rows)
    found = read(tmp_path / "x.png")
    assert (found.color.shape, found.color.dtype) == ((15, 21, channels), np.uint16)
    assert (found.alpha is not None) == alpha
    assert found.metadata.dpi == pytest.approx((300, 300), abs=0.02)
    if not alpha:
        for quality in (20, 95):
            with writer_for(tmp_path / f"{quality}.jpg", original, quality=quality) as out:
                out.write(original.color)
        assert (tmp_path / "20.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size
