"""ONNX Runtime: its CPU, CUDA and TensorRT providers. The last two have not yet run on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort

from imagen_fast.bench.contestant import Contestant
from imagen_fast.bench.runtimes import Images, Run
from imagen_fast.errors import BenchmarkError


def ready(c: Contestant, images: Images, file: str) -> tuple[Run, str]:
    """A session on the one provider that was asked for: none falls back to another."""
    provider, settings = _provider(c)
    if provider not in ort.get_available_providers():
        have = ", ".join(ort.get_available_providers())
        raise BenchmarkError(f"this onnxruntime has no {provider} (it has {have})")
    x = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    options = ort.SessionOptions()
    options.intra_op_num_threads = c.threads
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(file, options, providers=[(provider, settings)])
    if session.get_providers()[0] != provider:
        raise BenchmarkError(f"{provider} did not start; its driver or libraries are missing")
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: x})[0].clip(0, 1).transpose(0, 2, 3, 1), ""


def _provider(c: Contestant) -> tuple[str, dict[str, Any]]:
    if c.runtime == "tensorrt":
        half = {"fp16": {"trt_fp16_enable": True}, "bf16": {"trt_bf16_enable": True}}
        return "TensorrtExecutionProvider", half.get(c.precision, {})
    if c.device == "cpu":
        return "CPUExecutionProvider", {}
    return "CUDAExecutionProvider", {"cudnn_conv_algo_search": "EXHAUSTIVE", "use_tf32": False}
