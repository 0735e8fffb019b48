"""Pictures as a video: a numbered sequence or a folder of them, or an animation in one file."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from imagen_fast.errors import ImageError, VideoError
from imagen_fast.image.limits import DEFAULT_MAX_PIXELS, check_size
from imagen_fast.image.picture import Picture
from imagen_fast.image.pillow import from_any_pil
from imagen_fast.image.read import read
from imagen_fast.video.color import OF_PICTURES
from imagen_fast.video.frames import Frame, Look
from imagen_fast.video.reading import Cut

ANIMATIONS = {".gif", ".webp", ".apng", ".png"}
SUFFIXES = {".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tga", ".tif", ".tiff", ".webp"}
_NUMBER = re.compile(r"%0?\d*d")
_MILLISECOND = Fraction(1, 1000)
# What browsers show a frame for that says less: nobody means 1/1000 s.
_LEAST, _USUAL = 11, 100


def is_pattern(path: Path) -> bool:
    """Whether it stands for many files: `frame_%05d.png`, `frames/*.png`."""
    return bool(_NUMBER.search(path.name)) or glob.has_magic(path.name)


def numbered(path: Path, number: int) -> Path:
    """The file of a pattern with `%d`."""
    return path.with_name(_NUMBER.sub(lambda found: found[0] % number, path.name, count=1))


def sequence(path: Path) -> list[Path]:
    """The pictures that a folder or a pattern stands for, in order: 2 comes before 10.

    Raises:
        VideoError: there are none.
    """
    if path.is_dir():
        found = [one for one in path.iterdir() if one.suffix.lower() in SUFFIXES]
    elif match := _NUMBER.search(path.name):
        before, after = re.escape(path.name[: match.start()]), re.escape(path.name[match.end() :])
        fitting = re.compile(rf"{before}\d+{after}")
        found = [one for one in path.parent.glob("*") if fitting.fullmatch(one.name)]
    else:
        found = [one for one in path.parent.glob(path.name) if one.suffix.lower() in SUFFIXES]
    found = [one for one in found if not one.name.startswith(".") and one.is_file()]
    if not found:
        raise VideoError(f"{path}: there are no pictures; expected a folder or a pattern of some")
    return sorted(found, key=_natural)


class SequenceSource:
    """Files as frames, `rate` of them a second. See `frames.Source`."""

    def __init__(self, path: Path, cut: Cut, rate: Fraction) -> None:
        self.path, self.notes = path, list[str]()
        every = sequence(path)
        kept = [i for i in range(len(every)) if cut.holds(i, 1 / rate)]
        if not kept:
            raise VideoError(f"{path}: has no picture between --start and --end at {rate} a second")
        self.files = [every[i] for i in kept]
        self.count = len(self.files)
        first = _read(self.files[0])
        alpha = first.alpha is not None
        self.look = Look(
            first.width, first.height, _pix_fmt(first, alpha), 1 / rate, rate, OF_PICTURES
        )

    def first(self) -> Picture:
        """See `frames.Source`."""
        return _read(self.files[0])

    def frames(self, skip: Callable[[int], bool]) -> Iterator[Frame]:
        """See `frames.Source`."""
        before: Picture | None = None
        for index, file in enumerate(self.files):
            picture = None if skip(index) else _read(file)
            if picture is not None:
                _check_size(file, picture, self.look)
                if before is not None and before.same_samples(picture):
                    picture = None
                else:
                    before = picture
            yield Frame(index, index, 1, picture)

    def close(self) -> None:
        """Nothing is held."""


class AnimationSource:
    """An animated GIF, WebP or PNG. See `frames.Source`.

    Attributes:
    """

    def __init__(self, path: Path, cut: Cut) -> None:
        self.path, self._cut, self.notes = path, cut, list[str]()
        try:
            self._image = Image.open(path)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise VideoError(f"{path}: cannot be read as an animation: {error}") from error
        self.count = getattr(self._image, "n_frames", 1)
        if self.count == 1:
            self._image.close()
            raise VideoError(
                f"{path}: is a picture that does not move; enlarge it with imagen-fast upscale"
            )
        width, height = self._image.size
        try:
            check_size(width, height, DEFAULT_MAX_PIXELS)
        except ImageError as error:
            raise VideoError(f"{path}: {error}") from error
        times = [pts for _, pts, _ in self._moments()]
        self.count = len(times)
        if not times:
            raise VideoError(f"{path}: not one frame of it lies between --start and --end")
        whole = times[-1] + self._last_duration
        rate = Fraction(self.count * 1000, whole)
        self.look = Look(width, height, "rgba", _MILLISECOND, rate, OF_PICTURES)

    def _moments(self) -> Iterator[tuple[int, int, int]]:
        """Number in the file, time and duration in milliseconds of each frame of the cut."""
        time = 0
        for number in range(getattr(self._image, "n_frames", 1)):
            self._seek(number)
            duration = round(self._image.info.get("duration", 0))
            duration = _USUAL if duration < _LEAST else duration
            held = self._cut.holds(time, _MILLISECOND)
            if held is None:
                return
            if held:
                self._last_duration = duration
                yield number, time - self._cut.shift(_MILLISECOND), duration
            time += duration

    def _seek(self, number: int) -> None:
        try:
            self._image.seek(number)
            self._image.load()  # of WebP the duration is known only then
        except Exception as error:  # decoders fail on damaged files in every way there is
            raise VideoError(f"{self.path}: frame {number} is damaged: {error}") from error

    def first(self) -> Picture:
        """See `frames.Source`."""
        # Opened again: Pillow does not go back from the middle of every animated PNG.
        with closing(AnimationSource(self.path, self._cut)) as other:
            picture = next(other.frames(lambda index: False)).picture
        assert picture is not None  # the first is never one over again
        return picture

    def frames(self, skip: Callable[[int], bool]) -> Iterator[Frame]:
        """See `frames.Source`."""
        before: Picture | None = None
        for index, (number, pts, duration) in enumerate(self._moments()):
            picture = None
            if not skip(index):
                try:
                    picture = from_any_pil(self._image)
                except ImageError as error:
                    raise VideoError(f"{self.path}: frame {number}: {error}") from error
                if picture.alpha is not None and picture.alpha.min() == 255:
                    picture = Picture(picture.color)
                if before is not None and before.same_samples(picture):
                    picture = None
                else:
                    before = picture
            yield Frame(index, pts, duration, picture)

    def close(self) -> None:
        """Close the file."""
        self._image.close()


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), part) if part.isdigit() else (-1, part) for part in parts]


def _read(file: Path) -> Picture:
    try:
        return read(file)
    except ImageError as error:
        raise VideoError(str(error)) from error


def _check_size(file: Path, picture: Picture, look: Look) -> None:
    if (picture.width, picture.height) != (look.width, look.height):
        raise VideoError(
            f"{file}: is {picture.width} × {picture.height}, the first picture {look.width} × "
            f"{look.height}; a video has frames of one size"
        )


def _pix_fmt(picture: Picture, alpha: bool) -> str:
    if picture.color.dtype == np.uint16:
        return "rgba64le" if alpha else "rgb48le"
    return "rgba" if alpha else "rgb24"
