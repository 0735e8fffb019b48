"""A video from its source to its finished file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

from imagen_fast import atomic
from imagen_fast._version import __version__
from imagen_fast.errors import VideoError
from imagen_fast.image.picture import Picture
from imagen_fast.video.animation import animate, as_pictures
from imagen_fast.video.codecs import ANIMATED, encoding, form_for
from imagen_fast.video.encoding import Encoder, Packet
from imagen_fast.video.frames import Frame, Source
from imagen_fast.video.joining import Joined
from imagen_fast.video.orientation import upright
from imagen_fast.video.parts import Parts
from imagen_fast.video.pictures import (
    ANIMATIONS,
    AnimationSource,
    SequenceSource,
    is_pattern,
    sequence,
)
from imagen_fast.video.pipeline import Compute, Pipeline
from imagen_fast.video.pyav import as_video_error, pyav
from imagen_fast.video.reading import WHOLE, ContainerSource, Cut

# A segment has so many pixels, within these numbers of frames: a kill loses one at most, and each
# begins with a keyframe, which takes room.
SEGMENT_PIXELS, FEWEST, MOST = 100_000_000, 24, 120
FRAME_NUMBERS = "%06d.png"  # in a folder of results

Tell = Callable[[bool], None]  # whether the frame was finished by an earlier run


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        source, output: files, or folders or patterns of pictures; None for pipes.
        rate: frames a second of a sequence of pictures; None for 25.
        codec, crf, preset: None for the usual ones.
        threads: of the encoder.
    """

    source: Path | None
    output: Path | None
    scale: int
    cut: Cut = WHOLE
    rate: Fraction | None = None
    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    threads: int = 1
    overwrite: bool = False


def open_source(path: Path | None, cut: Cut, rate: Fraction | None) -> Source:
    """A video of any kind. Raises VideoError."""
    if path is not None and (path.is_dir() or (is_pattern(path) and not path.exists())):
        return SequenceSource(path, cut, rate or Fraction(25))
    if rate is not None:
        raise VideoError(f"{path}: a video has its rate; --fps is for pictures alone")
    if path is not None and path.suffix.lower() in ANIMATIONS and path.exists():
        return AnimationSource(path, cut)
    return ContainerSource(path, cut)


