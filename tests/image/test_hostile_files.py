"""Files are untrusted: reading any ends soon, in a picture or in an ImageError."""

import io
import os
import random
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from small_files import SIZE, corpus, header

from imagen_fast.errors import ImageError, ImageWarning
from imagen_fast.image.png_chunks import SIGNATURE, chunk
from imagen_fast.image.read import read
from imagen_fast.image.write import write

# Pillow warns of damaged tags; only the command filters that out.
pytestmark = [
    pytest.mark.filterwarnings("ignore:::PIL"),
    pytest.mark.filterwarnings("ignore::imagen_fast.ImageWarning"),
]


def refused(path, said, **options):
    """The one line that reading `path` fails with."""
    with pytest.raises(ImageError, match=said) as caught:
        read(path, **options)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line


def test_files_that_are_no_pictures(tmp_path):
    for name, content, said in [
        ("empty.png", b"", "the file is empty"),
        ("text.png", b"this is a text\n", "no picture that can be read, expected JPEG, PNG"),
        ("zeros.jpg", bytes(1000), "no picture that can be read"),
        ("half.webp", b"RIFF\0\0\0\0WAVE", "no picture that can be read"),
        ("vector.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture"),
        ("short.png", SIGNATURE, "damaged"),
        ("short.tif", b"II*\0", "damaged"),
        ("short.bmp", b"BM", "damaged"),
        ("short.gif", b"GIF89a", "damaged"),
        ("short.jpg", b"\xff\xd8\xff", "damaged"),
    ]:
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, said)


def test_paths_that_are_no_files(tmp_path):
    refused(tmp_path / "missing.png", "cannot be opened: No such file")
    refused(tmp_path, "it is a folder")
    (tmp_path / "loop.png").symlink_to("loop.png")
    refused(tmp_path / "loop.png", "symbolic links")
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "a device or a pipe")
    refused(tmp_path / ("a" * 300), "File name too long")
    (tmp_path / "locked.png").write_bytes(b"x")
    (tmp_path / "locked.png").chmod(0)
    if os.geteuid() != 0:  # root may read everything
        refused(tmp_path / "locked.png", "cannot be opened: Permission denied")


@pytest.mark.parametrize("extension", [".gif", ".webp", ".png", ".avif"])
def test_animations_are_refused_and_their_frames_counted(tmp_path, photo, extension):
    frames = [Image.fromarray(np.roll(photo, 20 * n, axis=0)) for n in range(5)]
    path = tmp_path / f"x{extension}"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    refused(
        path, "it holds 5 frames, expected one: extract the one you want .*`imagen-fast video`$"
    )
    frames[0].save(path, save_all=True)  # one frame is a picture
    assert read(path).color.shape == photo.shape


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_documents_are_refused_and_their_pages_counted(tmp_path, photo, dtype):
    tifffile.imwrite(tmp_path / "x.tif", np.stack([photo.astype(dtype)] * 3), photometric="rgb")
    refused(tmp_path / "x.tif", "it holds 3 pages, expected one: .* its own file$")


def test_a_raw_file_is_not_taken_for_its_preview(tmp_path, photo):
    tag = (50706, "B", 4, (1, 4, 0, 0), True)  # DNGVersion
    tifffile.imwrite(tmp_path / "x.dng", photo, photometric="rgb", extratags=[tag])
    refused(tmp_path / "x.dng", "a camera's raw file")
    tifffile.imwrite(tmp_path / "x.nef", photo, photometric="rgb", subfiletype=1)
    refused(tmp_path / "x.nef", "a camera's raw file")


def bombs():
    """(name, file) of a few bytes that state 30,000 × 30,000 pixels."""
    side = 30_000
    data = chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND")
    yield "x.png", SIGNATURE + header(side, side) + data
    yield "deep.png", SIGNATURE + header(side, side, depth=16) + data
    for name in ("x.jpg", "x.gif", "x.bmp", "x.webp", "x.tif", "x.jp2", "x.tga", "x.avif"):
        out = io.BytesIO()
        Image.new("RGB", (100, 77)).save(
            out, {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}.get(name[2:], name[2:])
        )
        file = bytearray(out.getvalue())
        both = struct.pack("<HH", side, side)
        if name == "x.jpg":
            at = file.index(b"\xff\xc0") + 5
            file[at : at + 4] = struct.pack(">HH", side, side)
        elif name == "x.gif":
            at = file.index(struct.pack("<HH", 100, 77))
            file[at : at + 4] = both
        elif name == "x.bmp":
            file[18:26] = struct.pack("<ii", side, side)
        elif name == "x.webp":  # no simple WebP is that large, an extended one is
            large = (side - 1).to_bytes(3, "little")
            file[12:12] = b"VP8X" + struct.pack("<II", 10, 0) + large + large
            file[4:8] = struct.pack("<I", len(file) - 8)
        elif name == "x.tga":
            file[12:16] = both
        elif name in ("x.jp2", "x.avif"):
            at = file.index(b"ihdr" if name == "x.jp2" else b"ispe") + 4 + 4 * (name == "x.avif")
            file[at : at + 8] = struct.pack(">II", side, side)
        else:
            for tag in (256, 257):
                at = file.index(struct.pack("<HHI", tag, 4, 1)) + 8
                file[at : at + 4] = struct.pack("<I", side)
        yield name, bytes(file)
    tall = struct.pack("<HHIIHHIIHHIII", 256, 4, 1, side, 257, 4, 1, side, 258, 3, 1, 16, 0)
    yield "deep.tif", b"II*\0" + struct.pack("<IH", 8, 3) + tall


