"""Feature maps of pictures into one file, for other programs to learn from."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from imagen_fast.engine import Engine
from imagen_fast.errors import ImageError
from imagen_fast.image.limits import DEFAULT_MAX_PIXELS
from imagen_fast.tasks.discovery import Found
from imagen_fast.tasks.whole_file import check_place, whole_file

SUFFIXES = (".npz", ".safetensors")
MODEL = "real-x2"  # of the shipped models one with a pyramid of two levels

Array = NDArray[np.float32]


def pooled(maps: Sequence[Array]) -> Array:
    """Means and standard deviations over the pixels of each level: what a classifier is fed.

    (h, w, C) a level → (2·C) a level, one behind the other, float32: the means first.
    """
    parts = []
    for x in maps:
        pixels = x.reshape(-1, x.shape[2])  # (h·w, C)
        parts += [pixels.mean(0, dtype=np.float64), pixels.std(0, dtype=np.float64)]
    return np.concatenate(parts).astype(np.float32)


def keys(pictures: Sequence[Found]) -> dict[str, Path]:
    """Pictures by their names in the file: each its own, below its folder if that was searched.

    What has a problem already is left out.

    Raises:
        ImageError: two have one name.
    """
    found: dict[str, Path] = {}
    for item in pictures:
        if item.problem:
            continue
        key = os.fsencode(item.subfolder / item.source.name).decode(errors="replace")
        if key in found:
            raise ImageError(
                f"{found[key]} and {item.source} would both be called {key!r} in the file; rename "
                "one, or name their common folder with --recursive"
            )
        found[key] = item.source
    return found


def write(
    engine: Engine,
    pictures: Sequence[Found],
    target: Path,
    *,
    levels: Sequence[int] | None = None,
    pool: bool = False,
    overwrite: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    done: Callable[[Path], None] = lambda path: None,
    failed: Callable[[str], None] = lambda reason: None,
) -> int:
    """Write the features of pictures to a file, which appears when all are in it; how many are.

    One that cannot be read does not stop the others.

    Arrays of float32 called `NAME/features.L`, (⌈H/2^L⌉, ⌈W/2^L⌉, C_L); with `pool` one a picture,
    `NAME/pooled`, as `pooled` makes it. An .npz file takes memory for one picture, a .safetensors
    file for all of them.

    Args:
        done: told of each picture that is computed.
        failed: told of each that cannot be read, in one line with its path.

    Raises:
        ImageError: no picture can be read, two have one name, or the file cannot be written.
        BackendError, TilingError: see `Engine.features`.
    """
    from imagen_fast.image.read import read

    check_place(target, SUFFIXES, overwrite)
    named = keys(pictures)
    for item in pictures:
        if item.problem:
            failed(f"{item.source}: {item.problem}")
    known = [name for name in engine.graph.outputs if name.startswith("features.")]
    numbers = range(len(known)) if levels is None else levels

    written = 0

    def arrays() -> Iterator[tuple[str, Array]]:
        nonlocal written
        for name, path in named.items():
            try:
                picture = read(path, max_pixels=max_pixels)
            except ImageError as error:
                failed(str(error))
                continue
            maps = engine.features(picture, levels)
            if pool:
                yield f"{name}/pooled", pooled(maps)
            else:
                for level, x in zip(numbers, maps, strict=True):
                    yield f"{name}/features.{level}", x
            written += 1
            done(path)
        if not written:
            raise ImageError("no picture could be read, so nothing was written")

    with whole_file(target, overwrite) as file:
        if target.suffix.lower() == ".npz":
            _write_npz(file, arrays())
        else:
            from safetensors.numpy import save

            file.write(save(dict(arrays()), {"model": engine.model}))
    return written


def _write_npz(file: BinaryIO, arrays: Iterable[tuple[str, Array]]) -> None:
    """As `numpy.savez` does, an array at a time."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
