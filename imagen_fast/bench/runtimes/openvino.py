"""OpenVINO on the CPU, with its hints for precision and for latency or throughput."""

from __future__ import annotations

import numpy as np
import openvino as ov

from imagen_fast.bench.contestant import Contestant
from imagen_fast.bench.runtimes import Images, Run


def ready(c: Contestant, images: Images, file: str) -> tuple[Run, str]:
    """Compiled for the images' shape; for throughput, a picture a request, all at once."""
    x = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    at_once = c.runtime == "openvino-throughput"
    settings = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[c.precision],
        "INFERENCE_NUM_THREADS": c.threads,
        "PERFORMANCE_HINT": "THROUGHPUT" if at_once else "LATENCY",
    }
    core = ov.Core()
    compiled = core.compile_model(core.read_model(file), "CPU", settings)
    if not at_once:
        request = compiled.create_infer_request()
        return lambda: _picture(request.infer({0: x})[0]), ""

    outputs: list[Images] = [x] * len(x)

    def keep(request: ov.InferRequest, index: int) -> None:
        outputs[index] = _picture(request.get_output_tensor().data.copy())

    queue = ov.AsyncInferQueue(compiled)
    queue.set_callback(keep)

    def run() -> Images:
        for index in range(len(x)):
            queue.start_async({0: x[index : index + 1]}, index)
        queue.wait_all()
        return np.concatenate(outputs)

    return run, ""


def _picture(y: Images) -> Images:
    """(N, 3, H, W) → (N, H, W, 3), clamped."""
    output: Images = y.clip(0, 1).transpose(0, 2, 3, 1)
    return output
