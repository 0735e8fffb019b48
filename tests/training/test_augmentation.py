import pytest
import torch

from imagen_fast.training import augmentation


def pictures(n=4, h=24, w=17):
    torch.manual_seed(0)
    return torch.rand(n, 3, h, w, requires_grad=True)


def test_nothing_happens_to_no_share():
    x = pictures()
    assert augmentation.augment(x, 0.0) is x


@pytest.mark.parametrize("change", ["recoloured", "moved", "hidden"])
def test_a_change_keeps_the_shape_and_lets_gradients_through(change):
    x = pictures()
    y = getattr(augmentation, change)(x)
    assert y.shape == x.shape
    assert not torch.equal(y, x)
    y.sum().backward()
    assert x.grad.abs().sum() > 0


def test_a_move_is_by_whole_pixels_and_brings_zeros_in():
    x = pictures(64)
    for before, after in zip(x, augmentation.moved(x), strict=True):
        shifts = [
            (down, right)
            for down in range(-3, 4)
            for right in range(-2, 3)
            if torch.equal(after, shifted(before, down, right))
        ]
        assert len(shifts) == 1


def shifted(x, down, right):
    _, h, w = x.shape
    y = torch.zeros_like(x)
    rows, columns = slice(max(0, down), h + min(0, down)), slice(max(0, right), w + min(0, right))
    from_rows = slice(max(0, -down), h + min(0, -down))
    from_columns = slice(max(0, -right), w + min(0, -right))
    y[:, rows, columns] = x[:, from_rows, from_columns]
    return y


def test_a_hidden_square_has_half_the_side_at_most():
    x = torch.ones(50, 3, 16, 16)
    gone = (augmentation.hidden(x) == 0).sum((1, 2, 3)) / 3
    assert gone.min() > 0
    assert gone.max() <= 8 * 8


def test_a_share_of_the_pictures_is_changed():
    x = torch.rand(400, 3, 8, 8)
    torch.manual_seed(0)
    same = (augmentation.augment(x, 0.2) == x).all((1, 2, 3)).float().mean()
    assert 0.4 < same < 0.62  # 0.8³
