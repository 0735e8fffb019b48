"""What TensorRT has to show on a machine with a GPU: `make verify-tensorrt`.

    python benchmarks/verify_tensorrt.py [--model sr-x4-tiny]

Builds engines in fp32 and fp16, and one that takes bytes; each is verified on the photograph when
it is exported. Then the backend on portrait, landscape, odd and single-pixel tiles and on a batch,
against the reference on the CPU; the engine cache; refit; errors for another version's engine and
for shapes beyond the engine; and the time of a tile. Ends with exit code 1 if anything is wrong,
and keeps what it measured in benchmarks/results/tensorrt.json. Not yet run by the authors.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from imagen_fast.export import onnx, tensorrt
from imagen_fast.export.onnx_format import exported_run
from imagen_fast.export.options import Options
from imagen_fast.export.tensorrt_format import TensorRT
from imagen_fast.export.tensorrt_session import TensorRTSession
from imagen_fast.export.verify import WORST

from imagen_fast import catalogue
from imagen_fast.backends import backend_class
from imagen_fast.bench.machine import describe
from imagen_fast.bench.picture import pictures
from imagen_fast.bundle import Bundle, load_bundle
from imagen_fast.errors import BackendError, ImagenError
from imagen_fast.metrics import psnr
from imagen_fast.tasks.export import export

RESULT = Path(__file__).parent / "results" / "tensorrt.json"
SHAPES = ((1, 256, 384), (1, 384, 256), (1, 37, 53), (4, 64, 48), (1, 1, 1), (1, 1024, 1024))
RUNS = 50


def main() -> None:
    """Run every check, print how it ended, keep what was measured."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sr-x4-tiny")
    path = catalogue.resolve(parser.parse_args().model)
    if missing := TensorRT.missing(verify=True):
        sys.exit(f"cannot verify TensorRT here: {missing}")
    failed, record = [], {"model": path.stem, "machine": describe()}
    checks: dict[str, Callable[[Path], Any]] = {
        "export": exports,
        "backend": backends,
        "refit": refits,
        "errors": errors,
        "time": times,
    }
    for name, check in checks.items():
        print(f"{name} …", flush=True)
        try:
            record[name] = check(path)
            print(f"  {json.dumps(record[name])}")
        except (AssertionError, ImagenError) as error:
            failed.append(name)
            record[name] = f"failed: {error}"
            print(f"  FAILED: {error}")
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{len(checks) - len(failed)} of {len(checks)} passed; written: {RESULT}")
    sys.exit(1 if failed else 0)


def exports(model: Path) -> dict[str, Any]:
    """PSNR of every kind of engine, as `imagen-fast export` verifies it."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, options in {
            "fp32": Options(),
            "fp16": Options(precision="fp16"),
            "fp16, bytes": Options(precision="fp16", io="uint8"),
            "fp16, fixed, opset 23": Options("fp16", (256, 256), 2, 23),
        }.items():
            start = time.perf_counter()
            made = export(model, "tensorrt", Path(folder) / f"{name}.engine", options)
            assert made.verification is not None
            seconds = round(time.perf_counter() - start, 1)
            found[name] = {"psnr": made.verification.psnr, "seconds": seconds}
    return found


def backends(model: Path) -> dict[str, Any]:
    """PSNR of the backend by precision and shape; the second start finds its engine."""
    bundle = load_bundle(model)
    reference = backend_class("eager")(bundle, device="cpu", precision="fp32")
    found: dict[str, Any] = {}
    for precision in ("fp32", "fp16"):
        starts = []
        for _ in range(2):
            start = time.perf_counter()
            backend = backend_class("tensorrt")(bundle, precision=precision)
            starts.append(round(time.perf_counter() - start, 2))
        found[precision] = {"starts_s": starts}
        for n, h, w in SHAPES:
            x = pictures(n, max(h, w))[:, :h, :w]
            value = psnr(backend.run(x), reference.run(x))
            assert value >= WORST[precision], f"{precision} {n}x{h}x{w}: {value:.1f} dB"
            found[precision][f"{n}x{h}x{w}"] = round(value, 2) if np.isfinite(value) else None
        bytes_ = (pictures(1, 64) * 255).round().astype(np.uint8)
        far = np.abs(backend.run(bytes_).astype(int) - reference.run(bytes_)).max()
        assert far <= (1 if precision == "fp32" else 8), f"{precision}: bytes differ by {far}"
    return found


def refits(model: Path) -> dict[str, float]:
    """An engine that was given other weights is the engine of these weights."""
    bundle = load_bundle(model)
    other = {name: tensor * np.float32(0.9) for name, tensor in bundle.tensors.items()}
    changed = Bundle(bundle.source, other, bundle.metadata)
    options = Options(shape=(128, 128), batch=1, refit=True)
    graph, where = bundle.graph, tensorrt.place()
    files = [onnx.export(b, Options(shape=(128, 128), batch=1)) for b in (bundle, changed)]
    engine = tensorrt.build(files[0], options, graph=graph, where=where, say=print)
    session = TensorRTSession(tensorrt.refit(engine, files[1]), graph, options)
    run = exported_run(session.run, graph, options)
    x = pictures(1, 128)
    truth = backend_class("eager")(changed, device="cpu", precision="fp32").run(x)
    value = psnr(run({"image": x})["picture"], truth)
    assert value >= WORST["fp32"], f"after refit {value:.1f} dB"
    return {"psnr": round(value, 2)}


def errors(model: Path) -> str:
    """Engines of another version and shapes beyond the engine are refused, and say what to do."""
    bundle = load_bundle(model)
    backend = backend_class("tensorrt")(bundle)
    attempts: dict[str, Callable[[], Any]] = {
        "build it here": lambda: TensorRTSession(b"no engine", bundle.graph, Options()),
        "choose a smaller tile": lambda: backend.run(np.zeros((1, 1025, 8, 3), np.float32)),
    }
    for said, attempt in attempts.items():
        seen = "nothing"
        try:
            attempt()
        except BackendError as error:
            seen = str(error)
        assert said in seen, f"expected {said!r}, got: {seen}"
    return "as expected"


def times(model: Path) -> dict[str, float]:
    """Median milliseconds of a tile, copies over the bus included."""
    bundle = load_bundle(model)
    found = {}
    for precision in ("fp32", "fp16"):
        backend = backend_class("tensorrt")(bundle, precision=precision)
        for side in (256, 512, 1024):
            x = pictures(1, side)
            samples = []
            for _ in range(RUNS):
                start = time.perf_counter()
                backend.run(x)
                samples.append((time.perf_counter() - start) * 1e3)
            found[f"{precision} {side}"] = round(statistics.median(samples[5:]), 3)
    return found


if __name__ == "__main__":
    main()
