"""What this machine can do at most: its rate of matrix products and its memory's bandwidth.

    python -m imagen_fast.bench.roofline

answers in a process of its own. The rate is the best that anything reaches here: NumPy's product,
PyTorch's where it is installed, and the native engine's on a network of little else (which has
bf16 where NumPy has none). So no runtime can beat it by being measured against a slow product.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import product
from typing import Any

import numpy as np

from imagen_fast.backends.native import Native
from imagen_fast.bench.process import Child, serve
from imagen_fast.bench.runtimes.yardstick import environment
from imagen_fast.bundle import Bundle
from imagen_fast.graph import network
from imagen_fast.graph.cost import flops
from imagen_fast.spec import Level, ModelSpec

# Sides of matrices. Small ones, which take a millisecond: on a busy machine some of their runs are
# left in peace, and a limit is what is reached in peace.
SIDES = (512, 1024)
SIDES_ON_GPU = (4096, 8192)
WIDTH, ROWS = 512, 256  # of the native engine's weights, and rows that they are applied to
STREAM = 128 << 20  # bytes copied, far more than a cache holds
WIDTHS = {"fp32": 4, "bf16": 2, "fp16": 2}  # bytes of a number


@dataclass(frozen=True)
class Roofline:
    """GFLOP/s by precision and by whom they were reached, and GB/s read and written together."""

    gflops: dict[str, float]
    reached_by: dict[str, str]
    bandwidth: float

    def attainable(self, precision: str, intensity: float) -> float | None:
        """GFLOP/s at so many FLOPs a byte; None where the precision was not measured."""
        if precision not in self.gflops:
            return None
        return min(self.gflops[precision], self.bandwidth * intensity)


def measure(threads: int, device: str, each: float, seconds: float) -> Roofline:
    """Give each rate `each` seconds. Raises BenchmarkError if all take longer than `seconds`."""
    request = {"threads": threads, "device": device, "each": each}
    with Child(["-m", "imagen_fast.bench.roofline"], environment(threads)) as child:
        return Roofline(**child.ask(request, seconds))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """All that can be measured here."""
    threads, device, each = request["threads"], request["device"], request["each"]
    found: list[tuple[str, str, float]] = []  # precision, by whom, GFLOP/s
    if device == "cpu":
        found += [*_numpy(each), *_native(threads, each)]
        bandwidth = _copy(threads, each)
    if find_spec("torch"):
        found += _torch(threads, device, each)
        if device != "cpu":
            bandwidth = _copy_on_gpu(device, each)
    best: dict[str, tuple[float, str]] = {}
    for precision, who, rate in found:
        best[precision] = max(best.get(precision, (0.0, "")), (rate, who))
    return {
        "gflops": {precision: round(rate, 1) for precision, (rate, _) in best.items()},
        "reached_by": {precision: who for precision, (_, who) in best.items()},
        "bandwidth": round(bandwidth, 2),
    }


def _shortest(run: Callable[[], object], seconds: float) -> float:
    """Seconds of the fastest run: the machine's limit, not its mood."""
    run()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def _numpy(each: float) -> list[tuple[str, str, float]]:
    found = []
    for side in SIDES:
        a = np.random.default_rng(0).standard_normal((side, side), np.float32)
        seconds = _shortest(partial(np.matmul, a, a, out=np.empty_like(a)), each)
        found.append(("fp32", "NumPy", 2 * side**3 / seconds / 1e9))
    return found


def _native(threads: int, each: float) -> list[tuple[str, str, float]]:
    """Linear layers of a listing, the widest network that the engine has."""
    if Native.missing():
        return []
    from imagen_fast import _native

    level = Level(WIDTH, depth=1, convs=0, attention="global")
    spec = ModelSpec("listing", scale=1, levels=(level,), head_dim=WIDTH)
    rng = np.random.default_rng(0)
    tensors = {}
    for part in ("encoder", "decoder"):
        for linear in "q", "k", "v", "out":
            name, c = f"{part}.0.{linear}", level.channels
            tensors[f"{name}.weight"] = 0.02 * rng.standard_normal((c, c), np.float32)
            tensors[f"{name}.bias"] = np.zeros(c, np.float32)
    x = rng.standard_normal((1, 1, ROWS, level.channels), np.float32)
    found = []
    for precision in ("fp32", "bf16"):
        for isa in _native.available(precision)[:1]:  # the best, whatever the environment says
            backend = Native(Bundle(spec, tensors), precision=precision, threads=threads, isa=isa)
            seconds = _shortest(partial(backend.run, x), each)
            found.append((precision, "native", flops(network(spec), 1, ROWS) / seconds / 1e9))
            backend.close()
    return found


def _torch(threads: int, device: str, each: float) -> list[tuple[str, str, float]]:
    import torch

    torch.set_num_threads(threads)
    types = {"fp32": torch.float32, "bf16": torch.bfloat16}
    if device != "cpu":
        types["fp16"] = torch.float16
    found = []
    sides = SIDES if device == "cpu" else SIDES_ON_GPU
    for side, (precision, dtype) in product(sides, types.items()):
        a = torch.randn(side, side, device=device).to(dtype)

        def multiply(a: torch.Tensor = a) -> None:
            torch.mm(a, a)
            if device != "cpu":
                torch.cuda.synchronize()

        found.append((precision, "PyTorch", 2 * side**3 / _shortest(multiply, each) / 1e9))
    return found


def _copy(threads: int, each: float) -> float:
    """GB/s, read and written, by as many threads."""
    source = np.ones(STREAM, np.uint8)
    target = np.empty_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        seconds = _shortest(lambda: list(pool.map(lambda part: np.copyto(*part), parts)), each)
    return 2 * STREAM / seconds / 1e9


def _copy_on_gpu(device: str, each: float) -> float:
    import torch

    source = torch.ones(1 << 30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        torch.cuda.synchronize()

    return 2 * source.numel() / _shortest(copy, each) / 1e9


if __name__ == "__main__":
    serve(answer)
