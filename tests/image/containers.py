"""Files taken apart and put together by hand, so that one thing about them can be wrong."""

import io
import random
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image

from imagen_fast.image.png_chunks import SIGNATURE, chunk

# What telephones put behind a photograph: the start of a film, whose bytes look like anything.
VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + random.Random(1).randbytes(50_000)
END = chunk(b"IEND")


def encoded(samples, kind, mode=None, **options):
    """A file that Pillow wrote."""
    image = Image.fromarray(samples)
    out = io.BytesIO()
    (image.convert(mode) if mode else image).save(out, kind, **options)
    return out.getvalue()


def png(samples, *before, behind=END, data=None):
    """A PNG file of (H, W, C) uint8 or uint16 samples with chunks before and behind them."""
    height, width, channels = samples.shape
    depth, kind = 8 * samples.dtype.itemsize, {1: 0, 3: 2, 4: 6}[channels]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    rows = samples.astype(samples.dtype.newbyteorder(">"))
    stream = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    pixels = chunk(b"IDAT", stream if data is None else data(stream))
    return b"".join([SIGNATURE, header, *before, pixels, behind])


def wrong(part):
    """A PNG chunk with a wrong checksum."""
    return part[:-4] + bytes(byte ^ 255 for byte in part[-4:])


def segment(marker, payload):
    """A JPEG segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def with_segments(jpeg, *segments):
    """The JPEG file with these right behind its start."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def tiff(samples, change, **options):
    """A TIFF file after `change(data, places)` of its bytes and where its tags' entries lie.

    places[None] is the place of the next directory's place.
    """
    out = io.BytesIO()
    photometric = (
        "rgb" if samples.ndim == 3 and 3 in (samples.shape[0], samples.shape[-1]) else "minisblack"
    )
    tifffile.imwrite(out, samples, metadata=None, **{"photometric": photometric, **options})
    out.seek(0)
    with tifffile.TiffFile(out) as file:
        page = file.pages[0]
        places = {tag.code: tag.offset for tag in page.tags}
        count = len(places)
        places[None] = page.offset + 2 + 12 * count
    data = bytearray(out.getvalue())
    change(data, places)
    return bytes(data)


def entry(data, place, **values):
    """Overwrite parts of a little-endian entry: its code, kind, count or value."""
    for name, value in values.items():
        form, at = {"code": ("<H", 0), "kind": ("<H", 2), "count": ("<I", 4), "value": ("<I", 8)}[
            name
        ]
        struct.pack_into(form, data, place + at, value)


def reversed_bits(data):
    """Bytes with the first bit last, as TIFF's FillOrder 2 has them."""
    return np.packbits(
        np.unpackbits(np.frombuffer(data, np.uint8)).reshape(-1, 8)[:, ::-1]
    ).tobytes()
