"""Pillow images to pictures and back: every mode becomes grey or RGB, with or without alpha."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from imagen_fast.errors import ImageError
from imagen_fast.image import carry, resolution
from imagen_fast.image import exif as exif_block
from imagen_fast.image.orientation import upright_picture
from imagen_fast.image.picture import Metadata, Picture, Samples, eight_bits

# Pixels converted at a time, so that the image and the array are all that is held of a large one.
BAND = 1 << 18

_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_PLAIN = {"1": "L", "La": "LA", "RGBX": "RGB", "RGBa": "RGBA", "YCbCr": "RGB", "HSV": "RGB"}


def from_pil(image: Image.Image) -> Picture:
    """A Pillow image of any mode → Picture of the frame it shows, upright.

    The orientation of the EXIF block in `info` is applied and its tag reset to 1, as `read` does.

    8-bit modes give uint8; `I;16`, `I` and `F` give uint16 (`I` counts to 65535; `F` to 1 or to
    255, whichever holds its values). CMYK goes through its embedded profile to sRGB, or through
    Pillow's plain conversion if it has none. Raises ImageError for other modes and ranges.
    """
    if 0 in image.size:
        width, height = image.size
        raise ImageError(f"a picture needs at least one pixel; this one is {width} × {height}")
    convert = _converter(image)
    color: Samples | None = None
    alpha: Samples | None = None
    for top, band in bands(image):
        samples = convert(band)  # (h, W, C) or (h, W, C + 1)
        channels = samples.shape[2] - 1 + samples.shape[2] % 2
        if color is None:
            shape = (image.height, image.width)
            color = np.empty((*shape, channels), samples.dtype)
            if samples.shape[2] > channels:
                alpha = np.empty(shape, samples.dtype)
        rows = slice(top, top + band.height)
        color[rows] = samples[..., :channels]
        if alpha is not None:
            alpha[rows] = samples[..., -1]
    assert color is not None
    return upright_picture(Picture(color, alpha, metadata(image)))


def to_pil(picture: Picture) -> Image.Image:
    """Picture → Pillow image of mode L, LA, RGB or RGBA, or I;16 for opaque 16-bit grey.

    Pillow holds no other 16-bit mode, so the rest is rounded to 8 bits. `info` carries
    icc_profile, exif, xmp and dpi, as far as there are any. Pillow's `save` takes little of it
    from there (PNG and TIFF the profile), so hand it over (what PNG takes is all but xmp):

        kept = ("icc_profile", "exif", "xmp", "dpi")
        image.save(path, **{name: image.info[name] for name in kept if name in image.info})
    """
    color, alpha = picture.color, picture.alpha
    if color.dtype == np.uint16 and color.shape[2] == 1 and alpha is None:
        image = Image.fromarray(color[..., 0])
    else:
        samples = eight_bits(color)
        if alpha is not None:
            samples = np.dstack([samples, eight_bits(alpha)])
        image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    data = carry.believed(picture.metadata, color.shape[2])
    image.info.update(info(carry.resized(data, picture.height, picture.width)))
    return image


def info(data: Metadata) -> dict[str, Any]:
    """The metadata under the names that Pillow's `info` and `save` use; only what there is."""
    found = {
        "icc_profile": data.icc,
        "exif": data.exif and b"Exif\0\0" + data.exif,
        "xmp": data.xmp,
        "dpi": data.dpi,
    }
    return {name: value for name, value in found.items() if value}


