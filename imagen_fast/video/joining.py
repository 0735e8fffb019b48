"""Finished segments and what the source holds beside its frames become one file, by copying."""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

from imagen_fast.errors import VideoError
from imagen_fast.video.codecs import Form
from imagen_fast.video.encoding import Packet
from imagen_fast.video.parts import Parts
from imagen_fast.video.pyav import as_video_error, pyav
from imagen_fast.video.reading import Cut, main_video, open_container

# Metadata that speaks of the file it came from, and not of what is in it.
_OF_THE_FILE = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
# At the front of the file, so that players on the web begin at once, and with the beginnings of
# streams in finer steps than the usual milliseconds.
_QUICKTIME = {"movflags": "+faststart", "movie_timescale": "240000"}
_OPTIONS = {
    "mp4": _QUICKTIME,
    "mov": _QUICKTIME,
    "yuv4mpegpipe": {"strict": "-1"},  # more than 8 bits
}
# What a container holds beside what FFmpeg lists of it.
_UNLISTED = {"mpegts": {"aac", "ac3", "dts", "dvb_subtitle", "eac3", "mp3", "opus"}}


class Joined:
    """The container that is written. A context manager.

    Args:
        file: a path, or a file open for writing.
        form: of the video.
        source: whose sound, subtitles, chapters and metadata are copied; None for none.
        cut: the part of it that is wanted.

    Raises:
        VideoError: the container cannot hold what is to be copied.

    Attributes:
        notes: what was left out, a line each.
    """

    def __init__(self, file: str | io.BytesIO, form: Form, source: Path | None, cut: Cut) -> None:
        self._form, self._cut, self.notes = form, cut, list[str]()
        self._stack = ExitStack()
        with ExitStack() as stack:
            options = dict(_OPTIONS.get(form.container, {}))
            if not isinstance(file, str):
                options.pop("movflags", None)  # which is done by reading the file again
            self._out = stack.enter_context(
                pyav().open(file, "w", format=form.container, options=options)
            )
            self._video = form.add_to(self._out)
            self._copied: dict[int, Any] = {}
            self._in = None
            if source is not None:
                self._in = stack.enter_context(open_container(source))
                self._take_over(source)
            with as_video_error(f"a {form.container} file cannot hold this"):
                self._out.start_encoding()
            self._stack = stack.pop_all()

    def _take_over(self, source: Path) -> None:
        main = main_video(self._in)
        assert self._in is not None
        for key, value in self._in.metadata.items():
            if key.lower() not in _OF_THE_FILE:
                self._out.metadata[key] = value
        for stream in self._in.streams:
            if stream is main:
                self._copy_facts(main, self._video)
            elif stream.type == "attachment":
                self._attach(stream)
            else:
                self._copy_stream(source, stream)
        chapters = self._chapters()
        if chapters:
            self._out.set_chapters(chapters)

    def _attach(self, stream: Any) -> None:
        name = stream.name or stream.metadata.get("filename", "attachment")
        if self._form.container != "matroska" or not stream.mimetype:
            self.notes.append(f"the attachment {name} is left out")
        else:
            self._out.add_attachment(name, stream.mimetype, bytes(stream.data))

    def _copy_stream(self, source: Path, stream: Any) -> None:
        context = stream.codec_context
        codec = context.codec.canonical_name if context else stream.type
        known = self._out.supported_codecs | _UNLISTED.get(self._form.container, set())
        holds = stream.type in ("audio", "subtitle") and codec in known
        if not holds:
            if stream.type == "audio":
                raise VideoError(
                    f"{source}: its sound is {codec}, which a {self._form.container} file cannot "
                    "hold; write another kind: .mkv holds all"
                )
            what = f"{codec} subtitles" if stream.type == "subtitle" else f"a {stream.type} stream"
            self.notes.append(f"{source}: {what} left out: {self._form.container} has no place")
            return
        with as_video_error(f"{source}: its {codec} {stream.type} cannot be copied"):
            copy = self._out.add_stream_from_template(stream)
        self._copy_facts(stream, copy)
        self._copied[stream.index] = copy

    @staticmethod
    def _copy_facts(stream: Any, copy: Any) -> None:
        for key, value in stream.metadata.items():
            if key.lower() not in _OF_THE_FILE:
                copy.metadata[key] = value
        copy.disposition = stream.disposition

    def _chapters(self) -> list[dict[str, Any]]:
        assert self._in is not None
        kept = []
        for chapter in self._in.chapters():
            base = chapter["time_base"] or Fraction(1)
            shift, end = self._cut.shift(base), chapter["end"]
            if self._cut.end is not None:
                end = min(end, round(self._cut.end / base))
            start = max(chapter["start"] - shift, 0)
            if start < end - shift:
                kept.append({**chapter, "start": start, "end": end - shift})
        return kept

    def write(self, packet: Packet, dts: int) -> None:
        """A packet of the video, in the order of decoding."""
        self._out.mux(self._encoded(packet, dts))

    def write_all(self, parts: Parts, numbers: Sequence[int]) -> None:
        """All segments, in order, and among them what is copied."""
        times = [parts.times(number) for number in numbers]
        video = self._numbered(
            (packet for number in numbers for packet in parts.read(number)), decoding_times(times)
        )
        streams = [((p.dts * p.time_base, 0, p) for p in video)]
        if self._copied:
            streams.append((_when(p), 1, p) for p in self._others())
        with as_video_error(f"a {self._form.container} file cannot hold this"):
            for _, _, packet in heapq.merge(*streams, key=lambda item: item[:2]):
                self._out.mux(packet)

    def _numbered(self, packets: Iterator[Packet], dts: Iterator[int]) -> Iterator[Any]:
        for packet in packets:
            yield self._encoded(packet, next(dts))

    def _encoded(self, packet: Packet, dts: int) -> Any:
        made = pyav().Packet(packet.data)
        made.stream, made.time_base = self._video, self._form.look.time_base
        made.pts, made.dts, made.duration = packet.pts, dts, packet.duration
        made.is_keyframe = packet.key
        return made

    def _others(self) -> Iterator[Any]:
        """The packets that are copied, as they lie in the source, at their new times."""
        assert self._in is not None
        streams = [self._in.streams[index] for index in self._copied]
        if self._cut.start is not None:
            self._in.seek(int(self._cut.start * pyav().time_base))
        for packet in self._in.demux(streams):
            time = packet.pts if packet.pts is not None else packet.dts
            if time is None:  # the end of a stream
                continue
            held = self._cut.holds(time, packet.time_base)
            if held:
                shift = self._cut.shift(packet.time_base)
                packet.pts = None if packet.pts is None else packet.pts - shift
                packet.dts = None if packet.dts is None else packet.dts - shift
                packet.stream = self._copied[packet.stream.index]
                yield packet

    def __enter__(self) -> Joined:
        return self

    def __exit__(self, *exception: Any) -> None:
        with as_video_error(f"the {self._form.container} file cannot be finished"):
            self._stack.close()


def decoding_times(segments: Sequence[Sequence[int]]) -> Iterator[int]:
    """When each packet is to be decoded, of `pts` by segment in the order of decoding.

    Packet i gets the i-th time of all in the order of display, moved by as many packets as any
    frame is decoded earlier than it is shown: the least that lets every frame be decoded in time.
    """
    shown = [pts for segment in segments for pts in sorted(segment)]
    delay = 0
    for segment in segments:
        rank = {pts: place for place, pts in enumerate(sorted(segment))}
        delay = max([delay, *(place - rank[pts] for place, pts in enumerate(segment))])
    step = shown[1] - shown[0] if len(shown) > 1 else 1
    for place in range(len(shown)):
        yield shown[place - delay] if place >= delay else shown[0] - (delay - place) * step


def _when(packet: Any) -> Fraction:
    return Fraction((packet.dts if packet.dts is not None else packet.pts) * packet.time_base)
