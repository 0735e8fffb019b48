"""Contestants timed in turns: on a GPU each is a recorded graph, and the L2 cache is cold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from imagen_fast.bench import timing

FLUSH = 256 << 20  # bytes written before each run: more than any cache holds
MOST_ROUNDS = 100
CORRECT = 2.0  # times the error of PyTorch in the same precision
# What rounding the result alone costs, relative: an error below it says nothing.
FLOOR = {torch.float32: 1e-6, torch.float16: 2e-4, torch.bfloat16: 2e-3, torch.uint8: 5e-4}


def rms(x: torch.Tensor) -> float:
    return float(x.double().square().mean().sqrt())


def errors(out: torch.Tensor, theirs: torch.Tensor, truth: torch.Tensor) -> dict[str, Any]:
    """Our error, PyTorch's and what is allowed, root mean square against the truth."""
    ours, other = rms(out.double() - truth.double()), rms(theirs.double() - truth.double())
    allowed = CORRECT * other + FLOOR[out.dtype] * rms(truth)
    return {"error": ours, "torch": other, "allowed": allowed, "ok": bool(ours <= allowed)}


def recorded(run: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """What replays the launches of `run` and gives the same memory as it; off CUDA itself."""
    if device.type != "cuda":
        return run
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # compiles, and lets cuDNN choose
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = run()

    def replay() -> Any:
        graph.replay()
        return result

    return replay


def in_turns(
    contestants: Mapping[str, Callable[[], Any]],
    device: torch.device,
    seconds: float,
    rounds: int = MOST_ROUNDS,
    flush: bool = True,
) -> dict[str, list[float]]:
    """Microseconds of each run of each contestant; see `bench.timing.in_turns`."""
    on_gpu = device.type == "cuda"
    waste = torch.empty(FLUSH if on_gpu and flush else 0, dtype=torch.uint8, device=device)

    def on_the_gpu_s_clock(run: Callable[[], Any]) -> timing.Burst:
        def burst() -> list[float]:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            waste.zero_()  # takes long enough for what follows to be queued meanwhile
            start.record()
            run()
            end.record()
            end.synchronize()
            return [start.elapsed_time(end)]

        return burst

    for run in contestants.values() if rounds > 1 else ():  # which do not count
        run()
    clock = on_the_gpu_s_clock if on_gpu else timing.once
    bursts = {name: clock(run) for name, run in contestants.items()}
    samples = timing.in_turns(bursts, seconds, least=1, most=rounds)
    return {name: [round(1e3 * x, 3) for x in taken] for name, taken in samples.items()}


def median(samples: list[float]) -> float:
    """The middle one, or the lower of two."""
    return timing.Summary.of(samples).p50
