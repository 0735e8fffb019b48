"""The engine: a picture goes in, is cut into tiles, run by a backend and joined again."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, overload

import numpy as np
from numpy.typing import NDArray

from imagen_fast import outputs
from imagen_fast._version import __version__
from imagen_fast.backends import Backend
from imagen_fast.cores import cores
from imagen_fast.errors import BackendError, ImageError
from imagen_fast.finite import Arrays, FiniteRunner
from imagen_fast.finite import PrecisionWarning as PrecisionWarning
from imagen_fast.graph.reach import averages
from imagen_fast.image.alpha import fill_transparent
from imagen_fast.image.array import from_array
from imagen_fast.image.color_bounds import bound_colors
from imagen_fast.image.flat import keep_flat
from imagen_fast.image.given import picture_of, rgb_of
from imagen_fast.image.neutral import keep_neutral
from imagen_fast.image.picture import Picture
from imagen_fast.image.resample import resize
from imagen_fast.samples import Samples, full, rounded
from imagen_fast.streaming import VideoStream
from imagen_fast.tile_sizes import TileSizes
from imagen_fast.tiling import Tiling, stream

if TYPE_CHECKING:
    from PIL.Image import Image

NOTHING: Arrays = MappingProxyType({})
# More tiles in one call help a GPU, which one small tile leaves idle, and no CPU.
BATCH_ON_GPU = 8
# Rows of alpha resized at a time, in float32 beside strips that may be long.
ALPHA_ROWS = 128


class Engine:
    """A model on a backend. Made by `load`; a context manager; usable from several threads.

    Threads take turns at the backend, a call of `run` or a batch of tiles at a time. After
    `os.fork` the child may use an engine of its parent's if the backend is native.

    Attributes:
        model, graph, scale: the model's name, what it computes, and by how much results are
            larger.
        ours: whether it is of our own family and makes pictures neutral where they were.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        model: str = "",
        why: str = "asked for",
        tile: int = 0,
        overlap: int | None = None,
    ) -> None:
        self.model, self.graph, self.scale = model, backend.graph, backend.graph.scale
        self._why, bundle = why, backend.bundle
        self._neutral = bundle.task.neutral
        self.ours = bundle.is_ours and bundle.task.neutral
        self._runner = FiniteRunner(backend, model)
        self._sizes = TileSizes(
            bundle,
            tile,
            overlap,
            model=model,
            averages=averages(backend.graph),
            device=backend.device,
        )
        if not self._sizes.tile:  # sizes that cannot work are an error now, not with a picture
            capacity = backend.capacity
            self._sizes.tile_for(capacity + 1, 1, capacity)
        # Size, tiles and batch: a picture as large as the last finds its memory taken already.
        self._last_cut: tuple[tuple[int, int], Tiling, int] | None = None

    @property
    def reruns(self) -> int:
        """How many times something was computed again in fp32 (see `run`)."""
        return self._runner.reruns

    @property
    def exact_overlap(self) -> int | None:
        """The overlap with which tiles change nothing; None if no overlap is enough for that."""
        return self._runner.backend.bundle.exact_overlap

    def tile_for(self, height: int, width: int) -> int:
        """Side of the tiles that a picture of this size is cut into, by the memory free now.

        With it as `load`'s `tile` later pictures of the size are cut alike, and have the same bits.
        """
        return self._sizes.tile_for(height, width, self._runner.backend.capacity)

    @property
    def tensors(self) -> dict[str, NDArray[Any]]:
        """The model's weights, float32 or float16, by their names in the graph."""
        return self._runner.backend.bundle.tensors

    @overload
    def __call__(self, image: Picture) -> Picture: ...
    @overload
    def __call__(self, image: Image) -> Image: ...
    @overload
    def __call__(self, image: NDArray[Any]) -> NDArray[Any]: ...

    def __call__(self, image: Picture | Image | NDArray[Any]) -> Picture | Image | NDArray[Any]:
        """What the model makes of a picture, of the same kind.

        Args:
            image: a `Picture`; a Pillow image of any mode (an animation's current frame), whose
                result has mode L, LA, RGB, RGBA or I;16; or an array (H, W) or (H, W, C) with
                1 to 4 channels, grey or RGB, the second or fourth being alpha, in uint8,
                uint16 or float32 from 0 to 1, whose result has the same dtype and channels.
                Floats, a Pillow image's too, are clipped to 0 to 1 if they lie up to 0.01 outside,
                with an ImageWarning.

        Raises:
            ImageError: the picture is of another kind, empty, closed or cut short, or its floats
                are out of range.
            BackendError: the engine is closed, memory ran out, or the weights give no finite
                picture.
        """
        if isinstance(image, Picture):
            return self._picture(image)
        if isinstance(image, np.ndarray):
            return self._array(image)
        from imagen_fast.image.pillow import to_pil

        return to_pil(self._picture(picture_of(image)))

    def stream(
        self,
        picture: Picture,
        progress: Callable[[float], None] | None = None,
        also: Arrays = NOTHING,
    ) -> Iterator[Samples]:
        """The resulting picture's rows, in strips from top to bottom, each as soon as it is final.

        Yields (rows, s·W, C) of the picture's dtype, C being 1 or 3, and one more for alpha if
        the picture has it. Memory depends on the tile's height and the picture's width. Raises
        as calling the engine does, while it runs. `progress` is told after every batch of tiles
        which part of them is computed. `also`: see `run`; every tile is given the same.
        """
        if not isinstance(picture, Picture):
            raise ImageError(
                f"cannot stream a {type(picture).__name__}; expected a Picture, as "
                "imagen_fast.image.read.read gives it"
            )
        return self._stream(picture.color, picture.alpha, progress, also)

    def stream_video(
        self,
        width: int,
        height: int,
        *,
        format: str = "rgb",
        out_format: str | None = None,
        matrix: str | None = None,
        full_range: bool = False,
    ) -> VideoStream:
        """Frames of one size, one after the other: `with … as s: out = s.push(frame)`.

        Args:
            width, height: of the frames, in pixels; even for nv12 and i420.
            format, out_format: "rgb", "bgr", "nv12" or "i420", of the frames and of the results;
                by default they have the same.
            matrix: "bt601", "bt709" or "bt2020", of nv12 and i420; by default the second for more
                than 576 rows, else the first.
            full_range: whether Y, U and V of these take all levels from 0 to 255.

        Raises:
            ImageError: a size or a name cannot be.
        """
        return VideoStream(
            self,
            width,
            height,
            format=format,
            out_format=out_format,
            matrix=matrix,
            full_range=full_range,
        )

    def run(self, batch: NDArray[Any], also: Arrays = NOTHING) -> NDArray[Any]:
        """(N, H, W, 3) uint8 or float32 in [0, 1] → (N, s·H, s·W, 3), same dtype, untiled.

        Pixels that are neutral (R = G = B) like all up to 2 pixels around them stay neutral, unless
        the model's task is to give them colours. Where a picture hardly changes, what a model of
        ours enlarges stays near its colours (`imagen_fast.image.color_bounds`), and what keeps its
        size stays as it is where it is flat (`imagen_fast.image.flat`).
        Tiles whose output is not finite are computed once more in fp32, with a PrecisionWarning.

        Args:
            also: what the graph needs beside a picture, by the names of its inputs: (1, H, W, C),
                the same for all of the batch.

        Raises:
            BackendError: the engine is closed, the array is of another kind or not finite,
                an input is missing, memory ran out, or the output is not finite in fp32 either.
        """
        first, output = next(iter(self.graph.inputs)), next(iter(self.graph.outputs))
        others = {name: np.repeat(x, len(batch), axis=0) for name, x in also.items()}
        found = self.compute({first: batch, **others}, [output])[output]
        threads = self._runner.backend.threads or cores()
        if self.ours and self.scale > 1:
            bound_colors(batch, found, threads)
        elif self._neutral:
            keep_neutral(batch, found, threads)
            if self.ours:
                keep_flat(batch, found, threads)
        return found

    def compute(self, given: Arrays, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Arrays by the names of the graph's inputs to those of the outputs wanted, untiled.

        See `Backend.run` for shapes and types; one picture at a time is computed in fp32 where
        that is needed. Raises BackendError as `run`.
        """
        return self._runner.run(given, wanted)

    def features(
        self, image: Picture | Image | NDArray[Any], levels: Sequence[int] | None = None
    ) -> tuple[NDArray[np.float32], ...]:
        """What the encoder makes of a picture: a trunk for classifiers, search and the like.

        For each of the `levels` (None: all), 0 being the finest, an array (⌈H/2^L⌉, ⌈W/2^L⌉, C_L)
        of float32 without a fixed range.

        Raises:
            BackendError: the model has no such level, or no features at all, or `levels` is a
                number alone; or see `outputs`.
            ImageError, TilingError: see `outputs`.
        """
        if isinstance(levels, int):
            raise BackendError(f"levels is {levels}; expected a list, [{levels}]")
        known = [name for name in self.graph.outputs if name.startswith("features.")]
        names = known if levels is None else [f"features.{level}" for level in levels]
        if not known:
            raise BackendError(
                f"the model {self.model!r} has no features (its outputs: "
                f"{', '.join(self.graph.outputs)}); expected one with an encoder, such as real-x2"
            )
        found = self.outputs(image, list(dict.fromkeys(names)))
        return tuple(found[name] for name in names)

    def outputs(
        self,
        image: Picture | Image | NDArray[Any],
        names: Sequence[str],
    ) -> dict[str, NDArray[np.float32]]:
        """Any outputs of the graph for a picture, such as `features.0` or `attention.1`, by name.

        As the network gives them: (h, w, C) float32, pictures from 0 to 1, on the grids that
        `graph.values` says. `image` is as for a call; grey becomes three equal channels, and what
        is transparent takes the colour beside it. A picture too large for the memory is computed
        in parts that overlap as far as it takes to change nothing but rounding.

        Raises:
            BackendError: no such output, it needs more than a picture, or see `run`.
            ImageError: see calling the engine.
            TilingError: an output depends on the whole picture, for which there is no memory.
        """
        if isinstance(names, str):
            raise BackendError(f"names is {names!r}; expected a list, [{names!r}]")
        return self.in_parts({next(iter(self.graph.inputs)): rgb_of(image)}, names)

    def in_parts(self, given: Arrays, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """As `outputs`, from several inputs of one size, (H, W, C), which are as for `compute`.

        Raises BackendError and TilingError as `outputs`.
        """
        backend = self._runner.backend
        if unknown := [name for name in names if name not in self.graph.outputs]:
            raise BackendError(
                f"the model {self.model!r} has no output {unknown[0]!r}; it has "
                f"{', '.join(self.graph.outputs)}"
            )

        def run(parts: Arrays) -> dict[str, Samples]:
            found = self.compute({name: x[None] for name, x in parts.items()}, names)
            return {name: array[0] for name, array in found.items()}

        side = self._sizes.tile or max(int(backend.capacity**0.5), 1)
        return outputs.compute(self.graph, given, names, side, run)

    def info(self) -> dict[str, object]:
        """What runs, where and why: names, sizes in input pixels, versions."""
        backend = self._runner.backend
        return {
            "model": self.model,
            "task": backend.bundle.task.name,
            "scale": self.scale,
            "backend": backend.name,
            "why": self._why,
            "device": backend.device,
            "precision": backend.precision,
            "isa": backend.isa,
            "threads": backend.threads,
            "tile": self._sizes.tile or "auto",
            "overlap": self._sizes.overlap,
            "exact_overlap": self.exact_overlap,
            "versions": {
                "imagen-fast": __version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                **backend.versions(),
            },
        }

    def close(self) -> None:
        """Give back what the backend holds. Closing twice is harmless."""
        self._runner.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an engine cannot be copied or sent to another process; load one in each: "
            "imagen_fast.load"
        )

    def _picture(self, picture: Picture) -> Picture:
        rows = self._assembled(picture.color, picture.alpha)
        channels = picture.color.shape[2]
        alpha = None if picture.alpha is None else rows[..., channels]
        return Picture(rows[..., :channels], alpha, picture.metadata)

    def _array(self, image: NDArray[Any]) -> NDArray[Any]:
        rows = self._assembled(*from_array(image))
        return rows if image.ndim == 3 else rows[..., 0]

    def _assembled(self, color: Samples, alpha: Samples | None) -> Samples:
        height, width, channels = color.shape
        shape = (self.scale * height, self.scale * width, channels + (alpha is not None))
        output: Samples | None = None
        top = 0
        for rows in self._stream(color, alpha):
            if rows.shape == shape:
                return rows
            if output is None:
                output = np.empty(shape, color.dtype)
            output[top : top + len(rows)] = rows
            top += len(rows)
        assert output is not None
        return output

    def _stream(
        self,
        color: Samples,
        alpha: Samples | None,
        progress: Callable[[float], None] | None = None,
        also: Arrays = NOTHING,
    ) -> Iterator[Samples]:
        if alpha is None:
            yield from self._stream_color(color, progress, also)
            return
        strips = self._stream_color(fill_transparent(color, alpha), progress, also)
        if self.ours and self.scale > 1:  # whose flat places stay exactly as they are
            covers = self._stream_color(alpha[..., None], None, also)
            for strip, cover in zip(strips, covers, strict=True):
                yield np.concatenate([strip, cover], axis=2)
            return
        height, width = (self.scale * side for side in alpha.shape)
        top = 0
        for strip in strips:
            for first in range(0, len(strip), ALPHA_ROWS):
                rows = strip[first : first + ALPHA_ROWS]
                bottom = top + len(rows)
                resized = resize(alpha, height, width, slice(top, bottom))
                resized = rounded(resized.clip(0, full(alpha.dtype)), alpha.dtype)
                yield np.concatenate([rows, resized[..., None]], axis=2)
                top = bottom

    def _stream_color(
        self, color: Samples, progress: Callable[[float], None] | None, also: Arrays
    ) -> Iterator[Samples]:
        height, width, _ = color.shape
        cut = self._last_cut
        if cut is None or cut[0] != (height, width):
            cut = self._last_cut = ((height, width), *self._cut(height, width))
        _, tiling, batch = cut
        done, count = 0, len(tiling.rows) * len(tiling.columns)

        def run(tiles: Samples) -> Samples:
            nonlocal done
            output = self._run_samples(tiles, also)
            done += len(tiles)
            if progress is not None:
                progress(done / count)
            return output

        yield from stream(color, tiling, self.scale, run, batch)

    def _cut(self, height: int, width: int) -> tuple[Tiling, int]:
        """The tiles of a picture, and how many are computed at once."""
        backend = self._runner.backend
        tiling, tile = self._sizes.cut(height, width, capacity := backend.capacity)
        if backend.device == "cpu":
            return tiling, 1
        return tiling, max(1, min(BATCH_ON_GPU, capacity // tile**2))

    def _run_samples(self, tiles: Samples, also: Arrays) -> Samples:
        """`run` for grey (as three equal channels, which stay equal) and for 16 bits."""
        dtype, channels = tiles.dtype, tiles.shape[3]
        if channels == 1 and self.ours and tiles.min() == tiles.max():  # as most of alpha is
            count, *sides = tiles.shape[:3]
            return np.full((count, *(self.scale * x for x in sides), 1), tiles.flat[0], dtype)
        if dtype == np.uint16:
            tiles = tiles.astype(np.float32) / np.float32(full(dtype))
        output = self.run(np.repeat(tiles, 3, axis=3) if channels == 1 else tiles, also)
        output = output[..., :channels]
        if dtype == np.uint16:
            output = output * np.float32(full(dtype))
        return output if output.dtype == dtype else rounded(output, dtype)