@pytest.mark.parametrize(("name", "content"), list(bombs()), ids=[name for name, _ in bombs()])
def test_decompression_bombs_are_refused_by_their_header(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    start = time.perf_counter()
    line = refused(tmp_path / name, "pixels|damaged")
    assert time.perf_counter() - start < 1
    if name not in ("x.webp", "x.avif"):  # whose libraries find the lie by themselves
        assert "30000 × 30000 are 900,000,000 pixels, more than the limit of 200,000,000" in line
    refused(tmp_path / name, "damaged|truncated|limit", max_pixels=900_000_000 - 1)


def test_the_limit_is_the_callers(tmp_path, picture):
    write(tmp_path / "x.png", picture(20, 30))
    refused(tmp_path / "x.png", "600 pixels, more than the limit of 599", max_pixels=599)
    assert read(tmp_path / "x.png", max_pixels=600).width == 30


def test_pillows_own_limits_are_out_of_the_way(tmp_path, photo, exif_bytes):
    """Pictures beyond them, but within ours, are read without a word of theirs."""
    code = "from PIL import Image; Image.MAX_IMAGE_PIXELS = 100; "
    code += "print(*(read(path).width for path in sys.argv[1:]))"
    paths = []
    for name, content in corpus(tmp_path, photo[: SIZE[1], : SIZE[0]], exif_bytes()):
        if name[2:] in ("jpg", "png", "tif", "bmp") and name[0] in "ade":
            (tmp_path / name).write_bytes(content)
            paths.append(tmp_path / name)
    assert printed_by(code, *paths) == " ".join(["23"] * len(paths)) + "\n"


def test_nothing_is_printed_about_damaged_metadata(tmp_path, photo, exif_bytes):
    Image.fromarray(photo).save(tmp_path / "x.jpg", exif=b"Exif\0\0" + exif_bytes()[:60])
    assert printed_by("print(read(sys.argv[1]).width)", tmp_path / "x.jpg") == "160\n"


def test_reading_leaves_the_process_as_it_was(tmp_path, photo):
    """Filters, loggers and handlers are the host's, not this package's."""
    (tmp_path / "x.tif").write_bytes(lzw_with_a_damaged_strip(photo))
    code = "import sys, logging, warnings, numpy, PIL.Image, PIL.TiffImagePlugin\n"
    code += "def state(): return warnings.filters[:], logging.getLogger('PIL').handlers[:]\n"
    code += "before = state(); from imagen_fast.image.read import read\n"
    code += "from imagen_fast import ImageError\n"
    code += "def attempt(read):\n  try: read(sys.argv[1])\n  except (ImageError, OSError): pass\n"
    code += "attempt(read); assert state() == before; print('read', file=sys.stderr, flush=True)\n"
    code += "attempt(lambda path: PIL.Image.open(path).load())"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "x.tif"], capture_output=True, text=True, timeout=60
    )
    ours, theirs = done.stderr.split("read\n")
    assert ours == ""
    assert "tempfile.tif: " in theirs  # libtiff talks again


def lzw_with_a_damaged_strip(photo):
    data = io.BytesIO()
    Image.fromarray(photo).save(data, "TIFF", compression="tiff_lzw")
    content = bytearray(data.getvalue())
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        start = file.pages[0].dataoffsets[0]
    content[start + 10 : start + 60] = b"\xff" * 50
    return bytes(content)


