"""TIFF written strip by strip, uncompressed, so that memory does not depend on the picture.

The directory comes first: without compression every size is known. BigTIFF where 32-bit offsets do
not reach. TIFF 6.0; Adobe's XMP specification, part 3.
"""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

import numpy as np

from imagen_fast.image import ifd, tags
from imagen_fast.image.picture import Metadata
from imagen_fast.samples import Samples

_STRIP = 1 << 18  # bytes, about
_REACH = (1 << 32) - (1 << 26)  # bytes of samples that 32-bit offsets reach, behind what precedes
_UNASSOCIATED = 2  # alpha that is not premultiplied
_INCH = 2


class TiffWriter:
    """Rows (h, W, 1 to 4 channels) uint8 or uint16, from top to bottom → an open file."""

    def __init__(
        self, file: BinaryIO, shape: tuple[int, int, int], dtype: np.dtype[Any], metadata: Metadata
    ) -> None:
        layout, carried = _carried(metadata)
        self._file = file
        self._dtype = dtype.newbyteorder(layout.order)
        big = shape[0] * shape[1] * shape[2] * dtype.itemsize >= _REACH
        file.write(_head(ifd.Layout(layout.order, big), carried, shape, dtype))

    def write(self, rows: Samples) -> None:
        """Append rows."""
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)

    def finish(self) -> None:
        """Nothing is left to be written."""

    def close(self) -> None:
        """Nothing is held."""


def _carried(metadata: Metadata) -> tuple[ifd.Layout, ifd.Directory]:
    """Tags of the metadata, and the layout they come in: the byte order of the EXIF block."""
    layout, carried = ifd.Layout(), {}
    if metadata.exif:
        try:
            layout, (directory, *_) = ifd.parse(io.BytesIO(metadata.exif))
            carried = {tag: value for tag, value in directory.items() if tag in tags.DESCRIPTIVE}
        except (ValueError, struct.error):  # a damaged block has no place in the directory
            pass
    if metadata.dpi:
        for tag, dpi in zip((tags.X_RESOLUTION, tags.Y_RESOLUTION), metadata.dpi, strict=True):
            carried[tag] = layout.value(ifd.RATIONAL, round(dpi * 1000), 1000)
        carried[tags.RESOLUTION_UNIT] = layout.value(ifd.SHORT, _INCH)
    if metadata.xmp:
        carried[tags.XMP] = ifd.Value(ifd.BYTE, metadata.xmp)
    if metadata.icc:
        carried[tags.ICC] = ifd.Value(ifd.UNDEFINED, metadata.icc)
    return layout, carried


def _head(
    layout: ifd.Layout, carried: ifd.Directory, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> bytes:
    """Everything before the first sample."""
    height, width, channels = shape
    row = width * channels * dtype.itemsize
    rows = min(height, max(1, _STRIP // row))
    strips = np.arange(0, height, rows)
    color = channels - 1 + channels % 2
    place = ifd.LONG8 if layout.big else ifd.LONG
    directory = carried | {
        tags.WIDTH: layout.value(ifd.LONG, width),
        tags.HEIGHT: layout.value(ifd.LONG, height),
        tags.BITS: layout.value(ifd.SHORT, *[8 * dtype.itemsize] * channels),
        tags.COMPRESSION: layout.value(ifd.SHORT, 1),
        tags.PHOTOMETRIC: layout.value(ifd.SHORT, 1 if color == 1 else 2),
        tags.ORIENTATION: layout.value(ifd.SHORT, 1),
        tags.SAMPLES: layout.value(ifd.SHORT, channels),
        tags.ROWS: layout.value(ifd.LONG, rows),
        tags.COUNTS: layout.value(place, *(row * np.minimum(rows, height - strips)).tolist()),
        tags.PLANAR: layout.value(ifd.SHORT, 1),
    }
    if channels > color:
        directory[tags.EXTRA] = layout.value(ifd.SHORT, _UNASSOCIATED)
    start, behind = len(layout.header(0)), 0
    for _ in range(2):  # where the samples begin follows from how long the directory is
        directory[tags.OFFSETS] = layout.value(place, *(behind + strips * row).tolist())
        head = layout.header(start) + ifd.build(directory, layout, start)
        behind = len(head)
    return head
