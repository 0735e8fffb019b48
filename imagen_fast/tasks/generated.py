"""What becomes of generated pictures: a file each, a sheet, a strip or an animation."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from imagen_fast import atomic
from imagen_fast.errors import ImageError
from imagen_fast.image.picture import Picture
from imagen_fast.image.write import FORMATS, check_output
from imagen_fast.image.write import write as write_picture
from imagen_fast.tasks.generate import Generator, Latent, Pixels, between
from imagen_fast.tasks.whole_file import check_place, whole_file

STEPS = 8  # from one picture to the next
FRAME_MILLISECONDS = 80
GAP = 2  # white pixels between the pictures of a sheet

Kind = Literal["pictures", "sheet", "strip", "animation"]


@dataclass(frozen=True)
class Wanted:
    """Which pictures: arguments of `tasks.generate.generate`."""

    count: int
    seed: int
    size: tuple[int, int] | None = None
    seamless: bool = False
    truncation: float = 1.0


@dataclass(frozen=True)
class OutputFiles:
    """Files to write: `paths` are all for a sheet, strip or animation, else one a picture.

    coarser: beside each picture its coarser ones, or in a sheet before it.
    """

    kind: Kind
    paths: tuple[Path, ...]
    coarser: bool


def output_files(
    output: Path, name: str, wanted: Wanted, grid: bool, levels: bool, interpolate: bool
) -> OutputFiles:
    """What `output` means: a folder, or the only file's name.

    Raises:
        ImageError: it is one file's name and there are several, or of no format that is written.
    """
    stem = f"{name}_{wanted.seed}"
    suffix = output.suffix.lower()
    is_file = suffix in FORMATS or suffix == ".gif"
    if suffix and not is_file and not output.is_dir():
        raise ImageError(
            f"-o {output}: {suffix} cannot be written; expected a folder, or one of "
            f"{', '.join(FORMATS)}, or .gif with --interpolate"
        )
    if suffix == ".gif" and not interpolate:
        raise ImageError(f"-o {output}: .gif is for --interpolate")
    kind: Kind = "pictures"
    if interpolate:
        kind = "animation" if suffix == ".gif" else "strip"
    elif grid:
        kind = "sheet"
    elif is_file and (wanted.count > 1 or levels):
        raise ImageError(f"-o {output} names one file for several; give a folder, or --grid")
    if is_file:
        if suffix == ".gif":
            check_place(output, (".gif",), overwrite=True)
        else:
            check_output(output)
        return OutputFiles(kind, (output,), levels)
    if (output.exists() and not output.is_dir()) or str(output) == "-":
        raise ImageError(f"-o {output} is no folder, and no picture by its name")
    if kind == "pictures":
        files = tuple(output / f"{stem}_{number:05}.png" for number in range(wanted.count))
    else:
        files = (output / f"{stem}_{kind}.png",)
    return OutputFiles(kind, files, levels)


def write(
    generator: Generator,
    to: OutputFiles,
    wanted: Wanted,
    *,
    overwrite: bool = True,
    resume: bool = False,
) -> int:
    """Makes the pictures and writes them, into a folder that is made if need be.

    resume: files that exist are left as they are, and pictures not made that have all of theirs.
    It is for a file each.

    Returns how many pictures were made.

    Raises as `generate`, and ImageError as `image.write`, or where a file of such a name is there
    and `overwrite` is False.
    """
    latents = generator.latents(wanted.count, wanted.seed, wanted.size, wanted.truncation)
    levels = len(generator.backend.graph.outputs) if to.coarser and to.kind == "pictures" else 1
    files = [[_beside(path, level) for level in range(levels)] for path in to.paths]
    if not (overwrite or resume) and (
        there := [path for path in itertools.chain(*files) if path.exists()]
    ):
        raise ImageError(f"{there[0]} exists; choose another -o, or --overwrite")
    to.paths[0].parent.mkdir(parents=True, exist_ok=True)
    atomic.tidy(to.paths[0].parent)
    if to.kind in ("strip", "animation"):
        stops = list(latents)
        if to.kind == "animation":
            stops.append(stops[0])  # it begins again where it ends
        way = itertools.chain.from_iterable(
            between(start, end, STEPS) for start, end in itertools.pairwise(stops)
        )
        frames = [generator.picture(x, wanted.size, wanted.seamless) for x in way]
        if to.kind == "animation":
            with whole_file(to.paths[0], overwrite) as file:
                file.write(_gif(frames))
        else:
            frames.append(generator.picture(stops[-1], wanted.size, wanted.seamless))
            write_picture(to.paths[0], Picture(sheet(frames, len(frames))), overwrite=overwrite)
        return wanted.count

    def pyramid(latent: Latent) -> list[Pixels]:
        return generator.pyramid(latent, wanted.size, wanted.seamless, finest=not to.coarser)

    if to.kind == "sheet":
        whole = Picture(sheet([_side_by_side(pyramid(x)) for x in latents]))
        write_picture(to.paths[0], whole, overwrite=overwrite)
        return wanted.count
    made = 0
    for paths, latent in zip(files, latents, strict=True):
        missing = [not (resume and path.exists()) for path in paths]
        if not any(missing):
            continue
        for path, picture in itertools.compress(zip(paths, pyramid(latent), strict=True), missing):
            write_picture(path, Picture(picture), overwrite=overwrite)
        made += 1
    return made


def sheet(pictures: Sequence[Pixels], columns: int = 0) -> Pixels:
    """Pictures of one size in rows, on white; as many columns as rows, unless it is said."""
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    rows = [
        np.concatenate([_framed(picture) for picture in row], axis=1)
        for row in _rows(pictures, columns)
    ]
    return np.concatenate(rows)[:-GAP, :-GAP]


def _rows(pictures: Sequence[Pixels], columns: int) -> Iterator[list[Pixels]]:
    white = np.full_like(pictures[0], 255)
    for first in range(0, len(pictures), columns):
        row = list(pictures[first : first + columns])
        yield row + [white] * (columns - len(row))


def _framed(picture: Pixels) -> Pixels:
    return np.pad(picture, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def _beside(path: Path, level: int) -> Path:
    """The file of a coarser level's picture."""
    return path.with_stem(f"{path.stem}_level{level}") if level else path


def _side_by_side(levels: Sequence[Pixels]) -> Pixels:
    """The pictures of all levels at the finest one's size, the coarsest first."""
    height, width = levels[0].shape[:2]
    whole = [
        picture.repeat(2**number, 0).repeat(2**number, 1)[:height, :width]
        for number, picture in enumerate(levels)
    ]
    return np.concatenate(whole[::-1], axis=1)


def _gif(frames: Sequence[Pixels]) -> bytes:
    from PIL import Image

    first, *others = map(Image.fromarray, frames)
    file = io.BytesIO()
    first.save(
        file, "GIF", save_all=True, append_images=others, duration=FRAME_MILLISECONDS, loop=0
    )
    return file.getvalue()
