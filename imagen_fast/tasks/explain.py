"""What a model did with a picture, as a page that needs nothing but a browser.

A detail of the picture is taken, since a page of a whole photograph would have gigabytes of
attention maps. Of it the page holds what the model changed, where its attention looked, and which
pixels an output pixel can depend on (the graph's reach) and does depend on (gradients, which take
PyTorch).
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast import backends, catalogue
from imagen_fast._version import __version__
from imagen_fast.errors import BackendError, ImageError
from imagen_fast.graph import Graph, Operation
from imagen_fast.graph.kinds import KINDS
from imagen_fast.graph.reach import alignment, reads
from imagen_fast.image.picture import Picture, eight_bits
from imagen_fast.image.resample import resize
from imagen_fast.loading import check_alone, load
from imagen_fast.model_file import load_model, read_header
from imagen_fast.samples import Samples
from imagen_fast.tasks.single import LoadOptions, PathLike
from imagen_fast.tasks.whole_file import check_place, whole_file

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from imagen_fast.backends.eager import Eager

SUFFIXES = (".html", ".htm")
LEAST_SIDE, MOST_SIDE, USUAL_SIDE = 16, 256, 128  # of a detail, in pixels
MAP_BYTES = 6 << 20  # attention maps of a page at most; a third more as text
POINTS = 7  # along each side, for which gradients are computed; odd, so that one is in the middle
THUMBNAIL = 240

Box = tuple[int, int, int, int]  # left, top, width, height


def explain(
    model: PathLike,
    picture: Picture,
    name: str,
    *,
    side: int = USUAL_SIDE,
    at: tuple[int, int] | None = None,
    whole: bool = False,
    gradients: bool = True,
    say: Callable[[str], None] = lambda text: None,
    **options: Unpack[LoadOptions],
) -> str:
    """The page, as HTML.

    Args:
        model: by name or path, one that makes a picture of one picture.
        name: of the picture, as the page shows it.
        side: of the detail, in pixels; less where the model's attention maps would be too many.
        at: column and row of the detail's middle; the picture's if None.
        whole: reduce the picture to this size in place of cutting a detail.
        gradients: compute them where PyTorch is installed.
        say: told what is going on.
        options: as `imagen_fast.load` takes them.

    Raises:
        ImageError: `at` lies outside the picture.
        WeightsError, BackendError: see `load` and calling an engine; and that the model needs more
            than a picture.
    """
    path = catalogue.resolve(model)
    check_alone(path, read_header(path, options.get("backend", "auto")))
    color = eight_bits(picture.color)
    color = np.repeat(color, 3, axis=2) if color.shape[2] == 1 else color
    with load(model, **options) as engine:
        maps = attention_operations(engine.graph)
        side = min(side, _affordable(engine.graph, list(maps)))
        part, box = _reduced(color, side) if whole else _detail(color, side, at)
        part = np.ascontiguousarray(part)
        say("running the model")
        large = engine(part)
        found = engine.outputs(part, list(maps)) if maps else {}
        graph, info = engine.graph, engine.info()
    missing = [] if maps else ["Attention maps: this network has no attention within windows."]
    influence, why = _gradients(model, part, say) if gradients else ([], "left out, as asked for")
    if why:
        missing.append(f"Gradients, which say what a pixel does depend on: {why}.")
    data = {
        "name": name,
        "model": info["model"],
        "facts": [str(info[key]) for key in ("backend", "precision", "device")],
        "version": __version__,
        "scale": graph.scale,
        "size": [color.shape[1], color.shape[0]],
        "box": box,
        "whole": whole,
        "width": part.shape[1],
        "height": part.shape[0],
        "input": _png(part),
        "output": _png(large),
        "thumbnail": _png(_reduced(color, THUMBNAIL)[0]) if part.size < color.size else None,
        "baselines": _baselines(part, large, graph.scale),
        "maps": [_map(graph, x, found[key]) for key, x in maps.items()],
        "reach": [_reach(graph, length) for length in part.shape[1::-1]],
        "influence": influence,
        "missing": missing,
    }
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    template = resources.files(__package__).joinpath("explain.html").read_text("utf-8")
    parts = {"TITLE": html.escape(f"{name} through {info['model']}"), "DATA": text}
    return re.sub("__(TITLE|DATA)__", lambda place: parts[place[1]], template)


def write(target: Path, page: str, *, overwrite: bool = False) -> None:
    """The page as a file. Raises ImageError where it cannot be written."""
    check_place(target, SUFFIXES, overwrite)
    with whole_file(target, overwrite) as file:
        file.write(page.encode("utf-8", "replace"))


def attention_operations(graph: Graph) -> dict[str, Operation]:
    """The outputs of a graph that are attention maps of a picture, with what computes them."""
    first = next(iter(graph.inputs))
    by_value = {x.output: x for x in graph.operations if x.kind == "attention_map"}
    return {
        name: by_value[output.value]
        for name, output in graph.outputs.items()
        if output.value in by_value and graph.values[output.value].grid.of == first
    }


def _affordable(graph: Graph, maps: Sequence[str]) -> int:
    """The side of a detail whose attention maps are within `MAP_BYTES`."""
    values = [graph.values[graph.outputs[name].value] for name in maps]
    bytes_ = sum(x.channels * x.grid.factor**2 / 4**x.grid.halvings for x in values)
    return max(LEAST_SIDE, int((MAP_BYTES / max(bytes_, 1)) ** 0.5) // 8 * 8)


def _detail(color: Samples, side: int, at: tuple[int, int] | None) -> tuple[Samples, Box]:
    """The square around `at`, moved inside the picture where it reaches beyond."""
    height, width, _ = color.shape
    x, y = (width // 2, height // 2) if at is None else at
    if not (0 <= x < width and 0 <= y < height):
        raise ImageError(
            f"the point {x},{y} lies outside the picture of {width} × {height} pixels; expected "
            f"0 to {width - 1} and 0 to {height - 1}"
        )
    left = max(0, min(x - side // 2, width - side))
    top = max(0, min(y - side // 2, height - side))
    part = color[top : top + side, left : left + side]
    return part, (left, top, part.shape[1], part.shape[0])


def _reduced(color: Samples, side: int) -> tuple[Samples, Box]:
    """The whole picture, its longer side `side` or less."""
    height, width, _ = color.shape
    factor = min(1.0, side / max(height, width))
    size = (max(1, round(factor * height)), max(1, round(factor * width)))
    small = color if factor == 1 else _bytes(resize(color, *size))
    return small, (0, 0, width, height)


def _bytes(samples: Samples) -> NDArray[np.uint8]:
    whole: NDArray[np.uint8] = np.rint(samples.clip(0, 255)).astype(np.uint8)
    return whole


def _baselines(part: Samples, large: Samples, scale: int) -> list[dict[str, Any]]:
    """What the model's picture is compared with: pictures, and how far it is from each."""
    height, width = large.shape[:2]
    if scale == 1:
        named = [("the picture as it was", part)]
    else:
        repeated = part.repeat(scale, 0).repeat(scale, 1)
        named = [("bicubic", _bytes(resize(part, height, width))), ("pixels repeated", repeated)]
    return [
        {"name": name, "picture": _png(other), **_change(large, other)} for name, other in named
    ]


