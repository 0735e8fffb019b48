"""A style: what a model reads in a painting, kept in a file, mixed with others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from imagen_fast.engine import Engine
from imagen_fast.errors import ImageError, WeightsError
from imagen_fast.image.given import rgb_of
from imagen_fast.image.limits import DEFAULT_MAX_PIXELS
from imagen_fast.image.palette import COLORS, Palette, palette_of
from imagen_fast.image.resample import resize
from imagen_fast.image.strokes import strength_of
from imagen_fast.tasks.whole_file import check_place, whole_file

if TYPE_CHECKING:
    from PIL.Image import Image

FORMAT = "imagen-fast-style-3"
SUFFIX = ".safetensors"
# Pixels that a painting is reduced or enlarged to, of whatever shape: as in training, where strokes
# have the size of the picture's details.
AREA = 480 * 384
MOST_TOKENS = 1 << 14

_open: Callable[..., Any] = safe_open  # which has no annotations


@dataclass(frozen=True, eq=False)
class Style:
    """What a model's encoder found in one painting, or in several.

    Attributes:
        tokens: (1, h, w, C) float32.
        palette: (COLORS, 3) float32, its colours.
        strokes: how strong its strokes are, as a part of white.
        model: which weights they are of, as `fingerprint` gives it.
    """

    tokens: NDArray[np.float32]
    palette: Palette
    strokes: float
    model: str

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write it as safetensors; the file is there whole or not at all.

        Raises ImageError, as where the name does not end in .safetensors, or is taken and
        `overwrite` is False.
        """
        check_place(Path(path), (SUFFIX,), overwrite)
        with whole_file(Path(path), overwrite) as file:
            strokes = np.array([self.strokes], np.float32)
            tensors = {"tokens": self.tokens, "palette": self.palette, "strokes": strokes}
            file.write(save(tensors, {"format": FORMAT, "model": self.model}))


AnyStyle: TypeAlias = "str | os.PathLike[str] | Image | NDArray[Any] | Style"


def read_style(engine: Engine, style: AnyStyle, max_pixels: int = DEFAULT_MAX_PIXELS) -> Style:
    """The style of a painting: a path, a Pillow image or an array; or one that was saved.

    Raises:
        ImageError: the painting cannot be read.
        WeightsError: a saved style is damaged, or of another model; or the model is a part of one.
        BackendError: see `Engine.run`.
    """
    _check_outputs(engine)
    model = fingerprint(engine)
    if isinstance(style, str | os.PathLike):
        path = Path(style)
        if path.suffix.lower() == SUFFIX:
            style = _saved(path)
        else:
            from imagen_fast.image.read import read

            style = _encoded(engine, read(path, max_pixels=max_pixels), model)
    elif not isinstance(style, Style):
        style = _encoded(engine, style, model)
    channels = engine.graph.values["tokens"].channels
    if style.model != model or style.tokens.shape[3] != channels:
        raise WeightsError(
            "the style was read by another model than the one that shall use it; give the painting "
            "itself, or the model that it was read by"
        )
    return style


def _check_outputs(engine: Engine) -> None:
    if missing := [name for name in ("picture", "tokens") if name not in engine.graph.outputs]:
        raise WeightsError(
            f"the model {engine.model!r} was exported without the output {missing[0]!r}; for this "
            "export it with --outputs picture,tokens"
        )


def mix(styles: Sequence[Style], weights: Sequence[float]) -> Style:
    """Several styles as one: of each as many of its tokens and colours as its weight says.

    They are spread evenly over the painting.

    Raises:
        ImageError: there is none, or a weight is not a number above 0.
    """
    if not styles:
        raise ImageError("no style; expected a painting, or several")
    if not all(isinstance(weight, Real) and 0 < float(weight) < np.inf for weight in weights):
        raise ImageError(f"the weights of the styles are {list(weights)}; expected numbers above 0")
    if len(styles) == 1:
        return styles[0]
    tokens = _mixed([x.tokens.reshape(-1, x.tokens.shape[3]) for x in styles], weights)
    palette = _mixed([x.palette for x in styles], weights)
    strokes = float(np.average([x.strokes for x in styles], weights=weights))
    return Style(tokens[None, None], _spread(palette, COLORS), strokes, styles[0].model)


def _mixed(parts: Sequence[NDArray[np.float32]], weights: Sequence[float]) -> NDArray[np.float32]:
    most, total = max(map(len, parts)), sum(weights)
    counts = [max(1, round(most * weight / total)) for weight in weights]
    return np.concatenate([_spread(x, n) for x, n in zip(parts, counts, strict=True)])


def _spread(rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """So many of the rows, evenly spread."""
    found: NDArray[np.float32] = rows[np.linspace(0, len(rows) - 1, count).round().astype(int)]
    return found


def fingerprint(engine: Engine) -> str:
    """Which weights an engine has: a digest of them."""
    digest = hashlib.sha256()
    for name, tensor in sorted(engine.tensors.items()):
        digest.update(name.encode() + np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()[:16]


def _encoded(engine: Engine, painting: Any, model: str) -> Style:
    rgb = rgb_of(painting, "painting")
    height, width = rgb.shape[:2]
    factor = (AREA / (height * width)) ** 0.5
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    reduced = resize(rgb, *size).clip(0, 1)
    tokens = engine.compute({"style": reduced[None]}, ["tokens"])["tokens"]
    palette = palette_of(np.rint(rgb * 255).astype(np.uint8))
    return Style(tokens, palette, strength_of(reduced), model)


def _saved(path: Path) -> Style:
    def wrong(problem: str) -> WeightsError:
        return WeightsError(f"{path}: {problem}; expected a file that --save-style wrote")

    if not path.is_file():
        raise WeightsError(f"{path}: no such file; expected a painting, or a style that was saved")
    try:
        with _open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise wrong("it holds no style")
            if sorted(file.keys()) != ["palette", "strokes", "tokens"]:
                raise wrong("its tensors are others than a style's")
            slices = [file.get_slice(name) for name in ("tokens", "palette", "strokes")]
            shape, colors, strokes = (x.get_shape() for x in slices)
            whole = len(shape) == 4 and shape[0] == 1 and 0 < shape[1] * shape[2] <= MOST_TOKENS
            types = {x.get_dtype() for x in slices}
            if not whole or colors != [COLORS, 3] or strokes != [1] or types != {"F32"}:
                raise wrong("its tensors are of another kind")
            style = Style(
                file.get_tensor("tokens"),
                file.get_tensor("palette"),
                float(file.get_tensor("strokes")[0]),
                metadata.get("model", ""),
            )
    except (SafetensorError, OSError, ValueError) as error:
        raise wrong(f"not a safetensors file, or damaged ({error})") from error
    if not all(np.isfinite(x).all() for x in (style.tokens, style.palette, style.strokes)):
        raise wrong("it holds values that are not finite")
    return style
