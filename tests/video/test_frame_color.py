"""YUV ↔ RGB against the equations of ITU-R BT.601, BT.709 and BT.2020."""

import av
import numpy as np
import pytest

from imagen_fast.image.picture import Picture
from imagen_fast.video.color import Converter
from imagen_fast.video.frames import Color

# (Kr, Kb) by the matrix's number in ISO/IEC 23091-4; 2 is guessed by the height.
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
YUV = (120, 90, 170)


def flat(yuv: tuple[int, int, int], pix_fmt: str = "yuv420p") -> av.VideoFrame:
    frame = av.VideoFrame(32, 32, pix_fmt)
    for plane, value in zip(frame.planes, yuv, strict=True):
        dtype = np.uint16 if "10" in pix_fmt else np.uint8
        np.frombuffer(plane, dtype)[:] = value
    return frame


def by_equation(yuv: tuple[int, int, int], matrix: int, full: bool) -> np.ndarray:
    """RGB from 0 to 255."""
    kr, kb = WEIGHTS[matrix]
    y = yuv[0] / 255 if full else (yuv[0] - 16) / 219
    u, v = ((x - 128) / (255 if full else 224) for x in yuv[1:])
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return 255 * np.clip([red, green, blue], 0, 1)


@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("range_", [0, 1, 2])
def test_colours_follow_the_equations_and_come_back(matrix, range_):
    converter = Converter(Color(range_, matrix), 32)
    picture = converter.picture(flat(YUV))
    expected = by_equation(YUV, matrix, range_ == 2)
    assert np.abs(picture.color[16, 16] - expected).max() <= 1
    back = converter.frame(picture, "yuv420p")
    values = [int(np.frombuffer(plane, np.uint8)[100]) for plane in back.planes]
    assert np.abs(np.subtract(values, YUV)).max() <= 1


@pytest.mark.parametrize(("height", "matrix"), [(576, 6), (577, 1)])
def test_a_matrix_that_is_not_said_follows_from_the_height(height, matrix):
    picture = Converter(Color(), height).picture(flat(YUV))
    assert np.abs(picture.color[16, 16] - by_equation(YUV, matrix, False)).max() <= 1


@pytest.mark.parametrize("level", [64, 300, 512, 777, 940])
def test_ten_bits_come_back_exactly(level):
    converter = Converter(Color(1, 1), 32)
    picture = converter.picture(flat((level, 512, 512), "yuv420p10le"))
    assert picture.color.dtype == np.uint16
    back = converter.frame(picture, "yuv420p10le")
    assert [int(np.frombuffer(plane, np.uint16)[100]) for plane in back.planes] == [level, 512, 512]


def test_what_is_transparent_is_laid_on_black_where_there_is_no_alpha():
    color = np.full((4, 4, 3), 200, np.uint8)
    alpha = np.zeros((4, 4), np.uint8)
    alpha[:2] = 255
    frame = Converter(Color(), 4).frame(Picture(color, alpha), "rgb24")
    assert frame.to_ndarray()[0, 0].tolist() == [200] * 3
    assert frame.to_ndarray()[3, 0].tolist() == [0] * 3