def _change(large: Samples, other: Samples) -> dict[str, float]:
    """How far samples lie apart, in levels of 255."""
    apart = np.abs(large.astype(np.int16) - other)
    return {
        "mean": round(float(apart.mean()), 2),
        "high": float(np.percentile(apart, 99)),
        "most": int(apart.max()),
        "part": round(float((apart.max(2) > 8).mean()), 4),
    }


def _map(graph: Graph, operation: Operation, array: Samples) -> dict[str, Any]:
    """An attention map: square roots of probabilities in bytes, (h, w, heads · window²)."""
    settings = KINDS["attention_map"].settings(operation)
    grid = graph.values[operation.output].grid
    height, width, channels = array.shape
    probabilities = np.rint(255 * np.sqrt(array.clip(0, 1))).astype(np.uint8)
    return {
        "label": _label(graph, operation),
        "across": len(operation.inputs) > 1 and bool(operation.inputs[1]),
        "pixel": 2**grid.halvings / grid.factor,
        "width": width,
        "height": height,
        "window": settings["window"],
        "shift": settings["shift"],
        "heads": channels // settings["window"] ** 2,
        "data": base64.b64encode(probabilities).decode(),
    }


def _label(graph: Graph, operation: Operation) -> str:
    """The name of the attention whose probabilities these are: that of the same weights."""
    for other in graph.operations:
        same = other.tensors.get("q") == operation.tensors["q"]
        if other.kind == "window_attention" and same:
            part, level, block, *_ = [*other.output.split("."), "", ""]
            if part in ("encoder", "decoder") and level.isdigit() and block.isdigit():
                return f"{part}, level {level}" + (f", block {block}" if block != "0" else "")
            return other.output
    return operation.output


