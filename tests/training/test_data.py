import numpy as np
import pytest
import torch
from PIL import Image

from imagen_fast.errors import ImageError, TrainingError
from imagen_fast.image.degradation import Degradation, degrade
from imagen_fast.training.data import PatchSampler, load_pairs, unmatched

CPU = torch.device("cpu")


def numbered(height, width, first):
    """A picture whose pixels all differ: red and green count them."""
    count = first + np.arange(height * width).reshape(height, width)
    return np.stack([count % 256, count // 256, 0 * count], axis=2).astype(np.uint8)


def enlarged(low, scale):
    return low.repeat(scale, 0).repeat(scale, 1)


def sampler(lows, *, scale=1, patch=4, batch=64, seed=0):
    pairs = [(low, enlarged(low, scale)) for low in lows]
    return PatchSampler([pairs], weights=[1], patch=patch, batch=batch, seed=seed, device=CPU)


def numbers(patches):
    """The pixels' counts: (N, 3, p, p) → (N, p, p)."""
    values = (patches * 255).round().long()
    return values[:, 0] + 256 * values[:, 1]


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_high_patches_show_what_low_patches_show(scale):
    low, high = sampler([numbered(9, 13, 0), numbered(6, 5, 500)], scale=scale).next()
    assert low.shape == (64, 3, 4, 4)
    assert high.shape == (64, 3, 4 * scale, 4 * scale)
    assert low.dtype == high.dtype == torch.float32
    assert low.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        high, low.repeat_interleave(scale, 2).repeat_interleave(scale, 3), rtol=0, atol=0
    )


def test_patches_are_every_place_of_every_photograph_in_all_eight_turns():
    lows = [numbered(5, 6, 0), numbered(4, 4, 500)]
    expected = set()
    for low in lows:
        for top in range(low.shape[0] - 3):
            for left in range(low.shape[1] - 3):
                patch = torch.from_numpy(low[top : top + 4, left : left + 4].astype(np.float32))
                for turned in (patch, patch.transpose(0, 1)):
                    for k in range(4):
                        both = torch.rot90(turned, k).permute(2, 0, 1)[None] / 255
                        expected.add(tuple(numbers(both).flatten().tolist()))
    low, _ = sampler(lows, batch=2000).next()
    drawn = [tuple(n.flatten().tolist()) for n in numbers(low)]
    assert set(drawn) == expected
    assert len(expected) == (2 * 3 + 1) * 8
    assert max(map(drawn.count, expected)) < 3 * 2000 / len(expected)


def test_a_seed_gives_the_same_patches_and_its_state_goes_on():
    one, two = sampler([numbered(9, 9, 0)]), sampler([numbered(9, 9, 0)])
    assert torch.equal(one.next()[0], two.next()[0])
    state = one.generator.get_state()
    following = one.next()[0]
    assert not torch.equal(following, two.next()[0].flip(0))
    one.generator.set_state(state)
    assert torch.equal(one.next()[0], following)
    assert not torch.equal(sampler([numbered(9, 9, 0)], seed=1).next()[0], following)


def test_of_several_patches_the_one_with_most_detail_is_kept():
    flat, busy = np.full((20, 20, 3), 90, np.uint8), numbered(20, 20, 0)
    busy[::2, :, 1] = 255
    pairs = [(low, enlarged(low, 2)) for low in (flat, busy)]
    shares = []
    for detail in (1, 4):
        data = PatchSampler(
            [pairs], weights=[1], patch=4, batch=500, detail=detail, seed=0, device=CPU
        )
        low, high = data.next()
        assert torch.equal(high, low.repeat_interleave(2, 2).repeat_interleave(2, 3))
        shares.append((low.flatten(1).std(1) > 0.1).float().mean().item())
    assert shares[0] == pytest.approx(1 / 2, abs=0.1)  # any of the two photographs
    assert shares[1] == pytest.approx(1 - 1 / 2**4, abs=0.05)  # the busy one, if it was drawn


@pytest.mark.parametrize("scale", [1, 2])
def test_degraded_patches_follow_the_seed_and_their_targets_stay(scale):
    low = numbered(20, 20, 0)
    pairs = [[(low, low if scale == 1 else enlarged(low, scale))]]

    def batches(degradation):
        data = PatchSampler(
            pairs, weights=[1], patch=8, batch=6, seed=3, device=CPU, degradation=degradation
        )
        return data, data.next()

    noise = Degradation(grey=0, blur=0, rescale=0, jpeg=0, noise=1)
    data, (degraded, high) = batches(noise)
    _, (again, _) = batches(noise)
    assert torch.equal(degraded, again)
    state = data.generator.get_state()
    following = data.next()
    data.generator.set_state(state)
    assert all(map(torch.equal, data.next(), following))
    _, (clean, truth) = batches(Degradation(grey=0, blur=0, rescale=0, jpeg=0, noise=0))
    assert torch.equal(high, truth)
    assert torch.equal(clean.repeat_interleave(scale, 2).repeat_interleave(scale, 3), truth)
    off = (degraded - clean).flatten(1).std(1) * 255
    assert (off > 0.4).all()
    assert off.unique().numel() == 6


def test_processes_share_one_batch():
    whole, _ = sampler([numbered(9, 9, 0)], batch=6).next()
    for rank in range(3):
        share, _ = sampler([numbered(9, 9, 0)], batch=6).next(rank, 3)
        assert torch.equal(share, whole[rank::3])


@pytest.mark.parametrize("detail", [1, 4])
def test_folders_give_their_share_whatever_their_size_and_detail(detail):
    flat, small = np.full((40, 40, 3), 200, np.uint8), np.full((4, 4, 3), 250, np.uint8)
    busy = numbered(9, 9, 0)  # below 200 in blue, and the most detailed of all
    folders = [[(flat, flat), (flat, flat)], [(busy, busy)], [(small, small)]]
    data = PatchSampler(
        folders, weights=[6, 3, 1], patch=4, batch=4000, detail=detail, seed=0, device=CPU
    )
    blue = (data.next()[0][:, 2] * 255).round().amax((1, 2))
    shares = [(blue == value).float().mean().item() for value in (200, 0, 250)]
    assert shares == pytest.approx([0.6, 0.3, 0.1], abs=0.025)


def test_within_a_folder_every_place_is_as_likely():
    lows = [numbered(4, 13, 0), numbered(4, 4, 500)]  # ten places and one
    pairs, other = [(low, low) for low in lows], np.full((4, 4, 3), 255, np.uint8)
    data = PatchSampler(
        [[(other, other)], pairs], weights=[1, 1], patch=4, batch=4000, seed=0, device=CPU
    )
    first = numbers(data.next()[0]).amin((1, 2))
    of_folder = first[first < 1000]
    assert len(of_folder) == pytest.approx(2000, abs=120)
    counts = torch.bincount(of_folder)
    assert counts[counts > 0].tolist() == pytest.approx([len(of_folder) / 11] * 11, rel=0.3)


def test_pictures_smaller_than_a_patch_are_left_out(tmp_path):
    Image.new("RGB", (80, 6)).save(tmp_path / "narrow.png")
    with pytest.raises(TrainingError, match=r"holds no picture to use.*at least 8 pixels a side"):
        load_pairs(tmp_path, 2, side=4)
    Image.new("RGB", (9, 8)).save(tmp_path / "right.png")
    assert [low.shape for low, _ in load_pairs(tmp_path, 2, side=4).values()] == [(4, 4, 3)]
    assert len(load_pairs(tmp_path, 2)) == 2


def test_names_and_patterns_leave_files_out_and_those_that_fit_none_are_told(tmp_path):
    (tmp_path / "in").mkdir()
    names = ["a_009_x.png", "a_010_9.png", "in/a_019_y.png", "b[1].png", "B.png"]
    for number, name in enumerate(names):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / name)

    def kept(*exclude):
        return sorted(int(high[0, 0, 0]) for _, high in load_pairs(tmp_path, 1, exclude).values())

    assert kept() == [0, 1, 2, 3, 4]
    assert kept("a_??9_*") == [1, 3, 4]
    assert kept("b[1].png", "b.png") == [0, 1, 2, 4]  # a name may look like a pattern
    assert kept("[aB]*") == [3]
    exclude = ["a_??9_*", "b[1].png", "c*", "a_009"]
    assert unmatched(exclude, [tmp_path / "in", tmp_path]) == ["c*", "a_009"]


