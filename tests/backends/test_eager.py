"""PyTorch as a backend: parity with the plain network, devices, precisions, memory."""

import math
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from imagen_fast.backends.eager import Eager
from imagen_fast.bundle import Bundle
from imagen_fast.errors import BackendError
from imagen_fast.metrics import luma_psnr
from imagen_fast.models.build import build

TILES = np.random.default_rng(0).integers(0, 256, (2, 19, 26, 3), np.uint8)


def truth(bundle: Bundle) -> np.ndarray:
    """The network in float64 on `TILES`, clamped."""
    x = torch.from_numpy(TILES).permute(0, 3, 1, 2).double() / 255
    return build(bundle).double()(x).clamp(0, 1).permute(0, 2, 3, 1).numpy()


def test_parity_with_float64(small_bundle: Bundle) -> None:
    expected = truth(small_bundle)
    floats = Eager(small_bundle, device="cpu").run((TILES / 255).astype(np.float32))
    assert floats.dtype == np.float32
    assert np.abs(floats - expected).max() < 1e-5
    integers = Eager(small_bundle, device="cpu").run(TILES)
    assert integers.dtype == np.uint8
    assert integers.flags.c_contiguous
    assert np.abs(integers - 255 * expected).max() < 0.51


def test_bf16_is_close_and_is_bf16(small_bundle: Bundle) -> None:
    backend = Eager(small_bundle, device="cpu", precision="bf16")
    assert backend.precision == "bf16"
    output = backend.run((TILES / 255).astype(np.float32))
    error = np.sqrt(np.mean((output - truth(small_bundle)) ** 2))
    # The network is random and strong; on photographs with trained weights see below.
    assert 1e-5 < error < 1e-2


@pytest.mark.parametrize("name", ["sr-x2", "sr-x4"])
def test_bf16_on_a_photograph(name: str, data) -> None:
    from PIL import Image

    from imagen_fast.bundle import load_bundle
    from imagen_fast.catalogue import resolve

    with Image.open(data / "test/set5/butterfly.png") as image:
        tile = np.asarray(image.convert("RGB"))[None, 60:124, 60:124]
    bundle = load_bundle(resolve(name))
    exact = Eager(bundle, device="cpu").run(tile)[0]
    fast = Eager(bundle, device="cpu", precision="bf16").run(tile)[0]
    assert 50 <= luma_psnr(exact, fast) < math.inf


def test_prepare_leaves_nothing_behind(small_bundle: Bundle) -> None:
    backend = Eager(small_bundle, device="cpu")
    before = backend.run(TILES)
    backend.prepare((1, 8, 9))
    np.testing.assert_array_equal(backend.run(TILES), before)


@pytest.mark.filterwarnings("error")
def test_tiles_that_are_views_and_read_only(small_bundle: Bundle) -> None:
    backend = Eager(small_bundle, device="cpu")
    frozen = np.ascontiguousarray(TILES[:, ::2, ::-1])
    frozen.setflags(write=False)
    np.testing.assert_array_equal(backend.run(TILES[:, ::2, ::-1]), backend.run(frozen))


def test_running_out_of_memory_says_what_to_do(small_bundle: Bundle) -> None:
    backend = Eager(small_bundle, device="cpu")
    backend.prepare((1, 64, 64))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), hard))
    try:
        with pytest.raises(BackendError, match=r"out of memory on cpu for .*choose a smaller tile"):
            backend.prepare((1, 2048, 2048))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    backend.prepare((1, 64, 64))


def test_capacity_follows_the_width_of_the_network(
    small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagen_fast.backends.memory.available", lambda: 400 << 20)
    backend = Eager(small_bundle, device="cpu")
    assert backend.capacity == max((100 << 20) // (32 * 90), 192**2)
    monkeypatch.setattr("imagen_fast.backends.memory.available", lambda: 4 << 30)
    assert backend.capacity == (1 << 30) // (32 * 90)
    monkeypatch.setattr("imagen_fast.backends.memory.available", lambda: 0)
    assert backend.capacity == 192**2  # tiny tiles would be all halo


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "device 'gpu'; expected auto, cpu, cuda or cuda:N"),
        ({"device": "cuda:x"}, "expected auto, cpu, cuda or cuda:N"),
        ({"device": "cuda:"}, "expected auto, cpu, cuda or cuda:N"),
        ({"device": "cuda:99"}, "PyTorch finds .* CUDA devices; choose cpu, or check"),
        ({"device": "cpu", "precision": "fp16"}, "fp16 needs CUDA; on the cpu choose fp32 or bf16"),
        ({"precision": "int8"}, "precision 'int8'; expected one of auto, fp32, bf16, fp16"),
        ({"threads": 0}, "threads is 0; expected an integer from 1 to 1024"),
    ],
)
def test_what_is_not_to_be_had(options: dict[str, str], message: str, small_bundle: Bundle) -> None:
    with pytest.raises(BackendError, match=message):
        Eager(small_bundle, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_cuda_is_an_error(small_bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="PyTorch finds 0 CUDA devices"):
        Eager(small_bundle, device="cuda")
    assert Eager(small_bundle).device == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_cuda(precision: str, small_bundle: Bundle) -> None:
    backend = Eager(small_bundle, device="cuda", precision=precision)
    assert backend.device == "cuda:0"
    output = backend.run((TILES / 255).astype(np.float32))
    error = np.sqrt(np.mean((output - truth(small_bundle)) ** 2))
    assert error < (2e-3 if precision == "fp32" else 1e-2)  # fp32 may use tf32
