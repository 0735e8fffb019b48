"""Every engine that computes graphs here, in every precision that it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from imagen_fast.export.options import ExportOptions
from numpy.typing import NDArray
from openvino_process import infer

from imagen_fast import _native
from imagen_fast.backends.eager import Eager
from imagen_fast.bundle import Bundle
from imagen_fast.graph.passes import needed

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays, Sequence[str]], Arrays]  # (N, H, W, C) inputs and names of outputs


@dataclass(frozen=True)
class Engine:
    """`make` takes a bundle and the arrays of its first run.

    files: it runs exported files. slow: thousands of times slower than the others.
    """

    name: str
    precision: str
    make: Callable[[Bundle, Arrays, Sequence[str]], Run]
    files: bool = False
    slow: bool = False


def native(precision: str, isa: str) -> Engine:
    def make(bundle: Bundle, given: Arrays, wanted: Sequence[str]) -> Run:
        engine = _native.Engine(
            bundle.graph.to_json(), bundle.tensors, precision=precision, isa=isa, threads=2
        )
        assert (engine.precision, engine.isa) == (precision, isa)

        def run(given: Arrays, wanted: Sequence[str]) -> Arrays:
            # What is not finite in one run must not be seen by the next one, in the same memory.
            engine.run({name: np.full_like(x, np.nan) for name, x in given.items()}, list(wanted))
            found = engine.run(dict(given), list(wanted))
            assert found is not None
            return found

        return run

    return Engine(f"native {precision} {isa}", precision, make)


def eager(precision: str) -> Engine:
    def make(bundle: Bundle, given: Arrays, wanted: Sequence[str]) -> Run:
        return Eager(bundle, device="cpu", precision=precision, threads=1).run

    return Engine(f"eager {precision}", precision, make)


def triton(precision: str) -> Engine:
    """On a GPU, or in Triton's interpreter, which has no bf16."""

    def make(bundle: Bundle, given: Arrays, wanted: Sequence[str]) -> Run:
        from imagen_fast.backends.triton import Triton

        return Triton(bundle, precision=precision).run

    return Engine(f"triton {precision}", precision, make, slow=True)


def onnxruntime(precision: str) -> Engine:
    def make(bundle: Bundle, given: Arrays, wanted: Sequence[str]) -> Run:
        from imagen_fast.backends.onnxruntime import OnnxRuntime

        return OnnxRuntime(bundle, device="cpu", precision=precision, threads=1).run

    return Engine(f"onnxruntime {precision}", precision, make, files=True)


def on_onnxruntime(data: bytes) -> Callable[[Arrays], Arrays]:
    from imagen_fast.export.onnx_session import Session

    return Session(data, threads=1).run


def on_openvino(data: bytes) -> Callable[[Arrays], Arrays]:
    """In fp32 whatever the processor would prefer: the file's own precision is what is tested."""
    return lambda given: infer(data, given)


def file(
    runtime: Callable[[bytes], Callable[[Arrays], Arrays]],
    precision: str,
    opset: int,
    *,
    fixed: bool = False,
) -> Engine:
    def make(bundle: Bundle, given: Arrays, wanted: Sequence[str]) -> Run:
        from imagen_fast.export.onnx import export
        from imagen_fast.export.onnx_format import exported_run

        graph = needed(bundle.graph.given(given), wanted)
        optional = tuple(name for name in graph.inputs if bundle.graph.inputs[name].optional)
        options = ExportOptions(precision, opset=opset, inputs=optional, outputs=tuple(wanted))
        if fixed:
            own = next(name for name in graph.inputs if graph.values[name].grid.of == name)
            n, h, w, _ = given[own].shape
            options = replace(options, shape=(h, w), batch=n)
        run = exported_run(runtime(export(bundle, options)), bundle.graph, options)
        return lambda given, wanted: run({name: given[name] for name in graph.inputs})

    runs = runtime.__name__.removeprefix("on_")
    size = "fixed" if fixed else "open"
    return Engine(f"{runs} {precision} opset {opset} {size}", precision, make, files=True)


ENGINES = [
    *(native(p, isa) for p in ("fp32", "bf16") for isa in _native.available(p)),
    *(eager(p) for p in ("fp32", "bf16")),
]
if find_spec("triton"):
    ENGINES.append(triton("fp16"))
if find_spec("onnx") and find_spec("onnxruntime"):
    ENGINES += [onnxruntime("fp32"), onnxruntime("fp16")]
    ENGINES += [file(on_onnxruntime, "fp32", 23, fixed=True), file(on_onnxruntime, "fp16", 23)]
    if find_spec("openvino"):
        ENGINES += [file(on_openvino, "fp32", 20), file(on_openvino, "fp32", 23, fixed=True)]
