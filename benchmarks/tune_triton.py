"""Finds the fastest block sizes of the Triton kernels on this GPU. Not yet run on one.

    python benchmarks/tune_triton.py [--seconds 600] [--dtype bf16 ...] [--out FOLDER]

Takes the operations of `sr-x4-tiny` over 512 × 512 pixels, those first that take the
most time. Processes side by side compile each candidate and compare its output, there and on an odd
shape, with PyTorch's in float64; what is wrong is never timed. Then the GPU is timed alone. Writes
the file that `kernels/triton/tuning.py` reads, if anything was faster than the defaults by 3 per
cent, with both times beside it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from concurrent import futures
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import triton
from imagen_fast.kernels.triton import tuning
from imagen_fast.kernels.triton.device import architecture
from imagen_fast.kernels.triton.tuning_rules import problem, unfit

sys.path.insert(0, str(Path(__file__).parent))

from on_gpu import cases, timing
from on_gpu.cases import Case
from on_gpu.layers import Layer, layers
from on_gpu.part import DTYPES, Part

from imagen_fast.bench import machine
from imagen_fast.spec import preset

SIZE, ODD = (1, 512, 512), (1, 65, 51)
PROCESSES = 12
FASTER = 0.97  # of the default's time: less is within what runs differ by
QUICK, SURE = 10, 60  # rounds of every candidate, and of the best few
BEST = 4
MOST = 96  # candidates of a kernel and width


def candidates(kernel: str, on_hopper: bool) -> Iterator[dict[str, Any]]:
    """All that may be worth trying; what does not fit the weights is left out later."""
    warps = (4, 8)

    def grid(**values: Sequence[Any]) -> Iterator[dict[str, Any]]:
        return (dict(zip(values, x, strict=True)) for x in product(*values.values()))

    if kernel == "stem":
        yield from grid(block_m=(64, 128, 256), block_n=(32, 64, 128), num_warps=warps,
                        num_stages=(1,))  # fmt: skip
    elif kernel in ("down", "up"):
        yield from grid(block_m=(64, 128, 256), block_n=(32, 64, 128), block_k=(32, 64),
                        num_warps=warps, num_stages=(2, 3, 4))  # fmt: skip
    elif kernel == "window_attention":
        yield from grid(launches=(1, 2, 3), resident=(0, 1), programs=(1, 2, 4, 8), chunk=(32, 64),
                        num_warps=warps)  # fmt: skip
    else:
        yield from grid(form=("rows",), block_w=(32, 64, 128), num_warps=warps, num_stages=(1, 2))
        tiles = ((8, 8), (8, 16), (4, 32), (16, 16))
        more: dict[str, Sequence[Any]] = {}
        if kernel == "conv_block":
            yield {"form": "cudnn"}
            more = {"block_n": (32, 64, 128), "tail": (0, 32, 64)}
            more["descriptor"] = (False, True) if on_hopper else (False,)
        for block_h, block_w in tiles:
            yield from grid(form=("taps",), block_h=(block_h,), block_w=(block_w,),
                            block_k=(32, 64), **more, num_warps=warps,
                            num_stages=(2, 3, 4))  # fmt: skip


def worth_trying(case: Case, device: torch.device) -> list[dict[str, Any]]:
    """The default, then candidates in an order that is random and always the same."""
    kernel, arch = case.layer.kernel, architecture(device)
    default = cases.default_config(case, arch)
    found = [
        config
        for config in candidates(kernel, arch >= 90)
        if config != default
        and problem(kernel, config) is None
        and unfit(kernel, case.weights, config) is None
    ]
    random.Random(0).shuffle(found)
    return [default, *found[: MOST - 1]]


@lru_cache(maxsize=8)
def _prepared(layer: Layer, dtype: str, device: str) -> tuple[Case, torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        case = cases.make(layer, DTYPES[dtype], torch.device(device))
        return case, case.theirs(DTYPES[dtype])(), case.theirs(torch.float64)()


def checked(shapes: Sequence[Layer], dtype: str, device: str, config: dict[str, Any]) -> str:
    """Compiles a configuration; "" if its output is right on all shapes, else what is wrong."""
    try:
        with torch.inference_mode():
            for layer in shapes:
                case, theirs, truth = _prepared(layer, dtype, device)
                if not timing.errors(case.ours(config), theirs, truth)["ok"]:
                    return f"wrong on {layer.size}"
                if device != "cpu":
                    torch.cuda.synchronize()
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return ""


@dataclass
class Group:
    """Operations that share a configuration, and how often each runs in a picture."""

    kernel: str
    key: str
    layers: dict[Layer, int] = field(default_factory=dict)


def groups(part: Part, dtype: str) -> list[Group]:
    """The largest share of a picture's time first, as far as arithmetic tells."""
    size = (1, 5, 9) if part.dry else SIZE
    found: dict[str, Group] = {}
    for layer, count in layers(preset("tiny", 4), *size).items():
        if layer.kernel in cases.MODULES:
            small = cases.make(replace(layer, size=(1, 2, 2)), DTYPES[dtype], part.device)
            key = tuning.key(layer.kernel, small.weights)
            group = found.setdefault(f"{layer.kernel} {key}", Group(layer.kernel, key))
            group.layers[layer] = count
    made = sorted(found.values(), key=lambda x: -sum(_work(y) * n for y, n in x.layers.items()))
    return [group for group in made if group.kernel in ("up", "stem")] if part.dry else made


