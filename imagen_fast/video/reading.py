"""Whatever FFmpeg reads, as frames with exact timestamps."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from imagen_fast.errors import ImageError, VideoError
from imagen_fast.image.limits import DEFAULT_MAX_PIXELS, check_size
from imagen_fast.image.picture import Picture
from imagen_fast.video.color import OF_PICTURES, Converter, is_rgb
from imagen_fast.video.frames import Color, Frame, Look
from imagen_fast.video.pyav import as_video_error, pyav

PIPE = "-"


@dataclass(frozen=True)
class Cut:
    """The part of a video that is wanted, in seconds of its timestamps. The result starts at 0.

    Attributes:
        start: the first frame is the first that is not shown earlier; None: from the beginning.
        end: the first moment that is not wanted any more; None: to the end.
    """

    start: Fraction | None = None
    end: Fraction | None = None

    def __post_init__(self) -> None:
        if self.end is not None and self.end <= (self.start or 0):
            raise VideoError(
                f"the end, {float(self.end):g} s, is not after the start, "
                f"{float(self.start or 0):g} s"
            )

    def shift(self, time_base: Fraction) -> int:
        """Ticks by which everything is earlier in the result."""
        return round((self.start or 0) / time_base)

    def holds(self, ticks: int, time_base: Fraction) -> bool | None:
        """Whether this moment is wanted; None if nothing later is either."""
        if self.end is not None and ticks * time_base >= self.end:
            return None
        return self.start is None or ticks >= self.shift(time_base)


WHOLE = Cut()


def open_container(path: Path | None) -> Any:
    """A file, or standard input if it is None, to be closed.

    Raises:
        VideoError: FFmpeg cannot read it.
    """
    name = "standard input" if path is None else str(path)
    if path is not None and not path.exists():
        raise VideoError(f"{path}: no such file")
    with as_video_error(f"{name}: cannot be read as a video"):
        # `file:`, so that no name is taken for an address. Text of any encoding is copied.
        where = "pipe:0" if path is None else f"file:{path}"
        return pyav().open(where, metadata_errors="replace")


def main_video(container: Any) -> Any:
    """The stream of a container that is the video; None if it has none but cover pictures."""
    covers = pyav().stream.Disposition.attached_pic
    streams = [one for one in container.streams.video if not one.disposition & covers]
    best = container.streams.best("video")
    return best if best in streams else (streams or [None])[0]


class ContainerSource:
    """The first video stream of a container. See `frames.Source`."""

    def __init__(self, path: Path | None, cut: Cut) -> None:
        self.path, self._cut = path, cut
        self._name = "standard input" if path is None else str(path)
        self._container = open_container(path)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        stream = main_video(self._container)
        if stream is None:
            raise VideoError(f"{self._name}: has no video; expected a file with a video stream")
        if stream.codec_context is None:
            raise VideoError(f"{self._name}: its video is of a codec that FFmpeg cannot decode")
        self._stream = stream
        self.notes: list[str] = []
        self._decoder = self._decoder_of(stream)
        self._decoder.thread_type = "AUTO"
        if self._cut.start is not None and self.path is not None:
            with as_video_error(f"{self._name}: cannot be searched for --start"):
                self._container.seek(self._cut.shift(stream.time_base), stream=stream)
        self._damaged = 0
        self._decoded = self._decode()
        self._first = next(self._decoded, None)
        if self._first is None:
            part = " between --start and --end" if self._cut != WHOLE else ""
            raise VideoError(f"{self._name}: not one frame of it{part} can be decoded")
        self.look = self._look(self._first)
        self.count = self._expected()

    def _decoder_of(self, stream: Any) -> Any:
        """FFmpeg's usual one, but of VP8 and VP9 with transparency, which that leaves out."""
        usual = stream.codec_context
        libvpx = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(usual.name)
        if libvpx is None or stream.metadata.get("alpha_mode") != "1":
            return usual
        try:
            return pyav().CodecContext.create(libvpx, "r")
        except ValueError:  # FFmpeg was built without it
            self.notes.append(
                f"{self._name}: its transparency is left out: {libvpx} is missing here"
            )
            return usual

    @property
    def beside(self) -> list[str]:
        """What there is beside the frames and can be copied: `sound`, `subtitles`."""
        kinds = {"sound": "audio", "subtitles": "subtitle"}
        held = {stream.type for stream in self._container.streams}
        return [name for name, kind in kinds.items() if kind in held]

    def _look(self, frame: Any) -> Look:
        stream, context = self._stream, self._stream.codec_context
        try:
            check_size(frame.width, frame.height, DEFAULT_MAX_PIXELS)
        except ImageError as error:
            raise VideoError(f"{self._name}: {error}") from error
        rate = stream.guessed_rate or stream.average_rate or Fraction(25)
        full = frame.format.name.startswith("yuvj")
        color = Color(
            2 if full else int(frame.color_range or context.color_range),
            int(frame.colorspace),
            int(frame.color_primaries),
            int(frame.color_trc),
        )
        if is_rgb(frame.format):  # has no matrix; what is written may need one
            color = replace(color, range=OF_PICTURES.range, matrix=OF_PICTURES.matrix)
        if frame.interlaced_frame:
            self.notes.append(
                f"{self._name}: is interlaced; both fields of a frame are computed as one picture "
                "(take them apart first: ffmpeg -vf bwdif)"
            )
        return Look(
            frame.width,
            frame.height,
            frame.format.name.replace("yuvj", "yuv"),
            stream.time_base,
            Fraction(rate),
            color,
            stream.sample_aspect_ratio or None,
            _display_matrix(frame),
        )

    def _expected(self) -> int:
        """Frames to come, as the container says; 0 if it does not."""
        stream = self._stream
        whole = self._cut == WHOLE
        if stream.frames and whole:
            return int(stream.frames)
        if stream.duration:
            seconds = stream.duration * stream.time_base
        elif self._container.duration:
            seconds = Fraction(self._container.duration, pyav().time_base)
        else:
            return 0
        last = seconds if self._cut.end is None else min(seconds, self._cut.end)
        frames = (last - (self._cut.start or 0)) * self.look.rate
        return max(0, round(float(frames)))

    def _decode(self) -> Iterator[Any]:
        """Decoded frames within the cut, in order of display. What is damaged is passed over."""
        error = pyav().error.FFmpegError
        end = error if self.path is not None else ()
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except end as reason:  # the file breaks off, or is damaged here
                self.notes.append(f"{self._name}: breaks off ({reason.strerror})")
                packet = None
            try:
                frames = self._decoder.decode(packet)
            except pyav().error.EOFError:
                return
            except error:
                self._damaged += 1
                frames = []
            for frame in frames:
                kept: bool | None = True
                if frame.pts is not None:
                    kept = self._cut.holds(frame.pts, frame.time_base)
                if kept is None:
                    return
                if kept:
                    yield frame
            if packet is None:
                return

    def first(self) -> Picture:
        """See `frames.Source`."""
        return Converter(self.look.color, self.look.height).picture(self._first)

    def frames(self, skip: Callable[[int], bool]) -> Iterator[Frame]:
        """See `frames.Source`. Only once."""
        converter = Converter(self.look.color, self.look.height)
        shift, last = self._cut.shift(self.look.time_base), None
        step = max(1, round(1 / (self.look.rate * self.look.time_base)))
        before: Picture | None = None
        for index, frame in enumerate(self._all()):
            self._check_size(index, frame)
            pts = step * index if frame.pts is None else frame.pts - shift
            if last is not None and pts <= last:
                pts = last + 1  # timestamps that stand still; a file cannot hold that
            last = pts
            picture = None
            if skip(index):
                before = None
            else:
                picture = converter.picture(frame)
                if before is not None and before.same_samples(picture):
                    picture = None
                else:
                    before = picture
            yield Frame(index, pts, frame.duration or step, picture)
        self._remark(index + 1)

    def _all(self) -> Iterator[Any]:
        first, self._first = self._first, None
        yield first
        del first
        yield from self._decoded

    def _check_size(self, index: int, frame: Any) -> None:
        if (frame.width, frame.height) != (self.look.width, self.look.height):
            raise VideoError(
                f"{self._name}: frame {index} is {frame.width} × {frame.height}, those before it "
                f"are {self.look.width} × {self.look.height}; take the parts one by one, with "
                f"--start and --end (it is shown at {float(frame.time or 0):g} s)"
            )

    def _remark(self, decoded: int) -> None:
        if self._damaged:
            packets = "1 packet" if self._damaged == 1 else f"{self._damaged} packets"
            self.notes.append(f"{self._name}: {packets} could not be decoded")
        if decoded < self.count - max(2, self.count // 50):  # where it says a duration alone
            self.notes.append(f"{self._name}: ends after {decoded} frames of about {self.count}")

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def _display_matrix(frame: Any) -> tuple[int, ...] | None:
    """Nine numbers as FFmpeg has them, 16.16 and 2.30 fixed-point; None if frames are upright."""
    kind = pyav().sidedata.sidedata.Type.DISPLAYMATRIX
    for data in frame.side_data:
        if data.type is kind:
            matrix = struct.unpack("=9i", bytes(data))
            upright = (1 << 16, 0, 0, 0, 1 << 16, 0)
            return None if matrix[:6] == upright else matrix
    return None
