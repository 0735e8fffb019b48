"""Draw a picture in the manner of a painting."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from imagen_fast.engine import Engine
from imagen_fast.image.alpha import fill_transparent
from imagen_fast.image.background import in_color
from imagen_fast.image.canvas import canvas_of, on_canvas, painted
from imagen_fast.image.limits import DEFAULT_MAX_PIXELS
from imagen_fast.image.palette import Table, palette_of, recolored, table_of
from imagen_fast.image.picture import Picture
from imagen_fast.image.strokes import strokes
from imagen_fast.image.yuv import LUMA
from imagen_fast.samples import Samples, full, rounded
from imagen_fast.task import TASKS
from imagen_fast.tasks.laid_over import LaidOver, check_strength, model_for
from imagen_fast.tasks.single import AnyImage, FileOptions, LoadOptions, PathLike, single
from imagen_fast.tasks.style import SUFFIX, AnyStyle, Style, mix, read_style
from imagen_fast.tasks.whole_file import check_place

if TYPE_CHECKING:
    from PIL.Image import Image
    from typing_extensions import Unpack

STYLIZE = TASKS["stylize"]
DEFAULT_STRENGTH = STYLIZE.strength or 1.0
Styles: TypeAlias = "AnyStyle | Sequence[AnyStyle | tuple[AnyStyle, float]]"
BORDER = 16  # pixels around a canvas, as its outermost, that are painted and cut off
ROWS = 256  # of a picture that are finished at a time


@overload
def stylize(
    image: PathLike,
    style: Styles,
    *,
    strength: float = DEFAULT_STRENGTH,
    keep_colors: bool = False,
    save_style: PathLike | None = None,
    model: PathLike | None = None,
    **options: Unpack[FileOptions],
) -> Path: ...
@overload
def stylize(
    image: AnyImage,
    style: Styles,
    *,
    strength: float = DEFAULT_STRENGTH,
    keep_colors: bool = False,
    save_style: PathLike | None = None,
    model: PathLike | None = None,
    **options: Unpack[LoadOptions],
) -> AnyImage: ...


def stylize(
    image: PathLike | Image | NDArray[Any],
    style: Styles,
    *,
    strength: float = DEFAULT_STRENGTH,
    keep_colors: bool = False,
    save_style: PathLike | None = None,
    model: PathLike | None = None,
    **options: Unpack[FileOptions],
) -> Path | Image | NDArray[Any]:
    """Draw a picture in the manner of a painting.

    Args:
        image: a Pillow image, an array (see `Engine.__call__`), or a path.
        style: a painting, as `image`; a file that `save_style` wrote; or several such, to mix
            them, each alone or in a pair with its weight, above 0.
        strength: from 0, the picture as it is, to 1, all that the model changes: each sample moves
            so far from the one to the other.
        keep_colors: only lightness is the painting's; blue and red differences (BT.601) stay.
        save_style: a file to write what was read in the painting, or the mixture, to:
            NAME.safetensors.
        model: a bundle's path; by default the shipped model.
        output: for a path, the file to write; `{stem}_stylized.png` beside the input by default.
        overwrite: replace files that exist, that of `save_style` among them.
        quality, background, max_pixels, options: see `upscale`.

    Returns:
        A Pillow image, an array or the path of the written file, as `image` was; always in colour,
        so that (H, W) and (H, W, 1) become (H, W, 3).

    Raises:
        ImageError: see `upscale`; or the strength or a weight is out of range, or a painting cannot
            be read.
        WeightsError: no such model, it does not stylize, or it is damaged, as may be a saved style.
        BackendError, TilingError: see `imagen_fast.load`.
    """
    model = model_for(STYLIZE, model)
    check_strength(strength)
    styles = _pairs(style)
    paintings = [one for one, _ in styles]
    overwrite = options.get("overwrite", False)
    if save_style is not None:
        check_place(Path(save_style), (SUFFIX,), overwrite, read=[image, *paintings])
        if not isinstance(image, str | os.PathLike):
            options.pop("overwrite", None)  # the style's alone: no picture is written

    def through(engine: Engine) -> Stylizer:
        found = style_of(engine, styles, options.get("max_pixels", DEFAULT_MAX_PIXELS))
        if save_style is not None:
            found.save(save_style, overwrite=overwrite)
        return Stylizer(engine, found, strength, keep_colors)

    return single(
        image,
        model,
        through,
        STYLIZE.suffix_for(1),
        options,
        color=True,
        beside=paintings,
    )


def style_of(
    engine: Engine,
    styles: Sequence[tuple[AnyStyle, float]],
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Style:
    """One style, or several mixed. Raises as `read_style` and `mix`."""
    read = [read_style(engine, style, max_pixels) for style, _ in styles]
    return mix(read, [weight for _, weight in styles])


class Stylizer(LaidOver):
    """An engine with a style, whose picture is laid over the one that it got.

    The engine sees the picture as a canvas (`image/canvas.py`) in the painting's colours, with
    strokes on it. `first` is the picture that says how colours move and where strokes lie, each by
    itself unless given: a film's frames, of one size, go by the first of them.
    """

    def __init__(
        self,
        engine: Engine,
        style: Style,
        strength: float = DEFAULT_STRENGTH,
        keep_colors: bool = False,
        first: Picture | None = None,
    ) -> None:
        super().__init__(engine, strength)
        self._also, self._keep_colors = {"tokens": style.tokens}, keep_colors
        self._palette, self._marks = style.palette, style.strokes
        self._table: Table | None = None
        self._strokes: NDArray[np.float32] | None = None
        if first is not None:
            color = in_color(first).color
            self._table, self._strokes = self._table_for(color), strokes(canvas_of(color))

    def stream(
        self, picture: Picture, progress: Callable[[float], None] | None = None
    ) -> Iterator[Samples]:
        """The stylized picture's rows (h, W, 3), or with alpha (h, W, 4), as `Engine.stream`."""
        picture = in_color(picture)
        color, alpha = picture.color, picture.alpha
        if alpha is not None:
            color = fill_transparent(color, alpha)
        table = self._table_for(color) if self._table is None else self._table
        moved = recolored(color, table)
        given = canvas_of(moved)
        laid = strokes(canvas_of(color)) if self._strokes is None else self._strokes
        primed = on_canvas(given, laid, self._marks)
        # In training nothing near a border counts, where zeros are beyond it.
        primed = np.pad(primed, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="edge")
        drawn = np.concatenate(list(self._engine.stream(Picture(primed), progress, self._also)))
        drawn = drawn[BORDER:-BORDER, BORDER:-BORDER]
        for top in range(0, len(color), ROWS):
            part = slice(top, min(top + ROWS, len(color)))
            before, after = color[part], painted(moved, given, drawn, part)
            if self._keep_colors:
                after = _with_colors_of(before, after)
            rows = self._mixed(before, after)
            yield rows if alpha is None else np.concatenate([rows, alpha[part][..., None]], axis=2)

    def _table_for(self, color: Samples) -> Table:
        return table_of(palette_of(color), self._palette)


def _with_colors_of(before: Samples, after: Samples) -> Samples:
    """The lightness of `after`, and the colour differences of `before`."""
    lighter = (after @ LUMA - before @ LUMA)[..., None]
    return rounded((before + lighter).clip(0, full(before.dtype)), before.dtype)


def _pairs(style: Styles) -> list[tuple[AnyStyle, float]]:
    if isinstance(style, list | tuple):
        return [one if isinstance(one, tuple) and len(one) == 2 else (one, 1.0) for one in style]
    return [(style, 1.0)]  # type: ignore[list-item]
