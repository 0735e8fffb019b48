"""A fast inference engine for image-to-image generators.

    import imagen_fast

    imagen_fast.upscale("photo.jpg", scale=4)        # → photo_x4.png
    with imagen_fast.load("sr-x4") as engine:        # for many pictures
        large = engine(image)

Names are loaded when they are first used: importing the package costs milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from imagen_fast._version import __version__

if TYPE_CHECKING:
    from imagen_fast.engine import Engine
    from imagen_fast.errors import (
        BackendError,
        BenchmarkError,
        ExportError,
        ImageError,
        ImagenError,
        ImageWarning,
        OperationError,
        SpecError,
        TilingError,
        TrainingError,
        VideoError,
        WeightsError,
    )
    from imagen_fast.loading import load
    from imagen_fast.spec import ModelSpec, preset
    from imagen_fast.tasks.generate import generate
    from imagen_fast.tasks.restore import restore
    from imagen_fast.tasks.stylize import stylize
    from imagen_fast.tasks.upscale import upscale

__all__ = [
    "BackendError",
    "BenchmarkError",
    "Engine",
    "ExportError",
    "ImageError",
    "ImageWarning",
    "ImagenError",
    "ModelSpec",
    "OperationError",
    "SpecError",
    "TilingError",
    "TrainingError",
    "VideoError",
    "WeightsError",
    "__version__",
    "generate",
    "load",
    "preset",
    "restore",
    "stylize",
    "upscale",
]

_PLACES = {
    "Engine": "engine",
    "ModelSpec": "spec",
    "generate": "tasks.generate",
    "load": "loading",
    "preset": "spec",
    "restore": "tasks.restore",
    "stylize": "tasks.stylize",
    "upscale": "tasks.upscale",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PLACES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