class Job:
    """Checked when it is made, so that nothing is computed in vain. A context manager.

    Raises:
        VideoError: the source cannot be read, or the output not be written as asked.

    Attributes:
        source, form: what is read and how it is written.
        notes: what there is to warn of, a line each; more may come.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._parts: Parts | None = None
        _check_places(wanted.source, wanted.output, wanted.overwrite)
        self.source = open_source(wanted.source, wanted.cut, wanted.rate)
        try:
            self.form, notes = form_for(
                wanted.output,
                self.source.look,
                wanted.scale,
                codec=wanted.codec,
                crf=wanted.crf,
                preset=wanted.preset,
                threads=wanted.threads,
            )
            self.notes = [*self.source.notes, *notes]
            self._turn = self.source.look.matrix if not self.form.look.matrix else None
            self._copies = wanted.source if isinstance(self.source, ContainerSource) else None
            self._check_form()
        except BaseException:
            self.source.close()
            raise

    def _check_form(self) -> None:
        """Make the encoder and the file's beginning in memory: what they refuse shows now."""
        with_sound = self.form.container and self.form.container not in ANIMATED
        if self.form.container == "yuv4mpegpipe" or not with_sound:
            self._copies = None
        if not self._copies and isinstance(self.source, ContainerSource) and self.source.beside:
            what = " and ".join(self.source.beside)
            why = "standard input is read for its frames alone"
            if self.wanted.source is not None:
                kinds = {"yuv4mpegpipe": "y4m", "": "pictures"}
                why = f"{kinds.get(self.form.container, self.form.container)} cannot hold it"
            self.notes.append(f"{self.wanted.source or 'standard input'}: {what} left out: {why}")
        Encoder(self.form).close()
        if with_sound:
            with Joined(BytesIO(), self.form, self._copies, self.wanted.cut) as joined:
                self.notes += joined.notes

    def run(self, models: Sequence[Compute], facts: dict[str, Any], tell: Tell) -> int:
        """Compute what is not there yet, write the output, and return how many frames it has.

        `facts` tell the models from others: what an earlier run finished is taken if they are the
        same. `tell` is called after each frame, with whether an earlier run had finished it.

        Raises:
            VideoError: see the class; or the source or the disk failed meanwhile. What is
                finished stays.
        """
        output = self.wanted.output
        if output is None:
            return self._to_pipe(models, tell)
        with Parts(output, self._description(facts), fresh=self.wanted.overwrite) as parts:
            self._parts = parts
            length = self.segment_length
            kept = parts.finished
            writer = _Segments(self, parts, length)
            frames = self._run(models, lambda index: index // length in kept, writer, tell)
            numbers = range(-(-frames // length))
            if lost := [number for number in numbers if number not in parts.finished]:
                raise VideoError(f"{output}: segments {lost} were not written; run it again")
            self._finish(output, parts, numbers)
            parts.remove()
        return frames

    def keep(self) -> int:
        """How many frames are finished, for a process that ends now; of none nothing is left."""
        if self._parts is None:
            return 0
        if not (segments := len(self._parts.finished)):
            self._parts.remove()
        frames = segments * self.segment_length
        return min(frames, self.source.count or frames)

    @property
    def segment_length(self) -> int:
        """Frames of a segment, of which the last may have fewer."""
        pixels = self.form.look.width * self.form.look.height
        return min(MOST, max(FEWEST, SEGMENT_PIXELS // pixels))

    def _run(
        self,
        models: Sequence[Compute],
        skipped: Callable[[int], bool],
        writer: _Segments | _Pipe,
        tell: Tell,
    ) -> int:
        count = 0

        def counted(frame: Frame) -> None:
            nonlocal count
            count += 1
            tell(skipped(frame.index))

        said, length = len(self.source.notes), self.segment_length
        frames = self.source.frames(skipped)
        # So that a run that goes on at a segment finds what it would have been.
        begins = lambda index: index % length == 0  # noqa: E731
        Pipeline(frames, models, skipped, writer.write, writer.end, begins).run(counted)
        self.notes += self.source.notes[said:]
        return count

    def _to_pipe(self, models: Sequence[Compute], tell: Tell) -> int:
        with (
            as_video_error("standard output: cannot be written"),
            Joined("pipe:1", self.form, None, self.wanted.cut) as joined,
        ):
            writer = _Pipe(self, joined)
            return self._run(models, lambda index: False, writer, tell)

    def _description(self, facts: dict[str, Any]) -> dict[str, Any]:
        """All that decides what the frames and packets are, for `Parts`."""
        wanted, form = self.wanted, self.form
        return {
            "source": _identity(wanted.source),
            "cut": [str(wanted.cut.start), str(wanted.cut.end), str(wanted.rate)],
            "form": [form.container, form.codec, form.options, form.threads],
            "look": {name: str(value) for name, value in asdict(form.look).items()},
            "segment length": self.segment_length,
            "model": facts,
            "versions": [__version__, str(pyav().library_versions)],
        }

    def shown(self, picture: Picture) -> Picture:
        """A result as it is encoded: made upright if the container cannot say how to turn it."""
        return upright(picture, self._turn) if self._turn else picture

    def _finish(self, output: Path, parts: Parts, numbers: range) -> None:
        """The output from its segments: made beside them, and then given its name."""
        made = parts.folder / f"joined{output.suffix}"
        made.unlink(missing_ok=True)
        replace = self.wanted.overwrite
        if not self.form.container:
            self._finish_pictures(output, parts, numbers)
            return
        if self.form.container in ANIMATED:
            _, _, options = encoding(output, None, self.wanted.crf, None)
            animate(made, self.form, parts, numbers, options)
        else:
            with Joined(str(made), self.form, self._copies, self.wanted.cut) as joined:
                joined.write_all(parts, numbers)
        _take(made, output, replace)

    def _finish_pictures(self, output: Path, parts: Parts, numbers: range) -> None:
        name = output if is_pattern(output) else output / FRAME_NUMBERS
        folder = parts.folder / "joined"
        folder.mkdir(exist_ok=True)
        name.parent.mkdir(parents=True, exist_ok=True)
        for path in as_pictures(folder, name, parts, numbers):
            _take(path, name.parent / path.name, self.wanted.overwrite)

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *exception: object) -> None:
        self.source.close()


class _Segments:
    """Results as segments of `length` frames on the disk."""

    def __init__(self, job: Job, parts: Parts, length: int) -> None:
        self._job, self._parts, self._length = job, parts, length
        self._number = -1
        self._encoder: Encoder | None = None
        self._packets: list[Packet] = []

    def write(self, frame: Frame, result: Picture) -> None:
        number = frame.index // self._length
        if self._encoder is None or number != self._number:
            self.end()
            self._number, self._encoder = number, Encoder(self._job.form)
        shown = self._job.shown(result)
        self._packets += self._encoder.encode(shown, frame.pts, frame.duration)

    def end(self) -> None:
        if self._encoder is None:
            return
        self._packets += self._encoder.end()
        self._encoder.close()
        self._parts.write(self._number, self._packets)
        self._encoder, self._packets = None, []


class _Pipe:
    """Results as y4m, each as soon as it is there."""

    def __init__(self, job: Job, joined: Joined) -> None:
        self._job, self._joined, self._encoder = job, joined, Encoder(job.form)

    def write(self, frame: Frame, result: Picture) -> None:
        shown = self._job.shown(result)
        for packet in self._encoder.encode(shown, frame.pts, frame.duration):
            self._joined.write(packet, packet.pts)

    def end(self) -> None:
        self._encoder.close()


def _check_places(source: Path | None, output: Path | None, overwrite: bool) -> None:
    if output is None:
        return
    atomic.check_not_read(output, [source], VideoError)
    if overwrite or not os.path.lexists(output):
        if is_pattern(output) and not overwrite and _any(output):
            raise VideoError(f"{output}: there are such pictures; use --overwrite to replace them")
        return
    if not output.is_dir():
        raise VideoError(f"{output} exists; use --overwrite to replace it")
    if any(output.iterdir()):
        raise VideoError(f"{output}: the folder is not empty; use --overwrite, or another one")


def _any(pattern: Path) -> bool:
    try:
        return bool(sequence(pattern))
    except VideoError:
        return False


def _take(made: Path, target: Path, replace: bool) -> None:
    """Give a finished file its name."""
    if replace:
        made.replace(target)
        return
    try:
        atomic.rename_to_free_name(made, target)
    except FileExistsError as error:
        raise VideoError(f"{target} exists by now; use --overwrite to replace it") from error


def _identity(source: Path | None) -> list[Any]:
    """What tells a source from another, or from itself before it was changed."""
    if source is None:
        return []
    files = [source] if source.is_file() else sequence(source)
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return [str(source.resolve()), digest.hexdigest()]