def test_the_command_says_nothing_of_damaged_tags(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "x.tif", dpi=(300, 300))
    with tifffile.TiffFile(tmp_path / "x.tif", mode="r+") as file:
        entry = file.pages[0].tags["XResolution"].offset
    data = bytearray((tmp_path / "x.tif").read_bytes())
    data[entry + 4 : entry + 8] = struct.pack("<I", 2)  # of one expected
    (tmp_path / "x.tif").write_bytes(data)
    with pytest.warns(UserWarning, match="too many entries"):
        read(tmp_path / "x.tif")
    command = [sys.executable, "-m", "imagen_fast", "upscale", "x.tif", "-s", "2", "--quiet"]
    done = subprocess.run(
        [*command, "--backend", "fake"], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")


def printed_by(code, *paths):
    """What a new process prints, which is all that it says: warnings would go to stderr."""
    code = f"import sys; from imagen_fast.image.read import read; {code}"
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
@pytest.mark.parametrize("depth", [8, 16])
def test_metadata_bombs(tmp_path, name, depth):
    packed = zlib.compress(bytes(100_000_000), 9)
    text = {
        b"zTXt": b"Raw profile type exif\0\0",
        b"iTXt": b"XML:com.adobe.xmp\0\1\0\0\0",
        b"iCCP": b"k\0\0",
    }[name] + packed
    pixel = chunk(b"IDAT", zlib.compress(bytes(1 + 3 * depth // 8)))
    (tmp_path / "x.png").write_bytes(
        SIGNATURE + header(1, 1, depth) + chunk(name, text) + pixel + chunk(b"IEND")
    )
    start = time.process_time()
    with pytest.warns(ImageWarning, match=name.decode()):
        assert read(tmp_path / "x.png").color.shape == (1, 1, 3)
    assert time.process_time() - start < 1


def test_strips_that_overlap_are_not_read_many_times(tmp_path):
    """A thousand strips that are each the whole file."""
    samples = np.zeros((1000, 100, 3), np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", samples, photometric="rgb", rowsperstrip=1, metadata=None)
    with tifffile.TiffFile(tmp_path / "x.tif", mode="r+") as file:
        file.pages[0].tags["StripOffsets"].overwrite([0] * 1000)
        file.pages[0].tags["StripByteCounts"].overwrite([60_000] * 1000)
    refused(tmp_path / "x.tif", "truncated")


def test_directories_in_a_circle(tmp_path):
    entry = struct.pack("<HHII", 34665, 4, 1, 8)  # the EXIF directory is the file's own
    page = struct.pack("<HHII", 256, 4, 1, 5) + struct.pack("<HHII", 257, 4, 1, 5)
    (tmp_path / "x.tif").write_bytes(
        b"II*\0" + struct.pack("<IH", 8, 3) + page + entry + struct.pack("<I", 8)
    )
    refused(tmp_path / "x.tif", "damaged")


def mutated(content, rng):
    """One hostile relative of a valid file."""
    file = bytearray(content)
    how = rng.randrange(6)
    if how == 0:
        return bytes(file[: rng.randrange(len(file))])
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(file)) if rng.random() < 0.5 else rng.randrange(min(len(file), 300))
        if how == 1:
            file[at] ^= 1 << rng.randrange(8)
        elif how == 2:  # a length, count or offset that lies
            lie = rng.choice((0, 1, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF, len(file)))
            file[at : at + 4] = lie.to_bytes(4, rng.choice(("little", "big")))
        elif how == 3:
            file[at : at + rng.randrange(1, 40)] = b""
        elif how == 4:
            file[at:at] = rng.randbytes(rng.randrange(1, 40))
        else:
            other = rng.randrange(len(file))
            file[at : at + 30] = file[other : other + 30]
        if not file:
            break
    return bytes(file)


def repaired(content):
    """A PNG with its checksums made right, so that damage goes deeper than the first check."""
    if not content.startswith(SIGNATURE):
        return content
    out, at = SIGNATURE, len(SIGNATURE)
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        name, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        out += struct.pack(">I", length) + chunk(name, data)[4:]
        at += 12 + length
    return out


def test_mutated_files_end_in_a_picture_or_an_image_error(tmp_path, photo, exif_bytes, capfd):
    rng = random.Random(7)
    outcomes = {"picture": 0, "error": 0}
    for name, content in corpus(tmp_path, photo[: SIZE[1], : SIZE[0]], exif_bytes()):
        path = tmp_path / f"x{Path(name).suffix}"
        path.write_bytes(content)
        assert read(path).color.shape[:2] == SIZE[::-1], name
        for _ in range(60):
            file = mutated(content, rng)
            path.write_bytes(repaired(file) if rng.random() < 0.7 else file)
            start = time.perf_counter()
            try:
                # A lie about the size may be believed as far as this.
                read(path, max_pixels=1_000_000)
                outcomes["picture"] += 1
            except ImageError:
                outcomes["error"] += 1
            seconds = time.perf_counter() - start
            if seconds > 5:
                pytest.fail(f"{name}: {seconds:.1f} s for {path.read_bytes()!r}")
    assert capfd.readouterr().err == ""  # C libraries like to talk
    assert min(outcomes.values()) > 150  # the mutations are neither harmless nor crude


def test_every_truncation_of_small_files(tmp_path, photo, exif_bytes):
    for name, content in corpus(tmp_path, photo[: SIZE[1], : SIZE[0]], exif_bytes()):
        path = tmp_path / f"x{Path(name).suffix}"
        path.write_bytes(content)
        whole = read(path)
        for end in range(0, len(content) - 1, max(1, len(content) // 40)):
            path.write_bytes(content[:end])
            try:
                picture = read(path)
            except ImageError:
                continue
            # What is missing was not needed, is named, or the format has no way to say so.
            assert picture.color.shape[:2] == SIZE[::-1], name
            same = np.array_equal(picture.color, whole.color) or picture.metadata.lost
            assert same or end > len(content) // 2, (name, end, len(content))
