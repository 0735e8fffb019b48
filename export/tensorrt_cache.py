"""Where engines and timings of kernels are kept between runs, and under which names.

A cached engine's name is a digest of all that it depends on, so another version, GPU, model or
option never meets it. The folder is the user's alone: an engine is machine code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from .options import ExportOptions

VARIABLE = "IMAGEN_FAST_CACHE"


@dataclass(frozen=True)
class Place:
    """What engines belong to: they run nowhere else.

    Attributes:
        tensorrt: TensorRT's version.
        gpu: the GPU's name.
        capability: its compute capability, such as "9.0".
    """

    tensorrt: str
    gpu: str
    capability: str

    def __str__(self) -> str:
        return f"TensorRT {self.tensorrt} on {self.gpu} ({self.capability})"


def folder() -> Path:
    """`$IMAGEN_FAST_CACHE`, else `imagen-fast` in the user's cache; made, for the user alone."""
    chosen = os.environ.get(VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = (Path(chosen) if chosen else Path(base) / "imagen-fast") / "tensorrt"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def engine_path(onnx: bytes, options: ExportOptions, place: Place) -> Path:
    """For the engine of this graph, weights included, with these options in this place."""
    parts = {
        "onnx": hashlib.sha256(onnx).hexdigest(),
        "options": asdict(options),
        "place": asdict(place),
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return folder() / f"{digest}.engine"


def timing_path(place: Place) -> Path:
    """For the timings of kernels, which every engine in this place shares."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{place.tensorrt}-{place.gpu}-{place.capability}")
    return folder() / f"timing-{name}.cache"
