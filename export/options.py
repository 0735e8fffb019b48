"""What an export is asked for, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Sizes are of the input; None leaves them open, to be any from 1 on.

    Attributes:
        precision: fp32, fp16 or, of bundles, bf16: of weights and features.
        shape: height and width.
        batch: pictures at once.
        opset: version of ONNX's operators.
        io: "float" (N, C, H, W) float32 in [0, 1] in and, not clamped, out; or "uint8" (N, H, W, C)
            in and out, with everything between bytes and the network inside.
        largest: of TensorRT, for open height and width: the largest height and width.
        refit: of TensorRT: weights can be replaced in the engine.
        arch: of bundles: GPU architectures, as 90 for sm_90; the usual ones if empty.
    """

    precision: str = "fp32"
    shape: tuple[int, int] | None = None
    batch: int | None = None
    opset: int = 20
    io: str = "float"
    largest: tuple[int, int] | None = None
    refit: bool = False
    arch: tuple[int, ...] = ()
