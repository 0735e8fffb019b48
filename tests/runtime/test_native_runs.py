"""Runs of the native engine that end early, and the threads that run it."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from imagen_fast.backends import Backend
from imagen_fast.bundle import Bundle
from imagen_fast.errors import BackendError

native = pytest.importorskip("imagen_fast.backends.native")
_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

SMALL = np.random.default_rng(0).integers(0, 256, (1, 20, 24, 3), np.uint8)
# On the generic kernels this takes many seconds, an end to which takes none.
LARGE = np.zeros((1, 1000, 1000, 3), np.uint8)


def engine_of(bundle: Bundle, **options: object) -> "_native.Engine":
    return _native.Engine(bundle.graph.to_json(), bundle.tensors, **options)


def own_threads() -> set[int]:
    """Of this process, as the system numbers them."""
    return {int(path.name) for path in Path("/proc/self/task").iterdir()}


def enlarged(engine: "_native.Engine") -> np.ndarray:
    outputs = engine.run({"image": SMALL}, ["picture"])
    assert outputs is not None
    return outputs["picture"]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_run_is_cancelled_and_the_engine_goes_on(threads: int, tiny_bundle: Bundle) -> None:
    engine = engine_of(tiny_bundle, isa="generic", threads=threads)
    expected = enlarged(engine)
    engine.cancel()  # nothing is running: nothing happens
    engine.prepare({"image": (1, 1000, 1000)}, ["picture"])
    threading.Timer(0.5, engine.cancel).start()
    start = time.process_time()  # which others at work on the machine do not prolong
    with pytest.raises(BackendError, match="cancelled"):
        engine.run({"image": LARGE}, ["picture"])
    assert time.process_time() - start < 5
    np.testing.assert_array_equal(enlarged(engine), expected)


def test_ctrl_c_ends_a_run(tiny_path: Path) -> None:
    code = f"""
import numpy as np
from imagen_fast import _native
engine = _native.Engine.load({str(tiny_path)!r}, isa="generic", threads=2)
engine.prepare({{"image": (1, 1000, 1000)}}, ["picture"])
print("ready", flush=True)
try:
    engine.run({{"image": np.zeros((1, 1000, 1000, 3), np.uint8)}}, ["picture"])
except KeyboardInterrupt:
    print(bool(engine.run({{"image": np.zeros((1, 9, 9, 3), np.uint8)}}, ["picture"])))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10)[0] == "True\n"


def test_threads_are_bound_and_spin_as_asked(small_bundle: Bundle) -> None:
    core = min(os.sched_getaffinity(0))
    before = own_threads()
    engine = engine_of(small_bundle, threads=3, spin_us=0, cores=[core])
    enlarged(engine)
    own = own_threads() - before
    assert len(own) == 2
    assert all(os.sched_getaffinity(thread) == {core} for thread in own)
    assert os.sched_getaffinity(0) != {core} or len(os.sched_getaffinity(0)) == 1


@pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="needs two cores")
def test_unbound_threads_keep_off_the_callers_core(small_bundle: Bundle) -> None:
    """There they would wait for the caller, and the caller for them."""
    allowed = os.sched_getaffinity(0)
    core = max(allowed)
    os.sched_setaffinity(0, {core})  # the calling thread alone
    try:
        before = own_threads()
        engine = engine_of(small_bundle, threads=2)
        enlarged(engine)
        os.sched_setaffinity(0, allowed)
        for _ in range(20):
            enlarged(engine)
        (own,) = own_threads() - before
        kept = os.sched_getaffinity(own)
    finally:
        os.sched_setaffinity(0, allowed)
    assert kept < allowed
    assert len(kept) == len(allowed) - 1


def test_a_pool_at_rest_costs_nothing(tiny_bundle: Bundle) -> None:
    engine = engine_of(tiny_bundle, threads=4)
    enlarged(engine)
    time.sleep(0.05)
    spent = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - spent < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads is 0; expected 1 to 1024"),
        ({"threads": 5000}, "threads is 5000"),
        ({"spin_us": -1}, "spin is -1 microseconds"),
        ({"cores": [100_000]}, "cannot be bound to core 100000"),
    ],
)
def test_impossible_pools(options: dict[str, object], message: str, small_bundle: Bundle) -> None:
    with pytest.raises(BackendError, match=message):
        engine_of(small_bundle, **options)


def test_the_environment_configures_the_pool(
    small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = min(os.sched_getaffinity(0))
    monkeypatch.setenv("IMAGEN_FAST_CORES", f"{core},{core}")
    monkeypatch.setenv("IMAGEN_FAST_SPIN_US", "0")
    backend: Backend = native.Native(small_bundle, threads=2)
    before = own_threads()
    backend.run(SMALL)
    (own,) = own_threads() - before
    assert os.sched_getaffinity(own) == {core}
    monkeypatch.setenv("IMAGEN_FAST_CORES", "first")
    with pytest.raises(BackendError, match="expected integers"):
        native.Native(small_bundle)


def test_beside_pytorchs_threads(tiny_bundle: Bundle) -> None:
    """Two pools that both spin would take each other's cores: neither may become much slower."""
    torch = pytest.importorskip("torch")
    engine = engine_of(tiny_bundle, threads=2)
    given = {"image": np.tile(SMALL, (1, 4, 4, 1))}
    matrix = torch.ones(256, 256)

    def medians(*calls: object) -> list[float]:
        times: list[list[float]] = [[] for _ in calls]
        for _ in range(15):
            for call, took in zip(calls, times, strict=True):
                start = time.perf_counter()
                call()  # type: ignore[operator]
                took.append(time.perf_counter() - start)
        return [sorted(took)[7] for took in times]

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        (alone,) = medians(lambda: engine.run(given, ["picture"]))
        beside, _ = medians(lambda: engine.run(given, ["picture"]), lambda: matrix @ matrix)
    finally:
        torch.set_num_threads(threads)
    assert beside < 3 * alone


# What a daemon thread does again and again, `engine` being a model of scale 2.
INSIDE = {
    "run": "engine.run({'image': tiles}, ['picture'])",
    "features": "engine.run({'image': tiles / np.float32(255)}, ['features.0', 'features.1'])",
    "prepare": "n = 300 - n; engine.prepare({'image': (1, n, n)}, ['picture'])",
    "load": "_native.Engine.load(sys.argv[1])",
    "Engine": "_native.Engine(bundle.graph.to_json(), bundle.tensors)",
    "the picture API": "whole(tiles[0])",
}


@pytest.mark.parametrize("call", INSIDE.values(), ids=INSIDE)
def test_the_interpreter_ends_while_a_daemon_thread_is_inside(call: str, tiny_path: Path) -> None:
    """It must not wake up in an interpreter that is gone. Where it is then is left to chance."""
    code = f"""
import sys, threading, time, warnings
import numpy as np
import imagen_fast
warnings.simplefilter("ignore")  # two threads on one core
from imagen_fast import _native
from imagen_fast.bundle import load_bundle
bundle = load_bundle(sys.argv[1])
engine = _native.Engine.load(sys.argv[1], threads=2)
whole = imagen_fast.load(sys.argv[1], threads=2)
tiles = np.zeros((1, 60, 60, 3), np.uint8)
inside = threading.Event()
def work():
    n = 200
    while True:
        {call}
        inside.set()
threading.Thread(target=work, daemon=True).start()
inside.wait()
time.sleep(float(sys.argv[2]))
"""
    for pause in (0, 0.004, 0.01, 0.02):
        done = subprocess.run(
            [sys.executable, "-c", code, tiny_path, str(pause)],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
