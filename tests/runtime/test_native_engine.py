"""The native engine's manners: threads, forks, refusals, and its place among the backends."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imagen_fast import backends
from imagen_fast.backends import NonFiniteError
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.errors import BackendError, WeightsError
from imagen_fast.spec import Level, ModelSpec

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

IMAGE = np.random.default_rng(0).integers(0, 256, (1, 33, 41, 3), np.uint8)


def engine_of(bundle: Bundle, **options: object) -> "_native.Engine":
    return _native.Engine(bundle.graph.to_json(), bundle.tensors, **options)


def result(engine: "_native.Engine", image: np.ndarray = IMAGE) -> np.ndarray:
    outputs = engine.run({"image": image}, ["picture"])
    assert outputs is not None
    return outputs["picture"]


def test_threads_change_nothing(tiny_bundle: Bundle) -> None:
    expected = result(engine_of(tiny_bundle))
    for threads in (2, 3, 5):
        engine = engine_of(tiny_bundle, threads=threads)
        assert engine.threads == threads
        for _ in range(3):
            np.testing.assert_array_equal(result(engine), expected)


def test_shapes_in_turn_and_pictures_in_a_batch(tiny_bundle: Bundle) -> None:
    """What an earlier, larger picture left behind must not show."""
    engine = engine_of(tiny_bundle)
    alone = [result(engine, IMAGE[:, :h, :w].copy()) for h, w in ((33, 41), (5, 7), (33, 41))]
    np.testing.assert_array_equal(alone[0], alone[2])
    batch = np.concatenate([IMAGE, IMAGE[:, ::-1], IMAGE])
    out = result(engine, batch)
    np.testing.assert_array_equal(out[0], alone[0][0])
    np.testing.assert_array_equal(out[2], alone[0][0])
    assert (out[1] != out[0]).any()


@pytest.mark.parametrize("channels", [32, 24])  # 24: pixels are padded to 32 channels
def test_memory_of_the_shape_before(
    channels: int, bundle_of: Callable[[ModelSpec], Bundle]
) -> None:
    """Buffers are used again: nothing of what they held may reach the next picture."""
    levels = (Level(channels), Level(2 * channels))
    bundle = bundle_of(ModelSpec(scale=2, levels=levels, head_dim=channels))
    native = backends.backend_class("native")
    backend = native(bundle, precision="fp32")
    poison = np.full((1, 33, 41, 3), np.nan, np.float32)
    for h, w in ((5, 7), (33, 40), (16, 41), (1, 1)):
        image = IMAGE[:, :h, :w].astype(np.float32) / 255
        fresh = native(bundle, precision="fp32")
        features = fresh.run({"image": image[:, ::-1]}, ["features.0", "features.1"])
        context = {name.replace("features", "context"): x for name, x in features.items()}
        for given, wanted in (
            ({"image": image}, ["picture"]),
            ({"image": image, **context}, ["picture.1", "picture"]),
        ):
            expected = fresh.run(given, wanted)
            with pytest.raises(NonFiniteError):
                backend.run(poison)
            for name, ours in backend.run(given, wanted).items():
                np.testing.assert_array_equal(ours, expected[name])


def test_engines_and_threads_at_once(tiny_bundle: Bundle, small_bundle: Bundle) -> None:
    engines = [engine_of(tiny_bundle, threads=2), engine_of(small_bundle, threads=2)]
    expected = [result(engine) for engine in engines]
    wrong: list[int] = []

    def work(which: int) -> None:
        for _ in range(5):
            if (result(engines[which]) != expected[which]).any():
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_after_fork(small_bundle: Bundle, tmp_path: Path) -> None:
    """In a process of its own, because this one has other libraries' threads."""
    code = """
import os, sys, numpy as np
from imagen_fast import _native
engine = _native.Engine.load(sys.argv[1], threads=2)
image = np.arange(40 * 40 * 3, dtype=np.uint8).reshape(1, 40, 40, 3)
run = lambda: engine.run({"image": image}, ["picture"])["picture"]
before = run()
child = os.fork()
same = bool((run() == before).all())
if not child:
    del engine
    os._exit(0 if same else 1)
assert same
assert os.waitpid(child, 0)[1] == 0
"""
    save_bundle(small_bundle, tmp_path / "m.safetensors")
    command = [sys.executable, "-c", code, str(tmp_path / "m.safetensors")]
    subprocess.run(command, check=True, timeout=60)


