"""NV12 and I420 ↔ RGB against the equations of ITU-R BT.601, BT.709 and BT.2020."""

import numpy as np
import pytest

from imagen_fast.image.yuv import MATRICES, Yuv, planes_of

LEVELS = [(0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0), (0, 255, 0), (30, 60, 220)]


def frame_of(yuv, layout, height=6, width=8):
    frame = np.zeros((height * 3 // 2, width), np.uint8)
    for plane, value in zip(planes_of(frame, layout), yuv, strict=True):
        plane[:] = value
    return frame


def by_equation(rgb, matrix, full):
    kr, kb = MATRICES[matrix]
    red, green, blue = np.asarray(rgb) / 255
    y = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    black, luma, chroma = (0, 255, 255) if full else (16, 219, 224)
    return np.array([black + luma * y, 128 + chroma * u, 128 + chroma * v]).clip(0, 255)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("layout", ["nv12", "i420"])
@pytest.mark.parametrize("rgb", LEVELS)
def test_one_colour(matrix, full, layout, rgb):
    yuv = Yuv(matrix, full)
    frame = frame_of((1, 2, 3), layout)
    planes = planes_of(frame, layout)
    yuv.from_rgb(np.full((6, 8, 3), rgb, np.uint8), planes)
    expected = by_equation(rgb, matrix, full)
    for plane, level in zip(planes, expected, strict=True):
        assert np.ptp(plane) == 0
        assert abs(int(plane[0, 0]) - level) <= 0.51
    back = yuv.to_rgb(planes)
    assert np.abs(back.astype(int) - rgb).max() <= 3  # whole levels of 16 to 235 are coarser
    if len(set(rgb)) == 1:
        assert np.ptp(back, axis=2).max() == 0  # what is neutral stays so


def test_chroma_lies_on_the_left_of_two_columns_between_two_rows():
    yuv = Yuv("bt601", True)
    ramp = np.zeros((8, 32, 3), np.uint8)
    ramp[..., 0] = 4 * np.arange(32) + 10 * np.arange(8)[:, None]  # red rises evenly
    planes = planes_of(frame_of((0, 0, 0), "i420", 8, 32), "i420")
    yuv.from_rgb(ramp, planes)
    red = 4 * np.arange(2, 30, 2) + 10 * np.arange(0.5, 8, 2)[:, None]  # where its samples lie
    assert np.abs(planes.v[:, 1:-1] - (128 + red / 2)).max() <= 0.6
    back = yuv.to_rgb(planes)
    assert np.abs(back[2:-2, 2:-2, 0].astype(int) - ramp[2:-2, 2:-2, 0]).max() <= 3


def test_layouts():
    frame = np.arange(24, dtype=np.uint8).reshape(6, 4)
    y, u, v = planes_of(frame, "nv12")
    assert (y.shape, u.tolist(), v.tolist()) == ((4, 4), [[16, 18], [20, 22]], [[17, 19], [21, 23]])
    y, u, v = planes_of(frame, "i420")
    assert (u.tolist(), v.tolist()) == ([[16, 17], [18, 19]], [[20, 21], [22, 23]])
