"""What is not finite is computed again in fp32, or an error."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noise import noise
from numpy.typing import NDArray

from imagen_fast import load
from imagen_fast.backends import NonFiniteError
from imagen_fast.backends.fake import Fake
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.engine import Engine
from imagen_fast.errors import BackendError

Samples = NDArray[Any]


def precisions() -> list[str]:
    """Those that the native engine computes in here, or any where there is none."""
    try:
        from imagen_fast._native import available
    except ImportError:
        return ["fp32", "bf16"]
    return [precision for precision in ("fp32", "bf16") if available(precision)]


class Overflowing(Fake):
    """Works in fp32 only, as a half-precision backend does when its weights are large."""

    def repeated(self, tiles: Samples) -> Samples:
        if self.precision != "fp32":
            raise NonFiniteError(f"the output is not finite in {self.precision}")
        return super().repeated(tiles)


def test_what_is_not_finite_is_computed_again_in_fp32(tiny_bundle: Bundle) -> None:
    engine = Engine(Overflowing(tiny_bundle, precision="bf16"), tile=32, overlap=8)
    image = noise(40, 40, 3)
    with pytest.warns(RuntimeWarning, match="not finite in bf16; this part is computed in fp32"):
        output = engine(image)
    np.testing.assert_array_equal(output, image.repeat(2, 0).repeat(2, 1))
    assert engine.info()["precision"] == "bf16"
    assert engine.reruns == 4  # tiles


class OverflowingOnWhite(Fake):
    """As `Overflowing`, but only where there is a white pixel, and halves what it computes."""

    def repeated(self, tiles: Samples) -> Samples:
        if self.precision == "fp32":
            return super().repeated(tiles)
        if (tiles == 255).any():
            raise NonFiniteError(f"the output is not finite in {self.precision}")
        return super().repeated(tiles // 2)


def test_of_a_batch_only_the_tile_that_overflows_is_computed_again(tiny_bundle: Bundle) -> None:
    engine = Engine(OverflowingOnWhite(tiny_bundle, precision="bf16"))
    batch = np.stack([noise(8, 8, 3, seed=i) // 2 for i in range(3)])
    batch[1, 2, 3] = 255
    with pytest.warns(RuntimeWarning, match="not finite in bf16"):
        output = engine.run(batch)
    expected = np.stack([batch[0] // 2, batch[1], batch[2] // 2])
    np.testing.assert_array_equal(output, expected.repeat(2, 1).repeat(2, 2))
    assert engine.reruns == 1
    with pytest.warns(RuntimeWarning, match="not finite in bf16"):
        named = engine.compute({"image": batch}, ["picture"])
    np.testing.assert_array_equal(named["picture"], output)
    assert engine.reruns == 2


@pytest.mark.filterwarnings("ignore:the output is not finite in bf16")
def test_weights_that_overflow_are_an_error(tiny_bundle: Bundle, tmp_path: Path) -> None:
    tensors = {name: t * np.float32(1e25) for name, t in tiny_bundle.tensors.items()}
    save_bundle(Bundle(tiny_bundle.spec, tensors), tmp_path / "wild.safetensors")
    for precision in precisions():
        with (
            load(tmp_path / "wild.safetensors", device="cpu", precision=precision) as engine,
            pytest.raises(BackendError, match="'wild' gives infinities or NaN even in fp32"),
        ):
            engine(noise(8, 8, 3))
