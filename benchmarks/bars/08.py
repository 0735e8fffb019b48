"""What reading networks as graphs costs: this tree beside a commit before it, and other networks.

    python benchmarks/bars/08.py COMMIT [--networks FOLDER] [--seconds N]

builds COMMIT beside this tree and runs both in turns, each in a process of its own: every
instruction set of this processor, 1 and 2 threads, 64², 256² and 1024² input, `sr-x4-tiny`; then
the time to load it, and the peak memory of a 6000×4000 photograph. With --networks (a folder with
disp-x4.onnx and span-c28-x4.onnx) it times these as graphs on the native engine beside OpenVINO,
in bf16. Prints medians and their ratios; samples go to benchmarks/results/DEVICE/bars-08.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.insert(0, str(ROOT / "tests" / "graph"))

from regression import install  # noqa: E402

from imagen_fast import _native  # noqa: E402
from imagen_fast.bench import machine  # noqa: E402

# Answers a line of JSON with the milliseconds of what it asks for.
WORKER = """
import json, resource, sys, time
import numpy as np
def ours(side, threads, precision, isa):
    import imagen_fast
    engine = imagen_fast.load("sr-x4-tiny", backend="native", precision=precision, isa=isa,
                              threads=threads)
    x = np.random.default_rng(0).random((1, side, side, 3), dtype=np.float32)
    return lambda: engine.run(x)
def load():
    import imagen_fast
    return lambda: imagen_fast.load("sr-x4-tiny", backend="native").close()
def graph(folder, name, side, threads):
    sys.path.insert(0, folder)
    import onnx_networks
    from imagen_fast.backends.native import Native
    make = {"disp-x4": onnx_networks.disp, "span-c28-x4": onnx_networks.span}[name.stem]
    backend = Native(make(name), threads=threads)
    x = np.random.default_rng(0).random((1, side, side, 3), dtype=np.float32)
    return lambda: backend.run(x)
def openvino(name, side, threads):
    import openvino
    core = openvino.Core()
    model = core.read_model(str(name))
    model.reshape([1, 3, side, side])
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads,
             "INFERENCE_PRECISION_HINT": "bf16"}
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    x = np.random.default_rng(0).random((1, 3, side, side), dtype=np.float32)
    return lambda: request.infer([x])
from pathlib import Path
for line in sys.stdin:
    what, *given = json.loads(line)
    if what != "again":
        if what in ("graph", "openvino"):
            given = [Path(x) if str(x).endswith(".onnx") else x for x in given]
        run = {"ours": ours, "load": load, "graph": graph, "openvino": openvino}[what](*given)
        run()
    start = time.perf_counter()
    run()
    print(1000 * (time.perf_counter() - start), flush=True)
"""

Ask = Callable[..., float]


def worker(tree: str) -> Ask:
    """A process that imports `imagen_fast` from a folder; returns how to ask it."""
    code = f"import sys; sys.path.insert(0, {tree!r})\n{WORKER}"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    given, answers = process.stdin, process.stdout

    def ask(*question: object) -> float:
        print(json.dumps(question), file=given, flush=True)
        return float(answers.readline())

    return ask


def in_turns(first: Ask, second: Ask, questions: list[tuple[object, ...]], seconds: float) -> Any:
    """Medians of both in milliseconds, and their ratio: first / second."""
    samples: tuple[list[float], list[float]] = ([], [])
    first(*questions[0])
    second(*questions[1])
    while sum(map(sum, samples)) < 1000 * seconds or len(samples[0]) < 5:
        samples[0].append(first("again"))
        samples[1].append(second("again"))
    a, b = map(statistics.median, samples)
    return {"first_ms": a, "second_ms": b, "ratio": a / b, "samples_ms": samples}


def peak(tree: str) -> float:
    """Peak memory in MB of a process that enlarges 6000×4000 pixels 4 times, row by row."""
    code = f"""
import sys; sys.path.insert(0, {tree!r})
import resource, numpy as np, imagen_fast
from imagen_fast.image.picture import Picture
engine = imagen_fast.load("sr-x4-tiny", backend="native")
color = np.zeros((4000, 6000, 3), np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in engine.stream(Picture(color, None)): pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Measure, print, write."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit")
    parser.add_argument("--networks", type=Path)
    parser.add_argument("--seconds", type=float, default=4, help="for each row")
    options = parser.parse_args()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        trees = [str(ROOT), str(install(options.commit, Path(folder)))]
        new, old = map(worker, trees)
        for precision in ("bf16", "fp32"):
            for isa in _native.available(precision):
                for side in (64, 256, 1024) if isa != "generic" else (64,):
                    for threads in (1, 2):
                        question = ("ours", side, threads, precision, isa)
                        name = f"{precision} {isa} {side}² {threads} threads"
                        rows[name] = in_turns(new, old, [question] * 2, options.seconds)
                        show(name, rows[name])
        rows["load"] = in_turns(new, old, [("load",)] * 2, options.seconds)
        show("load", rows["load"])
        rows["memory of 6000×4000, MB"] = {"new": peak(trees[0]), "old": peak(trees[1])}
        print("memory of 6000×4000, MB:", rows["memory of 6000×4000, MB"])
        for name in ("disp-x4", "span-c28-x4") if options.networks else ():
            path = str(options.networks / f"{name}.onnx")
            tests = str(ROOT / "tests" / "graph")
            for threads in (1, 2):
                questions = [("graph", tests, path, 256, threads), ("openvino", path, 256, threads)]
                row = in_turns(worker(trees[0]), worker(trees[0]), questions, options.seconds)
                rows[f"{name} 256² {threads} threads, native / OpenVINO"] = row
                show(f"{name} 256² {threads} threads, native / OpenVINO", row)
    facts = machine.describe()
    target = ROOT / "benchmarks" / "results" / machine.folder_name(facts) / "bars-08.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    record = {"commit": options.commit, "machine": facts, "rows": rows}
    target.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    print(target)


def show(name: str, row: Any) -> None:
    """One line."""
    print(
        f"{name}: {row['first_ms']:.2f} / {row['second_ms']:.2f} ms = {row['ratio']:.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
