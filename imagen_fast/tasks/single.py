"""One picture through a model: a Pillow image, an array or a file, and the same kind back."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar, cast

from numpy.typing import NDArray

from imagen_fast import atomic
from imagen_fast.engine import Engine
from imagen_fast.errors import ImageError
from imagen_fast.image.given import no_picture
from imagen_fast.image.limits import DEFAULT_MAX_PIXELS
from imagen_fast.image.picture import Picture
from imagen_fast.loading import check, load
from imagen_fast.samples import Samples

if TYPE_CHECKING:
    from PIL.Image import Image


PathLike = str | os.PathLike[str]


class LoadOptions(TypedDict, total=False):
    """What `imagen_fast.load` takes beside the model."""

    backend: str
    device: str
    precision: str
    threads: int | None
    tile: int
    overlap: int | None
    isa: str


class FileOptions(LoadOptions, total=False):
    """And what a call takes for a file beside that."""

    output: PathLike | None
    overwrite: bool
    quality: int | None
    background: str | None
    max_pixels: int


# A Pillow image or an array, of which the same kind comes back.
AnyImage = TypeVar("AnyImage", "Image", NDArray[Any])


class Pictures(Protocol):
    """What makes a picture of a picture: an engine, or something around one."""

    def __call__(self, image: Any) -> Any:
        """Of the same kind, as `Engine.__call__`."""

    def stream(self, picture: Picture) -> Iterator[Samples]:
        """Its rows, as `Engine.stream`."""


def single(
    image: PathLike | Image | NDArray[Any],
    name: PathLike,
    through: Callable[[Engine], Pictures],
    suffix: str,
    options: FileOptions,
    color: bool = False,
    beside: Iterable[object] = (),
) -> Path | Image | NDArray[Any]:
    """The picture through the model `name`; a file is written beside it, or as `output`.

    color: what is made of it has three channels even if the picture has one.
    beside: what is read as well, and is no more written to than the picture.

    Raises:
        ImageError, WeightsError, BackendError, TilingError: see `upscale`.
    """
    if unknown := options.keys() - FileOptions.__optional_keys__ - FileOptions.__required_keys__:
        raise TypeError(f"unexpected keyword argument {min(unknown)!r}")
    output, overwrite = options.get("output"), options.get("overwrite", False)
    quality, background = options.get("quality"), options.get("background")
    max_pixels = _whole("max_pixels", options.get("max_pixels", DEFAULT_MAX_PIXELS), 2**62)
    if quality is not None:
        quality = _whole("quality", quality, 100)
    if not isinstance(image, str | os.PathLike):
        if isinstance(image, bytes | bytearray | memoryview) or hasattr(image, "read"):
            raise no_picture(image)
        given = (output, quality, background) != (None, None, None) or overwrite
        if given or max_pixels != DEFAULT_MAX_PIXELS:
            raise ImageError(
                "output, overwrite, quality, background and max_pixels are for paths only; "
                "save the returned picture yourself"
            )
        with load(name, **of_load(options)) as engine:
            result: Image | NDArray[Any] = through(engine)(image)
            return result
    check(name, **of_load(options))
    from imagen_fast.image.background import color_of, in_color, opaque_where_needed

    behind = None if background is None else color_of(background)
    source, target = _places(image, output, suffix, overwrite, beside)
    with atomic.refused_as(ImageError, target):  # where the current folder is gone
        folder = Path(os.path.realpath(target)).parent
    atomic.tidy(folder)
    with load(name, **of_load(options)) as engine:
        from imagen_fast.image.read import read
        from imagen_fast.image.write import writer_for

        picture = opaque_where_needed(read(source, max_pixels=max_pixels), target, behind)
        picture = in_color(picture) if color else picture
        with writer_for(target, picture, engine.scale, quality, overwrite) as writer:
            for rows in through(engine).stream(picture):
                writer.write(rows)
    return target


def of_load(options: FileOptions) -> LoadOptions:
    """Those for `load`, which refuses what nobody knows."""
    of_files = FileOptions.__annotations__.keys() - LoadOptions.__annotations__.keys()
    return cast(LoadOptions, {key: x for key, x in options.items() if key not in of_files})


def _whole(name: str, value: object, most: int) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if not 1 <= number <= most:
        raise ImageError(f"{name} is {value!r}; expected an int from 1 to {most}")
    return number


def _places(
    image: PathLike,
    output: PathLike | None,
    suffix: str,
    overwrite: bool,
    beside: Iterable[object],
) -> tuple[Path, Path]:
    """The file to read and the file to write, which may not exist unless `overwrite`."""
    if not os.fspath(image):
        raise ImageError("the path of the picture is empty; expected a picture file")
    if "\0" in f"{image}{output}":
        raise ImageError("a path holds a NUL character; expected the name of a file")
    source = Path(image)
    if source.is_dir():
        raise ImageError(f"{source}: it is a folder, expected a picture file")
    if output is not None and not isinstance(output, str | os.PathLike):
        raise ImageError(f"output is {output!r}; expected the path of a file")
    target = Path(output) if output else source.with_name(f"{source.stem}{suffix}.png")
    atomic.check_not_read(target, (source, *beside), ImageError)
    if os.path.lexists(target) and not overwrite:
        raise ImageError(f"{target} exists; pass overwrite=True to replace it, or another output")
    return source, target
