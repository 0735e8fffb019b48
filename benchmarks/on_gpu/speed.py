"""Pictures and kernels against PyTorch eager and compiled, right first, then timed in turns; and
what the GPU can do at most.

All are recorded graphs, and between two of them a write empties the L2 cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from reference import DTYPES
from torch import Tensor

from imagen_fast.backends.triton import Triton
from imagen_fast.bench import timing
from imagen_fast.bench.check import check
from imagen_fast.bench.picture import pictures as made_pictures
from imagen_fast.bundle import Bundle, load_bundle
from imagen_fast.catalogue import resolve
from imagen_fast.graph.passes import needed
from imagen_fast.models import operations
from imagen_fast.models.blocks import rms_norm
from on_gpu.cases import Case, definition
from on_gpu.layers import Layer, layers
from on_gpu.part import Part

MODEL = "sr-x4"
PLACES = ((1, 512), (1, 1024), (8, 512), (8, 1024), (1, 256))
PICTURE_SECONDS, KERNEL_SECONDS = 2.5, 0.6  # of all turns
FLUSH = 256 << 20  # bytes written before each run: more than any cache holds
MOST_ROUNDS = 100
Runs = Mapping[str, Callable[[], Any]]


def in_turns(
    runs: Runs, part: Part, seconds: float, *, flush: bool = True, clock: str = ""
) -> dict[str, list[float]]:
    """Microseconds of each run of each contestant, by the clock of the part's device or of a "cpu";
    see `bench.timing.in_turns`.
    """
    on_gpu = (clock or part.device.type) == "cuda"
    waste = torch.empty(FLUSH if on_gpu and flush else 0, dtype=torch.uint8, device=part.device)

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

    for run in () if part.dry else runs.values():  # which do not count
        run()
    turn = on_the_gpu_s_clock if on_gpu else timing.once
    bursts = {name: turn(run) for name, run in runs.items()}
    rounds = 1 if part.dry else MOST_ROUNDS
    samples = timing.in_turns(bursts, seconds, least=1, most=rounds)
    return {name: [round(1e3 * x, 3) for x in taken] for name, taken in samples.items()}


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


def compiled_by_torch(run: Callable[..., Any], part: Part, mode: str) -> Callable[..., Any]:
    """By its longest search, over channels_last (convolutions by cuDNN or Triton, as it likes)."""
    how: dict[str, Any] = {"backend": "eager"} if part.dry else {"mode": mode}
    return torch.compile(run, dynamic=False, **how)


def by_sdpa(q: Tensor, kv: Tensor, temperature: Tensor, mask: Tensor | None) -> Tensor:
    """As `blocks.attended`, by PyTorch's own kernel, which writes no probabilities."""
    k, v = kv.unflatten(-1, (2, -1, q.shape[-1])).permute(2, 0, 3, 1, 4)
    q, k = temperature.view(-1, 1, 1) * rms_norm(q), rms_norm(k)
    mask = None if mask is None else mask.to(v.dtype)
    found = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, mask)
    return found.transpose(1, 2).flatten(2)


def model() -> Bundle:
    """What is timed, from picture to picture."""
    bundle = load_bundle(resolve(MODEL))
    graph = needed(bundle.graph.given(["image"]), ["picture"])
    return Bundle(graph, bundle.tensors, bundle.metadata)


def answer(bundle: Bundle, tiles: np.ndarray[Any, Any], device: torch.device) -> Any:
    """The definition's in fp32, picture by picture, in [0, 1]."""
    run = definition(bundle.graph, bundle.tensors, torch.float32, device)
    images = (torch.from_numpy(tile[None]).to(device) / 255 for tile in tiles)
    return torch.cat([run({"image": x}) for x in images]).cpu().numpy()


def eager(part: Part, with_compiled: bool = False) -> None:
    """`sr-x4` from picture to picture, against PyTorch eager, or compiled with graphs as well.

    "on the device": bytes there to bytes there, each a recorded graph. "from memory to memory": the
    same with both ways over the bus, PyTorch's from and to pinned memory, while ours copies from
    memory of NumPy's there as well. PyTorch's attention is its fastest.
    """
    bundle = model()
    operations.attended = by_sdpa
    for dtype in part.dtypes:
        backend = Triton(bundle, device=part.device.type, precision=dtype)
        for count, side in ((1, 2),) if part.dry else PLACES:
            facts = {"what": "network", "batch": count, "side": side, "dtype": dtype}
            tiles = (made_pictures(count, side) * 255).round().astype(np.uint8)
            part.attempt(from_picture_to_picture, tiles, bundle, backend, with_compiled, **facts)


def compiled(part: Part) -> None:
    eager(part, with_compiled=True)