def _reach(graph: Graph, length: int) -> list[list[int]] | None:
    """First and last pixel that can change each pixel's output, along a side; None: all can."""
    step = alignment(graph)
    intervals = [reads(graph, position) for position in range(min(step, length))]
    found = []
    for position in range(length):
        interval = intervals[position % step]
        if interval is None:
            return None
        start = position - position % step
        found.append([max(interval[0] + start, 0), min(interval[1] + start, length - 1)])
    return found


def _gradients(
    model: PathLike, part: Samples, say: Callable[[str], None]
) -> tuple[list[dict[str, Any]], str]:
    """Of `POINTS`² pixels, what decides their output; or none, and why."""
    if lacking := backends.backend_class("eager").missing():
        return [], lacking
    import torch

    from imagen_fast.backends.eager import Eager

    before = torch.get_num_threads()
    bundle = load_model(catalogue.resolve(model))
    try:
        # One thread: what is computed is so small that several wait for each other.
        eager = Eager(bundle, device="cpu", precision="fp32", threads=1)
        return _influences(eager, part, say), ""
    except BackendError as error:
        return [], str(error)
    finally:
        torch.set_num_threads(before)


def _influences(eager: Eager, part: Samples, say: Callable[[str], None]) -> list[dict[str, Any]]:
    reach = [_reach(eager.graph, length) for length in part.shape[:2]]
    step = alignment(eager.graph)
    image = part.astype(np.float32) / np.float32(255)
    rows, columns = (_places(length) for length in part.shape[:2])
    found: list[dict[str, Any]] = []
    for y in rows:
        for x in columns:
            say(f"gradients: {len(found) + 1} of {len(rows) * len(columns)}")
            (top, bottom), (left, right) = (
                (0, length - 1) if side is None else side[place]
                for side, place, length in zip(reach, (y, x), part.shape[:2], strict=True)
            )
            top, left = top // step * step, left // step * step
            seen = image[None, top : bottom + 1, left : right + 1]
            strength = eager.gradient(seen, y - top, x - left).sum(2)
            found.append(_influence(strength, x, y, left, top))
    return found


def _influence(strength: Samples, x: int, y: int, left: int, top: int) -> dict[str, Any]:
    """Strengths relative to the largest as bytes, their square roots; and how far most reach."""
    height, width = strength.shape
    far = np.maximum(
        np.abs(np.arange(top, top + height) - y)[:, None],
        np.abs(np.arange(left, left + width) - x)[None],
    )
    by_distance = np.cumsum(np.bincount(far.ravel(), strength.ravel()))
    near = int(np.searchsorted(by_distance, 0.9 * by_distance[-1]))
    relative = np.sqrt(strength / max(float(strength.max()), 1e-30))
    return {
        **{"x": x, "y": y, "left": left, "top": top, "width": width, "height": height},
        "near": near,
        "data": base64.b64encode(np.rint(255 * relative).astype(np.uint8)).decode(),
    }


def _places(length: int) -> list[int]:
    """Pixels evenly spread along a side."""
    count = min(POINTS, length)
    return [int((2 * i + 1) * length / (2 * count)) for i in range(count)]


def _png(samples: Samples) -> str:
    """(H, W, 3) bytes as a data URL."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(samples)).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
