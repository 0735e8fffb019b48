"""What a figure was measured on, to be kept beside it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from pathlib import Path

from imagen_fast.bench import gpu
from imagen_fast.cores import cores
from imagen_fast.extras import versions

LIBRARIES = (
    *("imagen-fast", "torch", "triton", "openvino", "onnxruntime", "onnxruntime-gpu", "tensorrt"),
    *("ncnn", "numpy", "pillow"),
)
ISA = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def describe() -> dict[str, object]:
    """Processor, cores, instruction sets, GPUs, versions, commit and date, as JSON types."""
    facts, flags = processor()
    return {
        "cpu": facts["model name"] or platform.machine(),
        "family_model": f"{facts.get('cpu family', '?')}/{facts.get('model', '?')}",
        "cores": cores(),
        "isa": [name for name in ISA if name in flags],
        "gpus": gpu.names(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(LIBRARIES),
        "commit": _commit(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M"),
    }


def processor() -> tuple[dict[str, str], set[str]]:
    """What Linux says of the first core, its "model name" on every system, and its flags."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    pairs = (line.split(":", 1) for line in reversed(lines) if ":" in line)
    facts = {"model name": platform.processor()} | {k.strip(): x.strip() for k, x in pairs}
    return facts, set(facts.get("flags", facts.get("Features", "")).split())


def folder_name(machine: dict[str, object]) -> str:
    """The name of a device's folder of results: `amd-epyc-25-17-2-cores`."""
    gpus = machine["gpus"]
    assert isinstance(gpus, list)
    text = f"{machine['cpu']} {machine['family_model']} {machine['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", " ".join([*gpus[:1], text]).lower()).strip("-")


def load() -> float | None:
    """Processes that wanted to run in the last minute, on average; None where nobody counts."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _commit() -> str | None:
    """Of the checkout that this package is used from, if it is one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # no git
        return None
    return done.stdout.strip() or None
