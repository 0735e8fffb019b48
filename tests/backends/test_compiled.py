"""torch.compile as a backend: the same numbers, by code that was really compiled."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch._dynamo
from torch._dynamo.utils import counters

from imagen_fast.backends import backend_class
from imagen_fast.backends.eager import Eager
from imagen_fast.bundle import Bundle
from imagen_fast.spec import Level, ModelSpec

Compiled = backend_class("compiled")

pytestmark = pytest.mark.skipif(Compiled.missing() is not None, reason=str(Compiled.missing()))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # PyTorch's own
def test_compiled_gives_what_eager_gives(bundle_of: Callable[[ModelSpec], Bundle]) -> None:
    # As little as there can be in a network: a compiler takes half a minute for it.
    bundle = bundle_of(ModelSpec(scale=2, levels=(Level(32, convs=0),)))
    torch._dynamo.reset()
    counters.clear()
    backend, eager = Compiled(bundle, device="cpu"), Eager(bundle, device="cpu")
    tiles = np.random.default_rng(0).random((1, 16, 24, 3), np.float32)
    for image in (tiles, 1 - tiles):
        np.testing.assert_allclose(backend.run(image), eager.run(image), atol=1e-5)
    assert counters["stats"]["unique_graphs"] == 1  # not broken in two, and not compiled twice
    assert not counters["graph_break"]


def test_more_shapes_than_are_kept(
    bundle_of: Callable[[ModelSpec], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced but not compiled, which is what counts the shapes and takes no time."""
    monkeypatch.setattr("imagen_fast.backends.compiled.SHAPES", 2)
    monkeypatch.setattr(Compiled, "compiler", "eager")
    bundle = bundle_of(ModelSpec(scale=2, levels=(Level(32, convs=0),)))
    torch._dynamo.reset()
    backend, eager = Compiled(bundle, device="cpu"), Eager(bundle, device="cpu")
    for width in (8, 16, 24, 32, 40, 8):
        tiles = np.random.default_rng(0).random((1, 8, width, 3), np.float32)
        np.testing.assert_allclose(backend.run(tiles), eager.run(tiles), atol=1e-5)
