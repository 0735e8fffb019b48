"""`sr-x4` from picture to picture, against PyTorch eager, or compiled with graphs as well.

    python -m on_gpu.end_to_end --out OUT [--compiled]

"on the device": bytes there to bytes there, each a recorded graph. "from memory to memory": the
same with both ways over the bus, PyTorch's from and to pinned memory, while ours copies from memory
of NumPy's there as well.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imagen_fast.backends.triton import Triton
from imagen_fast.bench.check import check
from imagen_fast.bench.picture import pictures
from imagen_fast.bundle import load_bundle
from imagen_fast.catalogue import resolve
from imagen_fast.models.build import build
from on_gpu import timing
from on_gpu.part import DTYPES, Part

MODEL = "sr-x4"
PLACES = ((1, 512), (1, 1024), (8, 512), (8, 1024))
SECONDS = 3.0


class Picture(nn.Module):
    """Bytes (N, H, W, 3) to bytes, by the reference in one dtype throughout."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network.to(dtype, memory_format=torch.channels_last)
        self.dtype = dtype

    def forward(self, image: Tensor) -> Tensor:
        y = self.network(image.to(self.dtype).movedim(3, 1) / 255)
        return (y.float().clamp(0, 1) * 255).round().to(torch.uint8).movedim(1, 3).contiguous()


def measured(
    count: int, side: int, precision: str, part: Part, backend: Triton, with_compiled: bool
) -> dict[str, Any]:
    tiles = (pictures(count, side) * 255).round().astype(np.uint8)
    truth = expected(tiles, part)
    image = torch.from_numpy(tiles).to(part.device)
    given, taken = (torch.empty(x.shape, dtype=torch.uint8, pin_memory=not part.dry)
                    for x in (tiles, truth))  # fmt: skip
    given.copy_(torch.from_numpy(tiles))
    eager = Picture(build(load_bundle(resolve(MODEL))).to(part.device), DTYPES[precision])
    networks = {"eager": timing.recorded(partial(eager, image), part.device)}
    if with_compiled:
        mode: dict[str, Any] = {"backend": "eager"} if part.dry else {"mode": "max-autotune"}
        # PyTorch records its graph itself.
        networks["compiled"] = partial(torch.compile(eager, dynamic=False, **mode), image)

    def from_memory(run: Callable[[], Tensor]) -> NDArray[np.uint8]:
        image.copy_(given, non_blocking=True)
        taken.copy_(run(), non_blocking=True)
        if not part.dry:
            torch.cuda.current_stream().synchronize()
        result: NDArray[np.uint8] = taken.numpy()
        return result

    in_memory: dict[str, Callable[[], Any]] = {"triton": lambda: backend.run(tiles)}
    in_memory |= {name: partial(from_memory, run) for name, run in networks.items()}
    found = {n: check(run() / np.float32(255), truth, precision) for n, run in in_memory.items()}
    right = [name for name, (_, wrong) in found.items() if not wrong]

    (slot, *_) = backend._open().get(backend._main(tiles.shape[:3]), 1)
    slot.given["image"].copy_(image.flatten())  # not zeros, which take less power
    on_device: dict[str, Callable[[], Any]] = {
        "triton": slot._compute if part.dry else slot._graph.replay
    }
    on_device |= networks
    row: dict[str, Any] = {"psnr": {name: psnr for name, (psnr, _) in found.items()}}
    row["ok"] = "triton" in right
    rounds = 1 if part.dry else timing.MOST_ROUNDS
    for key, runs in (("on the device", on_device), ("from memory to memory", in_memory)):
        device = part.device if key == "on the device" else torch.device("cpu")  # whose clock
        samples = timing.in_turns({name: runs[name] for name in right}, device, SECONDS, rounds)
        medians = {name: timing.median(taken) for name, taken in samples.items()}
        row[key] = {"median_us": medians, "samples_us": samples}
    if not part.dry:
        row["peak_bytes"] = torch.cuda.max_memory_allocated()
    return row


def expected(tiles: NDArray[np.uint8], part: Part) -> NDArray[np.float32]:
    """The reference in fp32, picture by picture, float32 in [0, 1]."""
    network = build(load_bundle(resolve(MODEL))).to(part.device)
    images = (torch.from_numpy(tile[None]).to(part.device) for tile in tiles)
    outputs = [network(x.float().movedim(3, 1) / 255).clamp(0, 1).movedim(1, 3) for x in images]
    return torch.cat(outputs).cpu().numpy()


def main() -> int:
    part = Part(__doc__, flags=("compiled",))
    with_compiled = "compiled" in part.flags
    with torch.inference_mode():
        for precision in part.dtypes:
            bundle = load_bundle(resolve(MODEL))
            backend = Triton(bundle, device=part.device.type, precision=precision)
            for count, side in ((1, 2),) if part.dry else PLACES:
                work = partial(measured, count, side, precision, part, backend, with_compiled)
                facts = {"batch": count, "side": side, "dtype": precision}
                part.attempt(work, what="network", compiled=with_compiled, **facts)
    return part.finish()


if __name__ == "__main__":
    sys.exit(main())
