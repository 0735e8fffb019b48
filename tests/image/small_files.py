"""Small valid files: every decoder, mode and part that is parsed here."""

import io
import struct
import zlib

import numpy as np
import png
import tifffile
from icc_profiles import press_cmyk, wide_rgb
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagen_fast.image.picture import Metadata, Picture
from imagen_fast.image.png_chunks import SIGNATURE, chunk
from imagen_fast.image.write import write

SIZE = (23, 17)


def header(width, height, depth=8, kind=2):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))


def corpus(folder, photo, exif):
    """(name, file) of small valid files: every decoder, mode and part that is parsed here."""
    carried = Metadata(wide_rgb(), exif, b"<x/>", (300.0, 300.0))
    write(folder / "h.tif", Picture(photo, photo[..., 0], carried))
    yield "h.tif", (folder / "h.tif").read_bytes()
    alpha = np.arange(photo.size // 3, dtype=np.uint8).reshape(photo.shape[:2])
    image = Image.fromarray(photo)
    clear = Image.fromarray(np.dstack([photo, alpha]))
    cmyk = image.convert("CMYK")
    deep = photo.astype(np.uint16) * 257
    everything = {"exif": b"Exif\0\0" + exif, "icc_profile": wide_rgb(), "dpi": (300, 300)}
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "<x/>", zip=True)
    text.add_text("Raw profile type exif", "\nexif\n 3\n" + exif.hex(), zip=True)
    for name, picture, options in [
        ("a.jpg", image, everything | {"xmp": b"<x/>"}),
        ("b.jpg", image.convert("L"), {"progressive": True}),
        ("c.jpg", cmyk, {"icc_profile": press_cmyk()}),
        ("a.png", clear, everything),
        ("b.png", image.convert("P"), {"transparency": bytes(range(255, 0, -1)), "pnginfo": text}),
        ("c.png", image.convert("1"), {"transparency": 0}),
        ("a.webp", clear, everything | {"lossless": True}),
        ("b.webp", image, {"xmp": b"<x/>"}),
        ("a.bmp", image.convert("P"), {}),
        ("a.gif", image.convert("P"), {"transparency": 3}),
        ("a.avif", clear, {"exif": exif, "xmp": b"<x/>", "quality": 90}),
        ("a.jp2", clear, {}),
        ("b.jp2", image.convert("L"), {"no_jp2": True}),
        ("a.tga", clear, {"rle": True}),
        ("b.tga", image.convert("P"), {}),
        ("a.tif", clear, {"icc_profile": wide_rgb(), "compression": "tiff_lzw"}),
        ("b.tif", cmyk, {"icc_profile": press_cmyk(), "compression": "jpeg"}),
        ("c.tif", image.convert("1"), {"compression": "group4"}),
        ("d.tif", image.convert("LAB"), {}),
    ]:
        out = io.BytesIO()
        kind = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}.get(name[2:], name[2:])
        picture.save(out, kind, **options)
        yield name, out.getvalue()
    for name, options in [
        ("e.tif", {"compression": "zlib", "predictor": True, "rowsperstrip": 5}),
        ("f.tif", {"tile": (16, 16), "byteorder": ">"}),
        ("g.tif", {"bigtiff": True}),
    ]:
        out = io.BytesIO()
        tifffile.imwrite(out, deep, photometric="rgb", **options)
        yield name, out.getvalue()
    for name, kind, samples in [
        ("d.png", 2, deep),
        ("e.png", 6, np.dstack([deep, deep[..., 0]])),
    ]:
        rows = [bytes([n % 5]) + row.astype(">u2").tobytes() for n, row in enumerate(samples)]
        parts = chunk(b"eXIf", exif) + chunk(b"tRNS", bytes(6)) * (kind == 2)
        parts += chunk(b"pHYs", struct.pack(">IIB", 9000, 9000, 1))
        parts += chunk(b"IDAT", zlib.compress(b"".join(rows)))
        yield name, SIGNATURE + header(*SIZE, 16, kind) + parts + chunk(b"IEND")
    out = io.BytesIO()
    interlaced = png.Writer(*SIZE, greyscale=True, bitdepth=16, transparent=0, interlace=True)
    interlaced.write_array(out, deep[..., 0].ravel().tolist())
    yield "f.png", out.getvalue()
