"""The native engine against PyTorch, OpenVINO and ONNX Runtime (if installed) on one network.

Contestants run in turns in one process, so that a busy machine slows all alike; the median counts,
with the error against float64 beside it. A contestant whose answer is wrong gets no time. Prints
a table and writes benchmarks/results/native.json. `cpu` is processor time of all threads: what
remains comparable when others use the machine.

    python benchmarks/native.py [--rounds N] [--threads 1,2] [--sides 64,256] [BUNDLE]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from imagen_fast import _native, catalogue
from imagen_fast.backends.native import Native
from imagen_fast.bundle import Bundle, load_bundle
from imagen_fast.models.build import build

HERE = Path(__file__).parent
PHOTOGRAPH = HERE.parent / "examples" / "photographs" / "osprey.png"
RESULT = HERE / "results" / "native.json"
WORST_PSNR = {"fp32": 80.0, "bf16": 40.0}  # below it, something else is being computed

Run = Callable[[], np.ndarray]


def torch_run(bundle: Bundle, image: np.ndarray, precision: str) -> Run:
    """PyTorch, operation by operation, channels_last, under autocast for bf16."""
    network = build(bundle).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run() -> np.ndarray:
        with (
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"),
        ):
            x = torch.from_numpy(image).permute(0, 3, 1, 2)
            return network(x).float().clamp_(0, 1).permute(0, 2, 3, 1).numpy()

    return run


def onnx_model(bundle: Bundle, image: np.ndarray) -> bytes:
    """The network for this shape, as other runtimes read it."""
    file = io.BytesIO()
    x = torch.from_numpy(image).permute(0, 3, 1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(build(bundle), (x,), file, dynamo=False, opset_version=17)
    return file.getvalue()


def openvino_run(model: bytes, image: np.ndarray, precision: str, threads: int) -> Run:
    """OpenVINO with its precision hint."""
    import openvino as ov

    x = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
    settings = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    read = ov.Core().read_model(model=model)
    request = ov.compile_model(read, "CPU", settings).create_infer_request()
    return lambda: request.infer({0: x})[0].clip(0, 1).transpose(0, 2, 3, 1)


def onnxruntime_run(model: bytes, image: np.ndarray, threads: int) -> Run:
    """ONNX Runtime, fp32."""
    import onnxruntime as ort

    x = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: x})[0].clip(0, 1).transpose(0, 2, 3, 1)


def contestants(bundle: Bundle, image: np.ndarray, threads: int) -> dict[str, Run]:
    """Everything that can run here, by name and precision."""
    runs: dict[str, Run] = {}
    model = onnx_model(bundle, image) if find_spec("onnx") else None
    for precision in WORST_PSNR:
        if _native.available(precision):
            backend = Native(bundle, precision=precision, threads=threads)
            runs[f"native {precision} {backend.isa}"] = lambda b=backend: b.run(image)
        runs[f"torch {precision}"] = torch_run(bundle, image, precision)
        if model and find_spec("openvino"):
            runs[f"openvino {precision}"] = openvino_run(model, image, precision, threads)
    if model and find_spec("onnxruntime"):
        runs["onnxruntime fp32"] = onnxruntime_run(model, image, threads)
    return runs


def measure(bundle: Bundle, side: int, threads: int, rounds: int) -> dict[str, Any]:
    """Check everyone's answer, then time them in turns."""
    torch.set_num_threads(threads)
    photograph = np.asarray(Image.open(PHOTOGRAPH).convert("RGB").resize((side, side)))
    image = photograph[None] / np.float32(255)
    with torch.inference_mode():
        y = build(bundle).double()(torch.from_numpy(image).double().permute(0, 3, 1, 2))
    truth = y.clamp(0, 1).permute(0, 2, 3, 1).numpy()
    runs = contestants(bundle, image, threads)
    rows: dict[str, Any] = {}
    for name, run in runs.items():
        psnr = -10 * np.log10(np.mean((run() - truth) ** 2))
        if psnr < WORST_PSNR[name.split()[1]]:
            raise SystemExit(f"{name} is wrong: {psnr:.1f} dB to float64")
        rows[name] = {"psnr_to_float64": round(float(psnr), 1)}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start, cpu = time.perf_counter(), time.process_time()
            run()
            times[name].append((time.perf_counter() - start, time.process_time() - cpu))
    for name, row in rows.items():
        walls, cpus = zip(*times[name], strict=True)
        row["median_ms"] = round(statistics.median(walls) * 1e3, 2)
        row["cpu_ms"] = round(statistics.median(cpus) * 1e3, 2)
    return rows


def overhead(rounds: int = 2000) -> float:
    """Microseconds of a call on one pixel of the smallest network: mostly not the kernels."""
    from imagen_fast.models.generator import Generator
    from imagen_fast.spec import Level, ModelSpec

    spec = ModelSpec(scale=1, levels=(Level(16, convs=0),), head_dim=16, window=2)
    tensors = {name: value.numpy() for name, value in Generator(spec).state_dict().items()}
    backend = Native(Bundle(spec, tensors), threads=1)
    tiles = np.zeros((1, 1, 1, 3), np.uint8)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        backend.run(tiles)
        times.append(time.perf_counter() - start)
    return round(statistics.median(times) * 1e6, 1)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    libraries = ("imagen-fast", "numpy", "torch", "openvino", "onnxruntime")
    return {
        "cpu": f"{facts['model name']} (family {facts['cpu family']}, model {facts['model']})",
        "cores": os.cpu_count(),
        "isa": {precision: _native.available(precision) for precision in WORST_PSNR},
        "load": os.getloadavg()[0],
        "versions": {x: version(x) for x in libraries if find_spec(x.replace("-", "_"))},
    }


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", nargs="?", default="sr-x4-tiny")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--sides", default="64,256")
    options = parser.parse_args()
    bundle = load_bundle(catalogue.resolve(options.bundle))
    results = []
    for side in map(int, options.sides.split(",")):
        for threads in map(int, options.threads.split(",")):
            rows = measure(bundle, side, threads, options.rounds)
            results.append({"side": side, "threads": threads, "rows": rows})
            print(f"{side}×{side}, {threads} threads")
            for name, row in rows.items():
                ours = rows[next(x for x in rows if x.startswith("native " + name.split()[1]))]
                print(
                    f"  {name:22}{row['median_ms']:9.1f} ms{row['cpu_ms']:9.1f} cpu"
                    f"{row['psnr_to_float64']:7.1f} dB"
                    f"{row['median_ms'] / ours['median_ms']:7.2f}×"
                    f"{row['cpu_ms'] / ours['cpu_ms']:7.2f}× cpu"
                )
    call = overhead()
    print(f"call on one pixel: {call} µs")
    record = {"rounds": options.rounds, "call_us": call, "results": results, "machine": machine()}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
