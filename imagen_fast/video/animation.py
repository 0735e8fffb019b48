"""Finished frames as an animation, or as picture files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from imagen_fast.image.pillow import from_any_pil
from imagen_fast.image.write import write
from imagen_fast.video.codecs import Form
from imagen_fast.video.parts import Parts
from imagen_fast.video.pictures import numbered
from imagen_fast.video.pyav import as_video_error, pyav

# Per container: its codec, what it is given, and how it is told to play for ever.
_KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "gif": ("gif", "pal8", {"loop": "0"}),
    "webp": ("libwebp_anim", "bgra", {"loop": "0"}),
    "apng": ("apng", "rgba", {"plays": "0"}),
}
_HUNDREDTH, _MILLISECOND = Fraction(1, 100), Fraction(1, 1000)
_TICKS = {"gif": _HUNDREDTH, "webp": _MILLISECOND, "apng": _MILLISECOND}


def animate(
    path: Path, form: Form, parts: Parts, numbers: Sequence[int], options: dict[str, str]
) -> None:
    """The segments' frames as one animation, which is played for ever.

    GIF has a palette for each frame, made for it, and hundredths of a second.
    """
    av = pyav()
    codec, pix_fmt, loop = _KINDS[form.container]
    ticks = _TICKS[form.container]
    palette = _palette(form) if pix_fmt == "pal8" else None
    if form.container == "apng":  # which takes each frame's duration from the one behind it
        *_, final = parts.read(numbers[-1])
        loop = {**loop, "final_delay": str(final.duration * form.look.time_base)}
    with (
        as_video_error(f"{path}: cannot be written"),
        av.open(str(path), "w", format=form.container, options=loop) as out,
    ):
        stream = out.add_stream(codec, rate=form.look.rate, options=options)
        stream.width, stream.height, stream.pix_fmt = form.look.width, form.look.height, pix_fmt
        stream.time_base = stream.codec_context.time_base = ticks
        last = -1
        for frame, pts, duration in _frames(form, parts, numbers):
            made = palette(frame) if palette else frame.reformat(format=pix_fmt)
            at = max(last + 1, round(pts * form.look.time_base / ticks))
            until = round((pts + duration) * form.look.time_base / ticks)
            made.pts, made.time_base, made.duration = at, ticks, max(1, until - at)
            last = at
            out.mux(stream.encode(made))
        out.mux(stream.encode(None))


def _palette(form: Form) -> Any:
    """A function that gives a frame its best 255 colours and a transparent one."""
    av = pyav()

    def reduced(frame: Any) -> Any:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format.name, time_base=_HUNDREDTH
        )
        split, palette = graph.add("split"), graph.add("palettegen", "stats_mode=single")
        use, sink = graph.add("paletteuse", "new=1:dither=sierra2_4a"), graph.add("buffersink")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(palette, 1, 0)
        palette.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        frame.pts, frame.time_base = 0, _HUNDREDTH
        graph.push(frame)
        graph.push(None)
        return graph.pull()

    return reduced


def _frames(form: Form, parts: Parts, numbers: Sequence[int]) -> Iterator[tuple[Any, int, int]]:
    decoder = pyav().CodecContext.create(form.codec, "r")
    decoder.thread_count = 1  # each frame comes out when its packet goes in
    for number in numbers:
        for packet in parts.read(number):
            encoded = pyav().Packet(packet.data)
            encoded.is_keyframe = True  # else it is taken for a difference from the one before
            for frame in decoder.decode(encoded):
                yield frame, packet.pts, packet.duration


def as_pictures(folder: Path, name: Path, parts: Parts, numbers: Sequence[int]) -> list[Path]:
    """The segments' frames as files in a folder, named as the pattern `name` says, from 1."""
    written: list[Path] = []
    for number in numbers:
        for packet in parts.read(number):
            path = folder / numbered(name, len(written) + 1).name
            if path.suffix.lower() == ".png":
                path.write_bytes(packet.data)  # a segment's packets are PNG files
            else:
                with Image.open(BytesIO(packet.data)) as image:
                    write(path, from_any_pil(image))
            written.append(path)
    return written
