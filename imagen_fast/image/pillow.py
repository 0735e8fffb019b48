"""Pillow images to pictures and back: every mode becomes grey or RGB, with or without alpha."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from imagen_fast.errors import ImageError
from imagen_fast.image import carry, floats, resolution, tags
from imagen_fast.image import exif as exif_block
from imagen_fast.image.orientation import upright_picture
from imagen_fast.image.picture import Metadata, Picture, eight_bits
from imagen_fast.samples import Samples

# Pixels converted at a time, so that the image and the array are all that is held of a large one.
BAND = 1 << 18

# Formats whose pixels have a fourth byte that many programs leave 0 instead of using it as alpha.
_SPARE_BYTE = {"BMP", "CUR", "DIB", "ICO", "PSD", "TGA"}

_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_PLAIN = {"1": "L", "La": "LA", "RGBX": "RGB", "RGBa": "RGBA", "YCbCr": "RGB", "HSV": "RGB"}


def from_pil(image: Image.Image) -> Picture:
    """A Pillow image of any mode → Picture of the frame it shows, upright.

    The orientation of the EXIF block in `info` is applied and its tag reset to 1, as `read` does.

    8-bit modes give uint8; `I;16`, `I` and `F` give uint16. White is 65535 in `I`, as in 16-bit
    files, and 1 in `F`, whose values up to 0.01 beyond 0 to 1 are clipped, with a note. CMYK goes
    through its embedded profile to sRGB, or through Pillow's plain conversion if it has none.
    Alpha that is 0 everywhere is left out where the image's format is known to leave it unset.
    Raises ImageError for other modes and ranges.
    """
    if 0 in image.size:
        width, height = image.size
        raise ImageError(f"a picture needs at least one pixel; this one is {width} × {height}")
    notes: list[str] = []
    convert = _converter(image, notes)
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
    if alpha is not None and not alpha.any() and _leaves_alpha_unset(image):
        alpha = None
    return upright_picture(Picture(color, alpha, metadata(image), tuple(notes)))


def from_any_pil(image: Image.Image) -> Picture:
    """`from_pil` of an image from anywhere, whose file may be closed, cut short or damaged.

    Raises ImageError, which names the file if the image has one, for those as well.
    """
    try:
        image.load()
        return from_pil(image)
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders fail in every way there is
        name = getattr(image, "filename", "")
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            f"{f'{name}: ' if name else ''}the Pillow image cannot be read ({reason}); expected "
            "one that is open, and whole: open its file anew, or pass its path"
        ) from error


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
    if tables := getattr(image, "quantization", None):  # of a JPEG file; the first is of luma
        data = replace(data, jpeg_table=tuple(tables[min(tables)]))
    channels = carry.INKS if image.mode == "CMYK" else 1 if image.mode in _GREY else 3
    return carry.believed(data, channels)


def with_key(samples: Samples, key: object) -> Samples:
    """Add the alpha that a transparent colour stands for: 0 where all channels equal it.

    (H, W, C) → (H, W, C + 1), or as it is if `key` is no tuple of C, or integer for one channel:
    Pillow leaves that of another mode in what it converts and splits.
    """
    key = (key,) if isinstance(key, int) else key
    if not isinstance(key, tuple) or len(key) != samples.shape[2]:
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


def _converter(image: Image.Image, notes: list[str]) -> Any:
    """The function that turns a band of this image into samples (h, W, 1 to 4).

    What has to be said of it is added to `notes`.
    """
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
        return _ranged(image, notes)
    raise ImageError(f"pictures of Pillow's mode {mode!r} are not handled: convert to RGB first")


def _leaves_alpha_unset(image: Image.Image) -> bool:
    if image.format == "TIFF":  # four samples, of which nothing says what the last one is
        return tags.EXTRA not in getattr(image, "tag_v2", ())
    return image.format in _SPARE_BYTE


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


def _ranged(image: Image.Image, notes: list[str]) -> Any:
    """32-bit integers, of which 65535 is white, and floats, of which 1 is → uint16."""
    # Pillow's own `getextrema` does not see NaN.
    extremes = [f(_samples(band)) for _, band in bands(image) for f in (np.min, np.max)]
    low, high = float(np.min(extremes)), float(np.max(extremes))
    if image.mode == "I":
        if not 0 <= low <= high <= 65535:
            raise _out_of_range(low, high, "0 to 65535", "v * (65535 / white)")
        if 0 < high <= 255:
            notes.append(
                f"its 32-bit values go up to {high:.0f} of 65535, so it is nearly black; where "
                "255 is white, convert it to 8 bits first"
            )
        return lambda band: _samples(band).astype(np.uint16)
    if not floats.near_unit(low, high):
        raise _out_of_range(low, high, "0 to 1", "v / white")
    if note := floats.clipped_note(low, high):
        notes.append(note)
    return lambda band: np.rint(_samples(band).clip(0, 1) * 65535.0).astype(np.uint16)


def _out_of_range(low: float, high: float, expected: str, formula: str) -> ImageError:
    return ImageError(
        f"its 32-bit values range from {low:.6g} to {high:.6g}, expected {expected}: divide them "
        "by the value that is white, such as 255 or 65535. In Pillow that is "
        f"image.point(lambda v: {formula})"
    )
