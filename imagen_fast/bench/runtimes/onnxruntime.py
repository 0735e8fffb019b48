"""ONNX Runtime on the CPU, with all graph optimisations."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from imagen_fast.bench.runtimes import Contestant, Images, Run


def ready(c: Contestant, images: Images, file: str) -> tuple[Run, str]:
    """A session for the images' shape."""
    x = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    options = ort.SessionOptions()
    options.intra_op_num_threads = c.threads
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: x})[0].clip(0, 1).transpose(0, 2, 3, 1), ""
