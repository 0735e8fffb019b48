"""What TensorRT has to show on a machine with a GPU: `make verify-tensorrt`.

    python benchmarks/verify_tensorrt.py [MODEL]

Engines in fp32 and fp16, of bytes and of a fixed shape, each verified when it is exported; the
backend on portrait, landscape, odd and single-pixel tiles and on a batch, against the reference on
the CPU; refit; errors for another version's engine and for shapes beyond the engine. Ends with exit
code 1 if anything is wrong, and keeps what it found in benchmarks/results/tensorrt.json. How fast
it is says `imagen-fast bench --backend tensorrt`. Not yet run by the authors.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from imagen_fast.export import onnx, tensorrt
from imagen_fast.export.onnx_format import exported_run
from imagen_fast.export.options import ExportOptions
from imagen_fast.export.tensorrt_format import TensorRT
from imagen_fast.export.tensorrt_session import TensorRTSession

from imagen_fast import catalogue
from imagen_fast.backends import backend_class
from imagen_fast.bench import machine, record
from imagen_fast.bench.check import check
from imagen_fast.bench.picture import pictures
from imagen_fast.bundle import Bundle, load_bundle
from imagen_fast.errors import BackendError, ImagenError
from imagen_fast.tasks.export import export

RESULT = Path(__file__).parent / "results" / "tensorrt.json"
SHAPES = ((1, 256, 384), (1, 384, 256), (1, 37, 53), (4, 64, 48), (1, 1, 1), (1, 1024, 1024))
EXPORTS = (
    ExportOptions(),
    ExportOptions(precision="fp16"),
    ExportOptions(precision="fp16", io="uint8"),
    ExportOptions("fp16", (256, 256), 2, 23),
)


def exports(model: Path) -> Iterator[record.Row]:
    """Verified as `imagen-fast export` does it."""
    with tempfile.TemporaryDirectory() as folder:
        for number, options in enumerate(EXPORTS):
            made = export(model, "tensorrt", Path(folder) / f"{number}.engine", options)
            assert made.verification is not None
            yield {"export": str(options), "psnr": made.verification.psnr}


def backends(model: Path) -> Iterator[record.Row]:
    """By precision and shape; bytes as floats."""
    bundle = load_bundle(model)
    reference = backend_class("eager")(bundle, device="cpu", precision="fp32")
    for precision in ("fp32", "fp16"):
        backend = backend_class("tensorrt")(bundle, precision=precision)
        for n, h, w in SHAPES:
            x = pictures(n, max(h, w))[:, :h, :w]
            psnr, wrong = check(backend.run(x), reference.run(x), precision)
            yield {"precision": precision, "size": f"{n}x{h}x{w}", "psnr": psnr, "why": wrong}
        bytes_ = (pictures(1, 64) * 255).round().astype(np.uint8)
        far = np.abs(backend.run(bytes_).astype(int) - reference.run(bytes_)).max()
        wrong = "" if far <= (1 if precision == "fp32" else 8) else f"bytes differ by {far}"
        yield {"precision": precision, "size": "bytes", "why": wrong}


def refit(model: Path) -> Iterator[record.Row]:
    """An engine that was given other weights is the engine of these weights."""
    bundle, options = load_bundle(model), ExportOptions(shape=(128, 128), batch=1, refit=True)
    other = {name: tensor * np.float32(0.9) for name, tensor in bundle.tensors.items()}
    changed = Bundle(bundle.source, other, bundle.metadata)
    graph, where = bundle.graph, tensorrt.place()
    files = [onnx.export(b, ExportOptions(shape=(128, 128), batch=1)) for b in (bundle, changed)]
    engine = tensorrt.build(files[0], options, graph=graph, where=where, say=print)
    session = TensorRTSession(tensorrt.refit(engine, files[1]), graph, options)
    run, x = exported_run(session.run, graph, options), pictures(1, 128)
    truth = backend_class("eager")(changed, device="cpu", precision="fp32").run(x)
    psnr, wrong = check(run({"image": x})["picture"], truth, "fp32")
    yield {"size": "refit", "psnr": psnr, "why": wrong}


def errors(model: Path) -> Iterator[record.Row]:
    """Engines of another version and shapes beyond the engine are refused, and say what to do."""
    bundle = load_bundle(model)
    backend = backend_class("tensorrt")(bundle)
    attempts: dict[str, Callable[[], object]] = {
        "build it here": lambda: TensorRTSession(b"no engine", bundle.graph, ExportOptions()),
        "choose a smaller tile": lambda: backend.run(np.zeros((1, 1025, 8, 3), np.float32)),
    }
    for said, attempt in attempts.items():
        seen = "nothing"
        try:
            attempt()
        except BackendError as error:
            seen = str(error)
        yield {"error": said, "why": "" if said in seen else f"it said: {seen}"}


def main() -> None:
    model = catalogue.resolve(sys.argv[1] if len(sys.argv) > 1 else "sr-x4-tiny")
    if missing := TensorRT.missing(verify=True):
        sys.exit(f"cannot verify TensorRT here: {missing}")
    rows: list[record.Row] = []
    for part in (exports, backends, refit, errors):
        try:
            for row in part(model):
                rows.append(row)
                print(row, flush=True)
        except ImagenError as error:
            rows.append({"size": part.__name__, "why": str(error)})
            print(rows[-1], flush=True)
    load = machine.load()
    made = record.record("python benchmarks/verify_tensorrt.py", rows, (load,), model=model.stem)
    record.write(made, RESULT)
    sys.exit(any(row.get("why") for row in rows))


if __name__ == "__main__":
    main()