def test_at_scale_one_the_small_picture_is_the_large_one():
    picture = numbered(7, 5, 3)
    low, high = degrade(picture, 1)
    assert np.array_equal(low, picture)
    assert np.array_equal(high, picture)


def test_degrading_crops_to_whole_pixels_and_keeps_a_flat_colour():
    picture = np.full((11, 9, 3), (7, 200, 255), np.uint8)
    picture[9:], picture[:, 8:] = 0, 0
    low, high = degrade(picture, 4)
    assert high.shape == (8, 8, 3)
    assert low.shape == (2, 2, 3)
    assert (low == (7, 200, 255)).all()


def test_hidden_files_are_no_pictures_and_avif_is_one(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.avif")
    (tmp_path / "._a.png").write_bytes(b"what macOS leaves beside a.png")
    assert list(load_pairs(tmp_path, 2)) == ["a.avif"]


def test_pictures_of_every_kind_become_rgb(tmp_path):
    (tmp_path / "inner").mkdir()
    Image.new("L", (8, 6), 100).save(tmp_path / "inner" / "grey.png")
    Image.new("RGBA", (8, 6), (1, 2, 3, 0)).save(tmp_path / "alpha.PNG")
    Image.fromarray(np.full((6, 8), 100 * 257, np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "notes.txt").write_text("no picture")
    pairs = load_pairs(tmp_path, 2).values()
    assert [tuple(low[0, 0]) for low, _ in pairs] == [(1, 2, 3), (100, 100, 100), (100, 100, 100)]
    assert {high.shape for _, high in pairs} == {(6, 8, 3)}
    assert len(load_pairs(tmp_path, 2, exclude=["grey.png"])) == 2


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(TrainingError, match="nowhere is no folder"):
        load_pairs(tmp_path / "nowhere", 2)
    with pytest.raises(TrainingError, match="holds no picture to use"):
        load_pairs(tmp_path, 2)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    with pytest.raises(ImageError, match=r"broken\.png"):
        load_pairs(tmp_path, 2)