def metadata(image: Image.Image) -> Metadata:
    """What the image carries; parts that are damaged or do not fit its pixels are left out."""
    found = image.info
    xmp, dpi = found.get("xmp"), found.get("dpi")
    exif = exif_block.plain(found.get("exif")) or exif_block.of_text(
        found.get("Raw profile type exif")
    )
    # What Pillow says of every JPEG file with EXIF where neither header nor EXIF says any.
    invented = dpi == (72, 72) and "exif" in found and found.get("jfif_unit") not in (1, 2)
    if dpi is None or invented:
        dpi = resolution.of_exif(exif)
    icc = found.get("icc_profile")
    data = Metadata(
        icc if isinstance(icc, bytes) and icc and image.mode != "LAB" else None,
        exif,
        xmp if isinstance(xmp, bytes) and xmp else None,
        resolution.sensible(dpi),
    )
    channels = carry.INKS if image.mode == "CMYK" else 1 if image.mode in _GREY else 3
    return carry.believed(data, channels)


def with_key(samples: Samples, key: object) -> Samples:
    """Add the alpha that a transparent colour stands for: 0 where all channels equal it.

    (H, W, C) → (H, W, C + 1), or as it is if `key` is not an integer or a tuple of C.
    """
    if not isinstance(key, (int, tuple)):
        return samples
    clear = (samples == np.asarray(key)).all(axis=2, keepdims=True)
    opaque = np.iinfo(samples.dtype).max
    return np.concatenate([samples, np.where(clear, 0, opaque).astype(samples.dtype)], axis=2)


def bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """(top, full-width part) of an image, from top to bottom, of BAND pixels at most or one row."""
    rows = max(1, BAND // max(1, image.width))
    if rows >= image.height > 0:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        yield top, image.crop((0, top, image.width, bottom))


def _converter(image: Image.Image) -> Any:
    """The function that turns a band of this image into samples (h, W, 1 to 4)."""
    mode, key = image.mode, image.info.get("transparency")
    if mode in ("CMYK", "LAB"):
        return _managed(image)
    if mode in ("P", "PA"):
        clear = mode == "PA" or key is not None or _palette_mode(image) == "RGBA"
        return lambda band: _samples(band.convert("RGBA" if clear else "RGB"))
    if mode in ("1", "L", "RGB"):
        return lambda band: with_key(_samples(band.convert(_PLAIN.get(mode, mode))), key)
    if mode in ("LA", "RGBA"):
        return _samples
    if mode in _PLAIN:
        return lambda band: _samples(band.convert(_PLAIN[mode]))
    if mode.startswith("I;16"):
        return lambda band: with_key(_samples(band).astype(np.uint16), key)
    if mode in ("I", "F"):
        return _ranged(image)
    raise ImageError(f"pictures of Pillow's mode {mode!r} are not handled: convert to RGB first")


def _samples(band: Image.Image) -> NDArray[Any]:
    samples = np.asarray(band)
    return samples if samples.ndim == 3 else samples[..., None]


def _palette_mode(image: Image.Image) -> str:
    return image.palette.mode if image.palette is not None else "RGB"


def _managed(image: Image.Image) -> Any:
    """CMYK through its profile and LAB through its definition to sRGB."""
    profile = image.info.get("icc_profile")
    try:
        source = (
            ImageCms.createProfile("LAB")
            if image.mode == "LAB"
            else ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        )
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            image.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, TypeError):  # no profile, or not one of this mode
        if image.mode == "LAB":
            raise
        return lambda band: _samples(band.convert("RGB"))
    return lambda band: _samples(ImageCms.applyTransform(band, transform) or band)


def _ranged(image: Image.Image) -> Any:
    """32-bit integers and floats, whose range only the values tell → uint16."""
    low, high = (float(str(value)) for value in image.getextrema())
    if image.mode == "I":
        top, full, said = 65535.0, 65535.0, "0 to 65535"
    else:
        top, said = 255.0, "0 to 1 or 0 to 255"
        full = 1.0 if high <= 1 else 255.0
    if not (math.isfinite(low) and math.isfinite(high) and low >= 0 and high <= top):
        raise ImageError(
            f"its 32-bit values range from {low} to {high}, expected {said}: rescale them first"
        )
    return lambda band: np.round(_samples(band) * (65535.0 / full)).astype(np.uint16)
