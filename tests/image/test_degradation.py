"""Each step of a degradation does what it says, and a mixture is the same for the same seed."""

import numpy as np
import pytest

from imagen_fast.errors import TrainingError
from imagen_fast.image import degradation as d

NOTHING = d.Degradation(grey=0, blur=0, rescale=0, noise=0, jpeg=0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def picture(rng):
    """Smooth, with all levels and colours: (40, 56, 3)."""
    y, x = np.mgrid[:40, :56][..., None]
    return d.rounded(128 + 100 * np.sin(y / 9 + x / 7 + np.arange(3)))


def flat(level, channels=3):
    return np.full((200, 200, channels), level, np.uint8)


@pytest.mark.parametrize("sigma", [5, 20])
def test_noise_has_its_deviation_in_every_channel(rng, sigma):
    noise = d.noisy(flat(128), sigma, rng).astype(float) - 128
    assert noise.std((0, 1)) == pytest.approx([sigma] * 3, rel=0.03)
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.03
    same = d.noisy(flat(128), sigma, rng, grey=True)
    assert np.ptp(same, axis=2).max() == 0
    assert same.std() == pytest.approx(sigma, rel=0.03)


def test_a_cameras_noise_is_of_photons_and_smeared(rng):
    dark, middle = (d.photographed(flat(level), 20, rng).astype(float) for level in (20, 128))
    light = [(x / 255) ** d.GAMMA for x in (dark, middle)]
    assert light[1].std() > 2 * light[0].std()  # more photons vary more
    off = middle - middle.mean()
    neighbours = (off[1:] * off[:-1]).mean() / off.var()
    assert neighbours == pytest.approx(0.35 / 0.74, abs=0.03)


def test_blur_is_the_window_that_it_says():
    point = np.zeros((41, 41, 1), np.uint8)
    point[20, 20] = 255
    weights = np.exp(-(np.arange(-7, 8) ** 2) / (2 * 1.6**2))
    kernel = np.outer(weights, weights) / weights.sum() ** 2
    found = d.blurred(point, 1.6, 1.6, radius=7)[..., 0]
    assert np.abs(found[13:28, 13:28] - 255 * kernel).max() <= 0.501
    assert found.sum() == found[13:28, 13:28].sum()
    wide = d.blurred(point, 0.5, 3.0)[..., 0]
    assert np.count_nonzero(wide[20]) > 3 * np.count_nonzero(wide[:, 20])
    assert (d.blurred(flat(77), 2, 3) == 77).all()


def test_jpeg_is_worse_at_lower_quality_and_blurs_colours_alone_when_subsampled(picture):
    def error(*how):
        return np.abs(d.jpeg(picture, *how).astype(float) - picture).mean()

    assert error(10) > error(40) > error(95)
    colours = picture.copy()
    colours[:, ::2, 0] = 255 - colours[:, ::2, 0]
    full, half = (np.abs(d.jpeg(colours, 95, s).astype(float) - colours).mean() for s in
                  ("4:4:4", "4:2:0"))  # fmt: skip
    assert half > 2 * full
    assert d.jpeg(picture[..., :1], 10).shape == (40, 56, 1)


def test_scratches_cover_their_part(rng):
    mask = d.scratches(320, 480, 0.05, rng)
    assert mask.shape == (320, 480)
    assert 0.05 <= mask.mean() < 0.07


def test_a_mixture_is_the_same_for_the_same_seed_and_no_other(picture):
    everything = d.Degradation(**dict.fromkeys(
        ("grey", "blur", "rescale", "noise", "jpeg", "scratches"), 0.5))  # fmt: skip
    high = picture.repeat(2, 0).repeat(2, 1)
    seen = set()
    for seed in range(40):
        low, as_it_should = everything(picture, high, np.random.default_rng(seed))
        again, _ = everything(picture, high, np.random.default_rng(seed))
        assert np.array_equal(low, again)
        assert (low.shape, as_it_should.shape) == (picture.shape, high.shape)
        grey = np.ptp(as_it_should, axis=2).max() == 0
        assert grey or np.array_equal(as_it_should, high)
        seen.add((grey, low.tobytes()))
    assert len(seen) > 35
    assert {grey for grey, _ in seen} == {True, False}


def test_what_has_no_share_does_not_happen(picture, rng):
    low, high = NOTHING(picture, picture, rng)
    assert np.array_equal(low, picture)
    assert np.array_equal(high, picture)


@pytest.mark.parametrize(("alone", "least", "most"), [(0.0, 0, 0), (1.0, 10, 35)])
def test_of_several_steps_one_may_be_kept(picture, alone, least, most):
    every = d.Degradation(blur=1, rescale=1, noise=1, jpeg=1, scratches=1, alone=alone)
    unchanged = 0  # but for a few scratches: one patch in five is expected to be
    for seed in range(100):
        low, _ = every(picture, picture, np.random.default_rng(seed))
        unchanged += bool((low == picture).all(2).mean() > 0.7)
    assert least <= unchanged <= most


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"noise": 1.5}, r"degradation.noise is 1.5; expected a share from 0 to 1"),
        ({"blur_sigma": (2.0, 1.0)}, r"blur_sigma is \[2.0, 1.0\]; expected two numbers above 0"),
        ({"jpeg_quality": (5.0,)}, r"jpeg_quality is \[5.0\]"),
        ({"rescale_by": (0.0, 1.0)}, r"rescale_by is \[0.0, 1.0\]"),
    ],
)
def test_wrong_shares_and_ranges(wrong, message):
    with pytest.raises(TrainingError, match=message):
        d.Degradation(**wrong)
