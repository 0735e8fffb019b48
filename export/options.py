"""What an export is asked for, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass

from imagen_fast.errors import ExportError
from imagen_fast.graph import Graph
from imagen_fast.graph.passes import needed


@dataclass(frozen=True)
class ExportOptions:
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
        inputs: names of optional inputs that are taken as well.
        outputs: names of outputs; the first one if empty.
    """

    precision: str = "fp32"
    shape: tuple[int, int] | None = None
    batch: int | None = None
    opset: int = 20
    io: str = "float"
    largest: tuple[int, int] | None = None
    refit: bool = False
    arch: tuple[int, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


def chosen(graph: Graph, options: ExportOptions) -> Graph:
    """What of a graph is exported. Raises ExportError for names that it has not."""
    for what, asked, known in (
        ("input", options.inputs, graph.inputs),
        ("output", options.outputs, graph.outputs),
    ):
        if unknown := [name for name in asked if name not in known]:
            raise ExportError(
                f"this model has no {what} {unknown[0]!r}; choose from {', '.join(known)}"
            )
    given = [name for name, x in graph.inputs.items() if not x.optional or name in options.inputs]
    part = needed(graph.given(given), options.outputs or [next(iter(graph.outputs))])
    if idle := [name for name in options.inputs if name not in part.inputs]:
        raise ExportError(f"none of these outputs depends on the input {idle[0]!r}; leave it out")
    return part
