"""PSNR and SSIM from their definitions, on pictures that are made here."""

import math

import numpy as np
import pytest
from noise import noise

from imagen_fast.metrics import luma, luma_psnr, psnr, ssim


@pytest.mark.parametrize(
    ("rgb", "y"),
    [
        # What MATLAB's rgb2ycbcr gives: 16 + 65.481 R + 128.553 G + 24.966 B, rounded.
        ((0, 0, 0), 16),
        ((255, 255, 255), 235),
        ((255, 0, 0), 81),
        ((0, 255, 0), 145),
        ((0, 0, 255), 41),
        ((128, 128, 128), 126),
    ],
)
def test_y_of_known_colours(rgb: tuple[int, int, int], y: int) -> None:
    assert luma(np.full((2, 3, 3), rgb, np.uint8)).tolist() == [[y] * 3] * 2


def test_grey_is_its_own_y_and_alpha_is_left_out() -> None:
    grey = noise(5, 6)
    np.testing.assert_array_equal(luma(grey), grey)
    rgba = noise(5, 6, 4)
    np.testing.assert_array_equal(luma(rgba), luma(rgba[..., :3]))


@pytest.mark.parametrize("difference", [1, 7, 100])
def test_psnr_of_a_constant_difference(difference: int) -> None:
    a = np.full((9, 11), 40, np.uint8)
    expected = 20 * math.log10(255 / difference)
    assert luma_psnr(a, a + np.uint8(difference)) == pytest.approx(expected)
    assert luma_psnr(a + np.uint8(difference), a) == pytest.approx(expected)


def test_psnr_is_of_the_mean_square_over_all_pixels() -> None:
    a = np.full((10, 10), 100, np.uint8)
    b = a.copy()
    b[2, 3], b[7, 5] = 110, 80  # (100 + 400) / 100
    assert luma_psnr(a, b) == pytest.approx(10 * math.log10(255**2 / 5))
    assert luma_psnr(a, a) == math.inf


def test_psnr_of_colour_is_on_y() -> None:
    white, black = np.full((4, 4, 3), 255, np.uint8), np.zeros((4, 4, 3), np.uint8)
    assert luma_psnr(white, black) == pytest.approx(20 * math.log10(255 / 219))


@pytest.mark.parametrize("metric", [luma_psnr, ssim])
@pytest.mark.parametrize("border", [0, 1, 4])
def test_the_border_is_cropped_on_every_side(metric, border: int) -> None:
    a = noise(24, 30)
    for y, x in ((0, 12), (23, 12), (12, 0), (12, 29)):
        for depth in range(6):
            b = a.copy()
            b[abs(y - depth) if y in (0, 23) else y, abs(x - depth) if x in (0, 29) else x] ^= 128
            assert (metric(a, b, border) == metric(a, a, border)) == (depth < border)


def test_ssim_of_flat_pictures_is_the_luminance_term() -> None:
    a, b = np.full((15, 15), 50, np.uint8), np.full((15, 15), 90, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 50 * 90 + c1) / (50**2 + 90**2 + c1), rel=1e-9)
    assert ssim(a, a) == pytest.approx(1)


def definition(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004, equations 13 to 17, window by window."""
    g = np.array([[math.exp(-(i * i + j * j) / (2 * 1.5**2)) for i in range(-5, 6)]
                  for j in range(-5, 6)])  # fmt: skip
    g /= g.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            p, q = (z[top : top + 11, left : left + 11].astype(float) for z in (x, y))
            mp, mq = (g * p).sum(), (g * q).sum()
            vp, vq = (g * (p - mp) ** 2).sum(), (g * (q - mq) ** 2).sum()
            cov = (g * (p - mp) * (q - mq)).sum()
            luminance = (2 * mp * mq + c1) / (mp**2 + mq**2 + c1)
            values.append(luminance * (2 * cov + c2) / (vp + vq + c2))
    return float(np.mean(values))


@pytest.mark.parametrize(("height", "width"), [(11, 11), (14, 19)])
def test_ssim_is_what_its_paper_defines(height: int, width: int) -> None:
    a = noise(height, width)
    for b in (noise(height, width, seed=1), 255 - a, (a // 2 + 60).astype(np.uint8), a):
        assert ssim(a, b) == pytest.approx(definition(a, b), abs=1e-9)
        assert ssim(b, a) == pytest.approx(ssim(a, b), abs=1e-12)


@pytest.mark.parametrize("metric", [luma_psnr, ssim])
def test_pictures_of_two_shapes_cannot_be_compared(metric) -> None:
    with pytest.raises(ValueError, match=r"differ in shape: \(20, 20\) and \(20, 21\)"):
        metric(noise(20, 20), noise(20, 21))


def test_psnr_of_all_samples() -> None:
    a = np.zeros((2, 2), np.float32)
    assert psnr(a, a) == math.inf
    assert psnr(a + np.float32(0.1), a) == pytest.approx(20, abs=1e-5)
    assert psnr(a + np.float32("nan"), a) == -math.inf
    assert psnr(a[:, :1], a) == -math.inf
    rows = np.float32([10, 0])  # whose largest value is the peak
    assert psnr(rows + 1, rows) == pytest.approx(20)
