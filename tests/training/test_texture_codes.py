import pytest
import torch
import torch.nn.functional as F

from imagen_fast.training import resemblance
from imagen_fast.training.texture_codes import TextureCodes
from imagen_fast.training.texture_statistics import FILTERS, SIDE, TextureStatistics


def stripes(period: int, across: bool, number: int) -> torch.Tensor:
    """(1, 3, 64, 64), beginning anywhere; they wave, so that all phases are in one picture."""
    along = torch.arange(64)
    bent = along + number + period / 2 * torch.sin((along[:, None] + number) * torch.pi / 32)
    plane = 0.5 + 0.3 * torch.sin(bent * 2 * torch.pi / period)
    return (plane if across else plane.T).expand(1, 3, 64, 64)


@pytest.fixture(scope="module")
def statistics():
    return TextureStatistics()


def test_there_are_as_many_numbers_as_said(statistics):
    assert statistics(torch.rand(2, 3, 32, 48)).shape == (2, sum(statistics.groups))


def test_a_texture_moved_is_the_same_and_one_turned_is_another(statistics):
    here, there, other = (
        statistics(stripes(8, across, number))
        for across, number in ((True, 0), (True, 3), (False, 0))
    )
    assert 3 * (here - there).norm() < (here - other).norm()


def test_what_judges_has_other_filters(statistics):
    random = torch.Generator().manual_seed(0)
    judging = torch.randn(
        resemblance.FILTERS, 3, resemblance.SIDE, resemblance.SIDE, generator=random
    )
    judging = F.pad(judging, (1, 1, 1, 1)).flatten(1)  # 5 × 5 in the middle of 7 × 7
    likeness = F.normalize(statistics.filters.flatten(1)) @ F.normalize(judging).T
    assert likeness.shape == (FILTERS, resemblance.FILTERS)
    assert likeness.abs().max() < 6 / (3 * SIDE**2) ** 0.5  # what chance gives


def test_codes_are_normal_and_near_where_patches_look_alike(statistics):
    torch.manual_seed(0)
    colours, contrast = torch.rand(2, 256, 1, 1, 1)
    tint = torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1)
    pictures = 0.5 + 0.3 * contrast * (torch.rand(256, 3, 32, 32) - 0.5) + 0.3 * colours * tint
    codes = TextureCodes(statistics, pictures, 2).codes
    assert codes.shape == (256, 2)
    torch.testing.assert_close(codes.mean(0), torch.zeros(2), atol=0.1, rtol=0)
    torch.testing.assert_close(codes.T @ codes / 256, torch.eye(2), atol=0.15, rtol=0)
    looks = torch.cat([colours, contrast], 1).flatten(1)  # (256, 2): all that differs
    distances = torch.cdist(codes, codes)
    nearest = torch.cdist(looks, looks).fill_diagonal_(torch.inf).argmin(1)
    assert 3 * distances.gather(1, nearest[:, None]).mean() < distances.mean()


def test_the_distance_is_least_for_the_patch_itself(statistics):
    pictures = torch.cat(
        [stripes(period, across, number) for period in (3, 6, 12) for across in (True, False)
         for number in range(3)]
    )  # fmt: skip
    codes = TextureCodes(statistics, pictures, 2)
    first, twice = torch.tensor([0]), pictures[:1].repeat(2, 1, 1, 1)
    same = codes.distance(twice, first)
    assert codes.distance(twice, torch.tensor([17])) > same + 1
    assert codes.distance(twice + 1, first) > same + 1  # outside of [0, 1]


def test_one_pattern_for_all_is_worse_than_as_many_as_there_are(statistics):
    """Of noise, which nobody can foretell, other noise is better than the mean or a sample."""
    torch.manual_seed(0)
    real = torch.rand(64, 3, 32, 32)
    codes, every = TextureCodes(statistics, real, 2), torch.arange(64)
    other = codes.distance(torch.rand(128, 3, 32, 32), every)
    assert other < codes.distance(torch.full((128, 3, 32, 32), 0.5), every)
    assert other < codes.distance(torch.rand(1, 3, 32, 32).repeat(128, 1, 1, 1), every)


def test_pictures_drawn_as_patches_are_are_least_unlike_all_of_them(statistics):
    torch.manual_seed(0)
    number = 256  # with a few dozen, chance moves the distances by as much as they differ
    contrasts = torch.rand(2 * number, 1, 1, 1)
    real = 0.5 + contrasts * (torch.rand(2 * number, 3, 32, 32) - 0.5)
    codes = TextureCodes(statistics, real[:number], 2)
    others = codes.unlike(real[number:])
    flatter = codes.unlike(0.5 + 0.6 * (real[number:] - 0.5))
    of_one_kind = codes.unlike(0.5 + 0.5 * (torch.rand(number, 3, 32, 32) - 0.5))
    assert 2 * others < min(flatter, of_one_kind)