def test_what_cannot_run_is_refused(small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match=r"no instruction set 'sse9'; expected .*, generic"):
        engine_of(small_bundle, isa="sse9")
    with pytest.raises(BackendError, match="'generic' computes in fp32, not in bf16"):
        engine_of(small_bundle, isa="generic", precision="bf16")
    monkeypatch.setenv("IMAGEN_FAST_ISA", "generic")
    assert engine_of(small_bundle).isa == "generic"
    monkeypatch.setenv("IMAGEN_FAST_ISA", "nonsense")
    assert engine_of(small_bundle, isa="generic").isa == "generic"
    with pytest.raises(BackendError, match=r"'nonsense' \(from IMAGEN_FAST_ISA\); expected"):
        engine_of(small_bundle)


def test_tensors_that_do_not_fit(small_bundle: Bundle) -> None:
    graph, tensors = small_bundle.graph.to_json(), small_bundle.tensors
    name = "encoder.stem.weight"
    for wrong, message in (
        ({k: v for k, v in tensors.items() if k != name}, f"{name} is missing"),
        ({**tensors, "other": np.zeros(1, np.float32)}, "there are"),
        ({**tensors, name: np.zeros((32, 3, 3), np.float32)}, "expected \\(32, 3, 3, 3\\)"),
        ({**tensors, name: np.full((32, 3, 3, 3), np.nan, np.float32)}, "not finite"),
        ({**tensors, name: np.zeros((32, 3, 3, 3))}, "float32 or float16"),
        ({**tensors, name: np.zeros((3, 3, 3, 32), np.float32).T}, "C-contiguous"),
    ):
        with pytest.raises(WeightsError, match=message):
            _native.Engine(graph, wrong)


def test_arrays_that_do_not_fit(small_bundle: Bundle) -> None:
    engine = engine_of(small_bundle)
    floats = IMAGE.astype(np.float32)
    for given, wanted, message in (
        ({"image": IMAGE[0]}, ["picture"], r"of shape \(N, H, W, C\)"),
        ({"image": IMAGE.astype(np.int16)}, ["picture"], "C-contiguous array of float32"),
        ({"image": IMAGE[..., :2].copy()}, ["picture"], r"of shape \(1, 33, 41, 3\)"),
        ({"image": IMAGE[:, ::2]}, ["picture"], "C-contiguous"),
        ({"image": IMAGE[:, :0]}, ["picture"], "cannot run tiles"),
        ({"image": IMAGE}, [], "needs an input and an output"),
        ({}, ["picture"], "needs an input and an output"),
        ({"image": IMAGE}, ["film"], "no output 'film'; it has picture, "),
        ({"film": IMAGE}, ["picture"], "no input 'film'; it has image, "),
        ({"context.0": floats[..., :1].repeat(32, 3)}, ["picture"], "'image' is needed"),
    ):
        with pytest.raises(BackendError, match=message):
            engine.run(given, wanted)


def test_the_default_on_a_cpu(small_bundle: Bundle) -> None:
    chosen, why = backends.choose("auto", "cpu")
    assert chosen.name == "native"
    assert "auto" in why
    backend = chosen(small_bundle, device="cpu", threads=2)
    assert (backend.device, backend.threads) == ("cpu", 2)
    assert backend.precision == _native.preferred_precision()
    engine = engine_of(small_bundle, precision=backend.precision)
    np.testing.assert_array_equal(backend.run(IMAGE), result(engine))
    np.testing.assert_array_equal(  # strides are no obstacle
        backend.run(IMAGE[:, ::-1]), result(engine, IMAGE[:, ::-1].copy())
    )
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(IMAGE)


def test_orders_it_refuses(small_bundle: Bundle) -> None:
    native = backends.backend_class("native")
    with pytest.raises(BackendError, match="cpu only"):
        native(small_bundle, device="cuda")
    with pytest.raises(BackendError, match="fp16"):
        native(small_bundle, precision="fp16")


MISSING = [
    isa
    for isa in ("amx", "avx512_bf16", "avx512", "avx2")
    if isa not in _native.available("bf16") + _native.available("fp32")
]


@pytest.mark.skipif(not MISSING, reason="this processor has every instruction set")
def test_an_instruction_set_that_is_not_here(small_bundle: Bundle) -> None:
    native = backends.backend_class("native")
    for isa in MISSING:
        with pytest.raises(BackendError, match=f"'{isa}' in .* cannot run here"):
            native(small_bundle, isa=isa)


def test_without_torch(small_bundle: Bundle, tmp_path: Path) -> None:
    save_bundle(small_bundle, tmp_path / "m.safetensors")
    code = (
        "import sys, numpy as np, imagen_fast\n"
        "engine = imagen_fast.load(sys.argv[1], device='cpu')\n"
        "assert engine(np.zeros((20, 30, 3), np.uint8)).shape == (40, 60, 3)\n"
        "assert engine.info()['backend'] == 'native'\n"
        "assert 'torch' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m.safetensors")]
    environment = {k: v for k, v in os.environ.items() if k != "IMAGEN_FAST_ISA"}
    subprocess.run(command, check=True, timeout=60, env=environment)
