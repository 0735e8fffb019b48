import numpy as np
import pytest
from PIL import Image

from imagen_fast.image.picture import Metadata, Picture


@pytest.fixture(scope="session")
def photo():
    """(120, 160, 3) uint8 with what photographs have: gradients, edges, texture, colour."""
    y, x = np.mgrid[:120, :160]
    color = np.stack([x * 1.5, y * 2.0, 255 - x - y / 2], -1)
    color += 40 * np.sin(x / 7 + y / 11)[..., None]
    color[(x - 50) ** 2 + (y - 70) ** 2 < 900] = (200, 60, 40)
    color += np.random.default_rng(0).normal(0, 4, color.shape)
    return color.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def picture():
    """Makes a random Picture of a kind: the worst case for anything that predicts or rounds."""

    def make(height, width, channels=3, alpha=False, dtype=np.uint8, seed=0, **metadata):
        rng = np.random.default_rng(seed)
        top = int(np.iinfo(dtype).max) + 1
        return Picture(
            rng.integers(0, top, (height, width, channels)).astype(dtype),
            rng.integers(0, top, (height, width)).astype(dtype) if alpha else None,
            Metadata(**metadata),
        )

    return make


@pytest.fixture(scope="session")
def exif_bytes():
    """EXIF of a camera, orientation as asked: maker, date, a place, its size, a thumbnail."""

    def make(orientation=1, order="II"):
        exif = Image.Exif()
        exif.endian = "<" if order == "II" else ">"
        exif[0x010F], exif[0x0110], exif[0x0112] = "Maker", "Model 7", orientation
        exif[0x8769] = {0x9003: "2024:05:06 07:08:09", 0xA002: 160, 0xA003: 120}
        exif[0x8825] = {1: "N", 2: (48.0, 51.0, 29.5)}
        return exif.tobytes().removeprefix(b"Exif\0\0")

    return make
