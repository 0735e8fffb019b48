"""JPEG 2000 through Pillow, and what its boxes carry beside the picture."""

from __future__ import annotations

from typing import BinaryIO

from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from imagen_fast.image import boxes
from imagen_fast.image.limits import check_size
from imagen_fast.image.picture import Picture
from imagen_fast.image.pillow import from_pil

_ICC = 2  # the method of a colour box that holds a profile
_UUIDS = {
    b"JpgTiffExif->JP2": "exif",
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp",
}


def decode(file: BinaryIO, max_pixels: int) -> Picture:
    """An open JP2 file or bare codestream → Picture; uint16 for grey of more than 8 bits."""
    content = file.read()
    file.seek(0)
    with Jpeg2KImageFile(file) as image:
        check_size(image.width, image.height, max_pixels)
        for color in boxes.find(content, b"jp2h", b"colr"):
            if color[:1] == bytes([_ICC]):
                image.info.setdefault("icc_profile", color[3:])
        for block in boxes.find(content, b"uuid"):
            if block[:16] in _UUIDS:
                image.info[_UUIDS[block[:16]]] = block[16:]
        image.load()
        return from_pil(image)
