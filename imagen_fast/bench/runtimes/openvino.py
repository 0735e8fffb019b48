"""OpenVINO on the CPU, with its hints for latency and for precision."""

from __future__ import annotations

import numpy as np
import openvino as ov

from imagen_fast.bench.runtimes import Contestant, Images, Run

HINTS = {"fp32": "f32", "bf16": "bf16"}


def ready(c: Contestant, images: Images, file: str) -> tuple[Run, str]:
    """Compiled for the images' shape."""
    x = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    core = ov.Core()
    model = core.read_model(file)
    model.reshape(x.shape)
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[c.precision],
        "INFERENCE_NUM_THREADS": c.threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def run() -> Images:
        output: Images = request.infer({0: x})[0].clip(0, 1).transpose(0, 2, 3, 1)
        return output

    return run, ""
