"""Writing ncnn's two files of torch modules."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from torch import nn

HALF = 0x01306B47


class Writer:
    """Layers and weights, one after the other."""

    def __init__(self, half: bool = False) -> None:
        self.lines: list[str] = []
        self.weights = b""
        self.half = half

    def add(self, kind: str, inputs: list[str], outputs: list[str], *parameters: str) -> str:
        name = f"{kind.lower()}{len(self.lines)}"
        words = [kind, name, str(len(inputs)), str(len(outputs)), *inputs, *outputs, *parameters]
        self.lines.append(" ".join(words))
        return outputs[0]

    def plain(self, values: object) -> None:
        self.weights += np.asarray(values, "<f4").tobytes()

    def stored(self, values: object) -> None:
        values = np.asarray(values, np.float32)
        if self.half:
            data = values.astype("<f2").tobytes()
            self.weights += struct.pack("<I", HALF) + data + b"\0" * (-len(data) % 4)
        else:
            self.weights += struct.pack("<I", 0)
            self.plain(values)

    def conv(self, module: nn.Conv2d | nn.ConvTranspose2d, x: str, y: str, *more: str) -> str:
        weight = module.weight.detach().numpy()
        kind = "Convolution"
        if isinstance(module, nn.ConvTranspose2d):
            kind, weight = "Deconvolution", weight.swapaxes(0, 1)
        kind += "DepthWise" if module.groups > 1 else ""
        self.add(
            kind, [x], [y], f"0={module.out_channels}", f"1={module.kernel_size[0]}",
            f"3={module.stride[0]}", f"4={module.padding[0]}", f"5={int(module.bias is not None)}",
            f"6={weight.size}", *([f"7={module.groups}"] if module.groups > 1 else []), *more,
        )  # fmt: skip
        self.stored(weight)
        if module.bias is not None:
            self.plain(module.bias.detach().numpy())
        return y

    def write(self, path: Path) -> None:
        blobs = sum(int(line.split()[3]) for line in self.lines)
        head = ["7767517", f"{len(self.lines)} {blobs}"]
        path.with_suffix(".param").write_text("\n".join([*head, *self.lines]) + "\n")
        path.with_suffix(".bin").write_bytes(self.weights)
