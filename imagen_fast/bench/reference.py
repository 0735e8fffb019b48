"""PyTorch's side, in a process of its own so that the command itself never imports it.

    python -m imagen_fast.bench.reference

gives a network's answer in fp32, its ONNX file and its FLOPs, and says which backends work.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from imagen_fast.backends import backend_class
from imagen_fast.bench import peer_networks
from imagen_fast.bench.process import Child, serve
from imagen_fast.bench.runtimes import OURS
from imagen_fast.bench.runtimes.yardstick import environment


class Reference(Child):
    """The process. All raise BenchmarkError.

    `output` and `flops` need PyTorch, and so does `onnx` for other people's networks.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(["-m", "imagen_fast.bench.reference"], environment(threads))
        self.has_torch = find_spec("torch") is not None

    def backends(self, seconds: float) -> dict[str, str | None]:
        """Every backend's name → what is missing for it, None if it works."""
        return self.ask({"do": "backends"}, seconds)

    def output(self, network: str, images: Path, seconds: float) -> NDArray[np.float32]:
        """The network's answer to a .npy file (N, H, W, 3): (N, s·H, s·W, 3), clamped."""
        path = images.with_suffix(".reference.npy")
        request = {"do": "output", "network": network, "images": str(images), "path": str(path)}
        try:
            self.ask(request, seconds)
            found: NDArray[np.float32] = np.load(path)
            return found
        finally:
            path.unlink(missing_ok=True)

    def onnx(self, network: str, shape: tuple[int, int, int], path: Path, seconds: float) -> Path:
        """Write the network's ONNX file for inputs (N, H, W), unless it is there."""
        if not path.exists():
            made = path.with_suffix(".part")
            request = {"do": "onnx", "network": network, "shape": shape, "path": str(made)}
            self.ask(request, seconds)
            made.replace(path)
        return path

    def flops(self, network: str, h: int, w: int, seconds: float) -> int:
        """As PyTorch counts them, for a picture (h, w)."""
        request = {"do": "flops", "network": network, "h": h, "w": w}
        return cast("int", self.ask(request, seconds)["flops"])


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What `request["do"]` asks for."""
    if request["do"] == "backends":
        return {name: backend_class(name).missing() for name in OURS}
    network = request["network"]
    if request["do"] == "onnx":
        from imagen_fast.bench import onnx_file

        n, h, w = request["shape"]
        onnx_file.write(network, (n, h, w), Path(request["path"]))
        return {}
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with torch.inference_mode():
        built = peer_networks.build(network)
        if request["do"] == "flops":
            x = torch.empty(1, 3, request["h"], request["w"], device="meta")
            with FlopCounterMode(display=False) as counter:
                built.to("meta")(x)
            return {"flops": counter.get_total_flops()}
        built = built.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for_each = torch.from_numpy(np.load(request["images"])).permute(0, 3, 1, 2).split(1)
        outputs = [built(x).clamp_(0, 1).permute(0, 2, 3, 1).numpy() for x in for_each]
    np.save(request["path"], np.concatenate(outputs))
    return {}


if __name__ == "__main__":
    serve(answer)
