"""PyTorch as a user sets it up who wants speed: eager or compiled, channels_last, half weights."""

from __future__ import annotations

import torch

from imagen_fast.bench import peer_networks
from imagen_fast.bench.contestant import Contestant
from imagen_fast.bench.runtimes import Images, Run

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def ready(c: Contestant, images: Images, file: str) -> tuple[Run, str]:
    """The network in this precision throughout, which is faster than under autocast."""
    torch.set_num_threads(c.threads)
    torch.backends.cudnn.benchmark = True
    dtype = DTYPES[c.precision]
    network = peer_networks.build(file).to(c.device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if c.runtime == "torch-compile":
        mode = "max-autotune" if c.device != "cpu" else None
        network = torch.compile(network, dynamic=False, mode=mode)
    x = torch.from_numpy(images).permute(0, 3, 1, 2)  # channels_last as it lies

    def run() -> Images:
        with torch.inference_mode():
            y = network(x.to(c.device, dtype)).float().clamp_(0, 1)
            output: Images = y.permute(0, 2, 3, 1).cpu().numpy()
            return output

    return run, torch.backends.cpu.get_cpu_capability() if c.device == "cpu" else ""
