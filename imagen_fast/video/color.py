"""Frames as libraries hold them ↔ pictures in RGB, by libswscale."""

from __future__ import annotations

from typing import Any

import numpy as np

from imagen_fast.image.picture import Picture, eight_bits
from imagen_fast.samples import Samples
from imagen_fast.video.frames import BT709, FULL, LIMITED, Color
from imagen_fast.video.pyav import pyav


class Converter:
    """Between YUV frames of one colour description and RGB. For one thread.

    Bicubic chroma, computed at every pixel and rounded, so that a frame of one colour comes back
    as it was.
    """

    def __init__(self, color: Color, height: int) -> None:
        av = pyav()
        kind = av.video.reformatter.Interpolation
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._flags = kind.BICUBIC | kind.ACCURATE_RND | kind.FULL_CHR_H_INT | kind.FULL_CHR_H_INP
        self._color, self._matrix = color, color.matrix_at(height)

    def picture(self, frame: Any) -> Picture:
        """A decoded frame → RGB of 8 bits, or of 16 if it has more than 8, with its alpha."""
        parts = frame.format.components
        alpha = any(part.is_alpha for part in parts) or frame.format.has_palette
        deep = max(part.bits for part in parts) > 8
        target = {
            (False, False): "rgb24",
            (False, True): "rgba",
            (True, False): "rgb48le",
            (True, True): "rgba64le",
        }[deep, alpha]
        if not is_rgb(frame.format):
            frame.colorspace = self._matrix
            frame.color_range = self._range(frame)
        samples = self._convert(frame, target, frame.color_range, FULL).to_ndarray()
        if not alpha or samples[..., 3].min() == (65535 if deep else 255):
            return Picture(np.ascontiguousarray(samples[..., :3]))
        return Picture(np.ascontiguousarray(samples[..., :3]), samples[..., 3].copy())

    def frame(self, picture: Picture, pix_fmt: str) -> Any:
        """A picture → a frame of this format. What is transparent is laid on black if it has no
        alpha."""
        av = pyav()
        wanted = av.VideoFormat(pix_fmt)
        alpha = any(part.is_alpha for part in wanted.components)
        deep = max(part.bits for part in wanted.components) > 8 and picture.color.dtype == np.uint16
        samples = _packed(picture, alpha, deep)
        names = {(3, 1): "rgb24", (4, 1): "rgba", (3, 2): "rgb48le", (4, 2): "rgba64le"}
        name = names[samples.shape[2], samples.itemsize]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(samples), name)
        if is_rgb(wanted):
            return frame if name == pix_fmt else self._convert(frame, pix_fmt, FULL, FULL)
        frame.colorspace = self._matrix
        made = self._convert(frame, pix_fmt, FULL, self._color.range or LIMITED)
        made.colorspace, made.color_range = self._color.matrix, self._color.range
        made.color_primaries, made.color_trc = self._color.primaries, self._color.transfer
        return made

    def _range(self, frame: Any) -> int:
        return FULL if frame.format.name.startswith("yuvj") else self._color.range or LIMITED

    def _convert(self, frame: Any, pix_fmt: str, given: int, wanted: int) -> Any:
        return self._reformatter.reformat(
            frame,
            format=pix_fmt,
            src_color_range=given,
            dst_color_range=wanted,
            interpolation=self._flags,
            threads=1,
        )


def is_rgb(wanted: Any) -> bool:
    """Whether frames of a format have no matrix: RGB, palettes."""
    return bool(wanted.is_rgb or wanted.has_palette)


# Of videos made from pictures, whose samples are sRGB; 13 is its transfer (IEC 61966-2-1).
OF_PICTURES = Color(LIMITED, BT709, BT709, 13)


def _packed(picture: Picture, alpha: bool, deep: bool) -> Samples:
    """(H, W, 3 or 4), uint16 if `deep`, else uint8."""
    color, cover = picture.color, picture.alpha
    if color.shape[2] == 1:
        color = np.repeat(color, 3, axis=2)
    if cover is not None and not alpha:
        full = np.iinfo(color.dtype).max
        product = color.astype(np.uint32) * cover[..., None]
        color, cover = ((product + full // 2) // full).astype(color.dtype), None
    if not deep:
        color, cover = eight_bits(color), None if cover is None else eight_bits(cover)
    if not alpha:
        return color
    if cover is None:
        cover = np.full(color.shape[:2], np.iinfo(color.dtype).max, color.dtype)
    return np.concatenate([color, cover[..., None]], axis=2)
