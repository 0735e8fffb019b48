"""Configurations found fastest on a GPU, from the reviewed files in `configs/`.

A file is for one GPU's name and one minor version of Triton, and `benchmarks/tune_triton.py`
writes it. Where there is none, every kernel takes its `default_config`, which compiles without
spills on all architectures. The variable IMAGEN_FAST_TRITON_CONFIGS names another folder, for
files of one's own. A file that is damaged, or asks for what a kernel cannot do, is an
error: nobody should wonder why a GPU is slow or an answer wrong.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
import triton

from imagen_fast.errors import BackendError

from .device import DTYPES
from .tuning_rules import problem, unfit

FOLDER = Path(os.environ.get("IMAGEN_FAST_TRITON_CONFIGS") or Path(__file__).parent / "configs")
FORMAT = "imagen-fast-triton-configs-1"
FIELDS = {"format", "gpu", "triton", "machine", "kernels"}

# Kernel → key → configuration. A key tells weights of different shapes and dtypes apart.
Configs = Mapping[str, Mapping[str, dict[str, Any]]]


def tuned(kernel: str, weights: Any, device: torch.device) -> dict[str, Any] | None:
    """What is fastest for a kernel and its packed weights on a device; None where nobody knows.

    Raises:
        BackendError: the device's file is damaged, or does not fit these weights.
    """
    found = of_device(device).get(kernel)
    config = found.get(key(kernel, weights)) if found else None
    if config and (wrong := unfit(kernel, weights, config)):
        raise BackendError(f"{kernel} {key(kernel, weights)} in {_path_of(device)}: {wrong}")
    return config


@cache
def of_device(device: torch.device) -> Configs:
    """All of a device's configurations; none off CUDA."""
    path = _path_of(device)
    return load(path) if path is not None and path.exists() else {}


def _path_of(device: torch.device) -> Path | None:
    if device.type != "cuda":
        return None
    return path_for(torch.cuda.get_device_name(device), triton.__version__)


def path_for(gpu: str, version: str) -> Path:
    """The file of a GPU and a version of Triton: `nvidia-h100-80gb-hbm3-triton-3.6.json`."""
    slug = re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
    return FOLDER / f"{slug}-triton-{minor(version)}.json"


def minor(version: str) -> str:
    """Major and minor version: "3.6" of "3.6.0+git1234"."""
    return ".".join(version.split(".")[:2])


def key(kernel: str, weights: Any) -> str:
    """Tells forms of different weights apart: `c64_bf16`."""
    if kernel == "conv_block":
        return f"c{weights.channels}_{DTYPES[weights.taps.dtype]}"
    if kernel in ("down", "up"):
        return f"c{weights.channels}_c{weights.coarser}_{DTYPES[weights.matrix.dtype]}"
    if kernel == "stem":
        dtype = DTYPES[weights.matrix.dtype]
        return f"c{weights.channels}_i{weights.image_channels}_{dtype}"
    if kernel == "head":
        shape = f"c{weights.channels}_i{weights.image_channels}_x{weights.scale}"
        return f"{shape}_{DTYPES[weights.taps.dtype]}"
    from .attention_variant import label

    return f"{label(weights)}_{DTYPES[weights.qkv.dtype]}"


def load(path: Path) -> Configs:
    """A file's configurations, all of them checked.

    Raises:
        BackendError: it cannot be read, or something in it is not as this module writes it.
    """

    def refuse(what: str) -> BackendError:
        return BackendError(
            f"{path}: {what}; write it anew with benchmarks/tune_triton.py, or remove it to use "
            "the defaults"
        )

    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise refuse(f"not readable as JSON ({error})") from error
    if not isinstance(data, dict) or data.keys() != FIELDS or data["format"] != FORMAT:
        raise refuse(f"expected an object with {', '.join(sorted(FIELDS))}, of format {FORMAT!r}")
    if not all(isinstance(data[name], str) for name in ("gpu", "triton")):
        raise refuse("gpu or triton is no text")
    if path.name != path_for(data["gpu"], data["triton"]).name:
        raise refuse(f"it is for {data['gpu']!r} and Triton {data['triton']}, not what its name is")
    if not isinstance(data["kernels"], dict):
        raise refuse("kernels is no object")
    for kernel, configs in data["kernels"].items():
        if not isinstance(configs, dict):
            raise refuse(f"{kernel} is no object")
        for name, config in configs.items():
            if wrong := problem(kernel, config):
                raise refuse(f"{kernel} {name}: {wrong}")
    kernels: Configs = data["kernels"]
    return kernels


def dump(gpu: str, version: str, machine: dict[str, Any], kernels: Configs) -> str:
    """A file's text, which `load` takes: a line a configuration, so that a review can read it."""
    lines = []
    for kernel, configs in sorted(kernels.items()):
        rows = [f"   {json.dumps(name)}: {json.dumps(c)}" for name, c in sorted(configs.items())]
        lines.append(f"  {json.dumps(kernel)}: {{\n" + ",\n".join(rows) + "\n  }")
    head = {"format": FORMAT, "gpu": gpu, "triton": minor(version), "machine": machine}
    start = json.dumps(head, indent=1)[:-2]
    return start + ',\n "kernels": {\n' + ",\n".join(lines) + "\n }\n}\n"
