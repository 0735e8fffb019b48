"""Pictures become packets: each run of frames by an encoder of its own."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from imagen_fast.image.picture import Picture
from imagen_fast.video.codecs import Form
from imagen_fast.video.color import Converter
from imagen_fast.video.pyav import as_video_error, pyav


@dataclass(frozen=True, eq=False)
class Packet:
    """An encoded frame.

    Attributes:
        pts, duration: in ticks of its form's time base.
        key: whether decoding can start here.
    """

    pts: int
    duration: int
    key: bool
    data: bytes


class Encoder:
    """Encodes frames that follow each other; the first becomes a keyframe. To be closed.

    Raises VideoError where the codec refuses, here or later.
    """

    def __init__(self, form: Form) -> None:
        self._form = form
        self._converter = Converter(form.look.color, form.look.height)
        self._durations: dict[int, int] = {}
        asked = ", ".join(f"{name} {value}" for name, value in form.options.items())
        look = f"{form.look.width} × {form.look.height} {form.look.pix_fmt} with {asked}"
        with as_video_error(f"{form.codec} cannot encode {look.removesuffix(' with ')}"):
            # A container makes the encoder ready for what it holds. Nothing is written into it.
            container = "nut" if form.codec == "png" else form.container
            self._container = pyav().open(io.BytesIO(), "w", format=container)
            self._stream = form.add_to(self._container)
            self._stream.codec_context.open()

    def encode(self, picture: Picture, pts: int, duration: int) -> list[Packet]:
        """The packets that are ready once this frame is there, in the order of decoding."""
        with as_video_error(f"{self._form.codec} cannot encode this"):
            frame = self._converter.frame(picture, self._form.look.pix_fmt)
            frame.pts, frame.duration = pts, duration
            frame.time_base = self._form.look.time_base
            self._durations[pts] = duration
            return [self._taken(one) for one in self._stream.encode(frame)]

    def end(self) -> list[Packet]:
        """The packets of all frames that are left."""
        with as_video_error(f"{self._form.codec} cannot encode this"):
            return [self._taken(one) for one in self._stream.encode(None)]

    def _taken(self, packet: Any) -> Packet:
        pts = round(packet.pts * packet.time_base / self._form.look.time_base)
        duration = self._durations.pop(pts, packet.duration or 1)
        return Packet(pts, duration, bool(packet.is_keyframe), bytes(packet))

    def close(self) -> None:
        """Give back the codec's memory."""
        self._container.close()