def _work(layer: Layer) -> int:
    n, h, w = layer.size
    return n * h * w * layer.channels


def timed(
    group: Group, configs: Sequence[dict[str, Any]], part: Part, dtype: str, rounds: int
) -> list[float]:
    """Microseconds in a picture of each configuration, all of a group's operations together."""
    totals = [0.0] * len(configs)
    for layer, count in group.layers.items():
        case, _, _ = _prepared(layer, dtype, part.device.type)
        runs = {
            str(i): timing.recorded(partial(case.ours, config), part.device)
            for i, config in enumerate(configs)
        }
        samples = timing.in_turns(runs, part.device, 30, rounds)
        for i in range(len(configs)):
            totals[i] += count * timing.median(samples[str(i)])
    return totals


def tune(group: Group, verdicts: Sequence[tuple[dict[str, Any], str]], part: Part, dtype: str
         ) -> dict[str, Any]:  # fmt: skip
    """The row of a group: what was tried, what was wrong, what is fastest."""
    right = [config for config, wrong in verdicts if not wrong]
    default = verdicts[0][0]
    facts: dict[str, Any] = {"tried": len(verdicts), "right": len(right)}
    facts["wrong"] = [f"{config}: {wrong}" for config, wrong in verdicts if wrong][:5]
    if default not in right:
        return {**facts, "ok": False, "failed": f"the default is wrong: {verdicts[0][1]}"}
    quick = timed(group, right, part, dtype, 1 if part.dry else QUICK)
    order = sorted(range(len(right)), key=quick.__getitem__)[:BEST]
    few = [default, *(right[i] for i in order if right[i] != default)]
    sure = timed(group, few, part, dtype, 1 if part.dry else SURE)
    best = min(range(len(few)), key=sure.__getitem__)
    facts |= {"default": default, "default_us": sure[0], "best": few[best], "best_us": sure[best]}
    return {**facts, "ok": True, "faster": bool(best and sure[best] < FASTER * sure[0])}


class Here:
    """In place of a pool of processes: at once."""

    def submit(self, work: Any, *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*arguments))
        return done

    def shutdown(self, **_: Any) -> None:
        return


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    keep = "--out" in arguments
    if not keep:
        arguments = [*arguments, "--out", str(tuning.FOLDER)]
    part = Part(__doc__, arguments, keep)
    pool: Any = Here()
    if not part.dry:
        pool = ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn"))
    kernels: dict[str, dict[str, Any]] = {}
    times: dict[str, list[float]] = {}
    for dtype in part.dtypes:
        for group in groups(part, dtype):
            facts = {"what": "tuning", "kernel": group.kernel, "key": group.key}
            found = part.attempt(partial(_tuned, group, pool, part, dtype), **facts)
            if found and found.get("faster"):
                kernels.setdefault(group.kernel, {})[group.key] = found["best"]
                both = [round(found[name], 2) for name in ("default_us", "best_us")]
                times[f"{group.kernel} {group.key}"] = both
            if found and "best_us" in found:
                print(f"{group.kernel} {group.key}: {found['default_us']:.1f} µs by default, "
                      f"{found['best_us']:.1f} with {found['best']}", flush=True)  # fmt: skip
    pool.shutdown(wait=False, cancel_futures=True)
    if kernels or part.dry:
        _write(kernels, times, part)
    return int(part.failed)


def _tuned(group: Group, pool: Any, part: Part, dtype: str) -> dict[str, Any]:
    shapes = [*group.layers, *(replace(layer, size=ODD) for layer in group.layers)]
    if part.dry:
        shapes = list(group.layers)
    case, _, _ = _prepared(shapes[0], dtype, part.device.type)
    tries = worth_trying(case, part.device)[: 2 if part.dry else MOST]
    waiting = [pool.submit(checked, shapes, dtype, part.device.type, config) for config in tries]
    verdicts = []
    # The default is waited for whatever it takes, the others while there is time.
    share = timing.Deadline(min(part.deadline.left / 2, 45))
    for config, future in zip(tries, waiting, strict=True):
        try:
            verdicts.append((config, future.result(60 if not verdicts else max(share.left, 0.01))))
        except futures.TimeoutError:
            future.cancel()
    # What has begun cannot be called off, and would run beside what is timed.
    futures.wait([x for x in waiting if not x.cancelled()], timeout=60)
    return tune(group, verdicts, part, dtype)


def _write(kernels: dict[str, dict[str, Any]], times: dict[str, list[float]], part: Part) -> None:
    gpu = "none" if part.dry else torch.cuda.get_device_name()
    path = part.out / tuning.path_for(gpu, triton.__version__).name
    # What an earlier run found for other dtypes stays.
    before = tuning.load(path) if path.exists() else {}
    merged = {name: dict(found) for name, found in before.items()}
    for name, found in kernels.items():
        merged.setdefault(name, {}).update(found)
    facts = {**machine.describe(), "microseconds by default and tuned": times}
    path.write_text(tuning.dump(gpu, triton.__version__, facts, merged))
    tuning.load(path)
    print(path)


if __name__ == "__main__":
    sys.exit(main())
