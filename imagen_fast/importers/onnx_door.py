"""ONNX files as graphs of ours: whatever exported them, whichever network it is."""

from __future__ import annotations

from pathlib import Path

from imagen_fast.errors import WeightsError
from imagen_fast.importers.assembly import Assembly
from imagen_fast.importers.fitting import SIZES, Foreign
from imagen_fast.importers.onnx_arithmetic import ARITHMETIC
from imagen_fast.importers.onnx_layers import LAYERS
from imagen_fast.importers.onnx_model import OnnxModel, read
from imagen_fast.importers.onnx_trace import Trace, is_channels_last


def network(path: Path) -> Foreign:
    """A file's network. Raises WeightsError: missing, damaged, too large or not of a picture."""
    model = read(path)

    def draw(a: Assembly, size: tuple[int, int]) -> str:
        return Trace(model, ARITHMETIC | LAYERS, a, size).output()

    channels, height, width = _sides(path, model)
    sizes = SIZES if height is None or width is None else ((height, width),)
    full = 255 if model.integer else None
    return Foreign(draw, channels, sizes, full, {"format": f"ONNX, opset {model.opset}"})


def _sides(path: Path, model: OnnxModel) -> tuple[int, int | None, int | None]:
    batch, *sides = model.shape
    if is_channels_last(model.shape):
        sides = [sides[2], *sides[:2]]
    channels, height, width = sides
    channels = 3 if channels is None else channels
    if channels not in (1, 3) or batch not in (None, 1):
        raise WeightsError(
            f"{path}: its input is of shape {model.shape}; expected one picture of 1 or 3 channels"
        )
    return channels, height, width