def from_picture_to_picture(
    tiles: Any, bundle: Bundle, backend: Triton, with_compiled: bool, part: Part
) -> dict[str, Any]:
    truth, dtype = answer(bundle, tiles, part.device), backend.precision
    image = torch.from_numpy(tiles).to(part.device)
    given, taken = (torch.empty(x.shape, dtype=torch.uint8, pin_memory=not part.dry)
                    for x in (tiles, truth))  # fmt: skip
    given.copy_(torch.from_numpy(tiles))
    run = definition(bundle.graph, bundle.tensors, DTYPES[dtype], part.device)
    networks = {"eager": recorded(partial(run, {"image": image}), part.device)}
    if with_compiled:  # PyTorch records its graph itself
        networks["compiled"] = partial(
            compiled_by_torch(run, part, "max-autotune"), {"image": image}
        )

    def from_memory(run: Callable[[], Tensor]) -> Any:
        image.copy_(given, non_blocking=True)
        taken.copy_(run(), non_blocking=True)
        if not part.dry:
            torch.cuda.current_stream().synchronize()
        return taken.numpy()

    in_memory: Runs = {"triton": lambda: backend.run(tiles)}
    in_memory |= {name: partial(from_memory, run) for name, run in networks.items()}
    found = {n: check(run() / np.float32(255), truth, dtype) for n, run in in_memory.items()}
    right = [name for name, (_, wrong) in found.items() if not wrong]

    (slot, *_) = backend._open().get(backend._main(tiles.shape[:3]), 1)
    slot.given["image"].copy_(image.flatten())  # not zeros, which take less power
    on_device = {"triton": slot._compute if part.dry else slot._graph.replay, **networks}
    row: dict[str, Any] = {"psnr": {name: psnr for name, (psnr, _) in found.items()}}
    row |= {"compiled": with_compiled, "ok": "triton" in right}
    for place, runs, clock in (
        ("on the device", on_device, ""),
        ("from memory to memory", in_memory, "cpu"),
    ):
        chosen = {name: runs[name] for name in right}
        row[place] = {"samples_us": in_turns(chosen, part, PICTURE_SECONDS, clock=clock)}
    if not part.dry:
        row["peak_bytes"] = torch.cuda.max_memory_allocated()
    return row


def kernels(part: Part) -> None:
    """Of `sr-x4`, the largest share of a picture's time first."""
    for dtype in part.dtypes:
        found = layers(model().graph, *((1, 3, 5) if part.dry else (1, 512, 512)))
        if part.dry:
            found = dict(list(found.items())[1:3])
        for layer in sorted(found, key=lambda x: -found[x] * x.flops):
            facts = {"kernel": layer.name, "size": layer.size, "count": found[layer]}
            part.attempt(one_kernel, layer, dtype, what="kernel", dtype=dtype, **facts)


def one_kernel(layer: Layer, dtype: str, part: Part) -> dict[str, Any]:
    """Errors of all, and microseconds of those that are right."""
    case = Case(layer, dtype, part.device)
    theirs = case.theirs()
    # Recorded as everyone's are, and not by PyTorch.
    how = "max-autotune-no-cudagraphs"
    contestants = {"triton": case.ours, "eager": theirs}
    contestants["compiled"] = compiled_by_torch(theirs, part, how)
    if "window attention" in layer.name:
        contestants["compiled, SDPA"] = compiled_by_torch(case.theirs(), part, how)
    errors, ready, failed = {}, {}, {}
    for name, run in contestants.items():
        attended = by_sdpa if "SDPA" in name else operations.attended
        try:
            with mock.patch.object(operations, "attended", attended):
                errors[name] = case.errors(run())
                if errors[name]["ok"] or name != "triton":
                    ready[name] = recorded(run, part.device)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    samples = in_turns(ready, part, KERNEL_SECONDS)
    torch._dynamo.reset()
    right = errors.get("triton", {}).get("ok", False)
    row = {"ok": right, "errors": errors, "failed": failed, "samples_us": samples}
    return row | {"bytes": case.bytes, "flops": layer.flops}


def ceilings(part: Part) -> None:
    """What the GPU can do at most: GFLOP/s of matrix products, GB/s read and written."""
    part.attempt(measured_ceilings, what="ceilings")


def measured_ceilings(part: Part) -> dict[str, Any]:
    """The fastest run counts: the machine's limit, not its mood."""
    seconds, side, bytes_ = (0.01, 64, 1 << 20) if part.dry else (1.0, 8192, 1 << 30)

    def fastest(run: Callable[[], Any]) -> float:
        return min(in_turns({"run": run}, part, seconds, flush=False)["run"])

    gflops = {}
    for name, dtype in DTYPES.items():
        a = torch.randn(side, side, device=part.device).to(dtype)
        gflops[name] = round(2e-3 * side**3 / fastest(partial(torch.matmul, a, a)), 1)
    source = torch.ones(bytes_, dtype=torch.uint8, device=part.device)
    copied = fastest(partial(torch.empty_like(source).copy_, source))
    return {"gflops": gflops, "bandwidth": round(2e-3 * bytes_ / copied, 2)}
