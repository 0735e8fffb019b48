"""What is written: the container by the file's name, its codec, and the codec's options."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imagen_fast.errors import VideoError
from imagen_fast.video.color import is_rgb
from imagen_fast.video.frames import FULL, IDENTITY, Look
from imagen_fast.video.orientation import enlarged, upright_look
from imagen_fast.video.pictures import SUFFIXES, is_pattern
from imagen_fast.video.pyav import pyav

# A name of a file → FFmpeg's container and the codec that is taken unless another is asked for.
CONTAINERS = {
    ".mp4": ("mp4", "libx264"),
    ".m4v": ("mp4", "libx264"),
    ".mov": ("mov", "libx264"),
    ".mkv": ("matroska", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
    ".ts": ("mpegts", "libx264"),
    ".avi": ("avi", "mpeg4"),
    ".nut": ("nut", "ffv1"),
    ".y4m": ("yuv4mpegpipe", "rawvideo"),
    ".gif": ("gif", "gif"),
    ".webp": ("webp", "libwebp_anim"),
    ".apng": ("apng", "apng"),
}
CODECS = {
    "h264": "libx264",
    "hevc": "libx265",
    "h265": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
}
TURNING = {"mp4", "mov", "matroska", "webm"}  # containers with a place for the display matrix
ANIMATED = {"gif", "webp", "apng"}
# Codec → the option that --crf sets, its value unless asked otherwise and its highest; --preset's
# option.
_QUALITY = {
    "libx264": ("crf", 17, 51, "preset"),
    "libx265": ("crf", 19, 51, "preset"),
    "libsvtav1": ("crf", 24, 63, "preset"),
    "libvpx-vp9": ("crf", 24, 63, "cpu-used"),
    "mpeg4": ("qscale", 3, 31, None),
    "libwebp_anim": ("quality", 90, 100, None),
}
_OTHERS = {
    # Frames that are looked ahead at by a thread of its own come out otherwise after a pause.
    "libx264": {"x264-params": "sync-lookahead=0"},
    "libx265": {"x265-params": "log-level=none"},
    "libvpx-vp9": {"row-mt": "1"},
}


@dataclass(frozen=True)
class Form:
    """Everything that decides how frames are encoded.

    Attributes:
        container: FFmpeg's name of it; "" for pictures in files of their own.
        codec, pix_fmt, options: of the encoder.
        look: of the frames that it gets, of which `pix_fmt` is the result's.
        threads: of the encoder; frames depend on it.
    """

    container: str
    codec: str
    look: Look
    options: dict[str, str] = field(default_factory=dict)
    threads: int = 1

    def add_to(self, container: Any) -> Any:
        """A stream of this form in an open container."""
        look = self.look
        stream = container.add_stream(self.codec, rate=look.rate, options=dict(self.options))
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = look.width, look.height, look.pix_fmt
        stream.time_base = context.time_base = look.time_base
        context.thread_count = self.threads
        context.color_range, context.colorspace = look.color.range, look.color.matrix
        context.color_primaries, context.color_trc = look.color.primaries, look.color.transfer
        if look.pixel_aspect:
            context.sample_aspect_ratio = look.pixel_aspect
        if look.matrix:
            stream.set_display_matrix(look.matrix)
        return stream


def container_of(output: Path | None) -> tuple[str, str]:
    """FFmpeg's container for a file of this name, None being a pipe, and its usual codec.

    Raises:
        VideoError: none is known.
    """
    if output is None:
        return CONTAINERS[".y4m"]
    suffix = output.suffix.lower()
    if is_pattern(output) or output.is_dir() or not suffix:
        if suffix and suffix not in SUFFIXES:
            raise VideoError(f"{output}: pictures are written as {', '.join(sorted(SUFFIXES))}")
        return "", "png"
    if suffix not in CONTAINERS:
        raise VideoError(
            f"{output}: {suffix} is no video that can be written; expected "
            f"{', '.join(CONTAINERS)}, a folder, or a pattern such as frame_%05d.png"
        )
    return CONTAINERS[suffix]


def encoding(
    output: Path | None, codec: str | None, crf: float | None, preset: str | None
) -> tuple[str, str, dict[str, str]]:
    """The container for a file of this name, None being a pipe, its encoder, and its options.

    Raises:
        VideoError: the encoder is unknown, or has no such options or values of them.
    """
    container, usual = container_of(output)
    name = usual if codec is None else CODECS.get(codec, codec)
    if container in ANIMATED | {"yuv4mpegpipe", ""} and name != usual:
        raise VideoError(f"--codec is for videos; {output or 'a pipe'} is written as {usual}")
    _encoder(name)
    return container, name, _options(name, crf, preset)


def form_for(
    output: Path | None,
    look: Look,
    scale: int,
    *,
    codec: str | None = None,
    crf: float | None = None,
    preset: str | None = None,
    threads: int = 1,
) -> tuple[Form, list[str]]:
    """How results of frames that look so are encoded for a file of this name, and what to tell.

    Raises:
        VideoError: the codec is unknown, or does not take what is asked for.
    """
    container, name, options = encoding(output, codec, crf, preset)
    if container in ANIMATED | {""}:
        name, options = "png", {}  # what the segments are; the file is made of them at the end
    encoder = _encoder(name)
    notes: list[str] = []
    turning = container in TURNING
    made = look if turning else upright_look(look)
    if look.matrix and not turning:
        notes.append(f"frames are turned upright: {container or 'pictures'} cannot hold a rotation")
    made = replace(
        made,
        width=made.width * scale,
        height=made.height * scale,
        color=look.color.enlarged(look.height, made.height * scale),
        matrix=enlarged(made.matrix, scale),
    )
    made = replace(made, pix_fmt=_pixel_format(name, encoder, made, notes))
    if _has_alpha(look.pix_fmt) and not _has_alpha(made.pix_fmt):
        notes.append(f"what is transparent is laid on black: {name} holds no transparency here")
    if is_rgb(pyav().VideoFormat(made.pix_fmt)):
        made = replace(made, color=replace(made.color, range=FULL, matrix=IDENTITY))
    if name == "mpeg4" and made.time_base.denominator > 65535:
        made = replace(made, time_base=1 / made.rate)
    return Form(container, name, made, options, threads), notes


def _encoder(name: str) -> Any:
    av = pyav()
    try:
        encoder = av.Codec(name, "w")
    except (ValueError, av.error.FFmpegError) as error:
        raise VideoError(
            f"there is no encoder {name!r} here; expected {', '.join(CODECS)}, ffv1, mpeg4 or "
            "another of FFmpeg's"
        ) from error
    if encoder.type != "video":
        raise VideoError(f"the encoder {name!r} is for {encoder.type}; expected one for videos")
    return encoder


def _pixel_format(name: str, encoder: Any, look: Look, notes: list[str]) -> str:
    """The encoder's format that loses least of the frames."""
    formats = [f for f in encoder.video_formats or [] if not f.name.startswith("yuvj")]
    if name == "libvpx-vp9":  # whose transparency is beside its packets, and not kept in segments
        formats = [f for f in formats if not _has_alpha(f.name)]
    if name in ("libx264", "libx265", "libvpx-vp9", "libsvtav1", "mpeg4", "rawvideo"):
        wanted = _as_yuv(look.pix_fmt)
    else:
        wanted = look.pix_fmt
    if not formats:  # rawvideo, of which y4m takes these
        formats = [pyav().VideoFormat(f"yuv{kind}p{deep}") for kind in (420, 422, 444)
                   for deep in ("", "10le", "12le")]  # fmt: skip
    if same := [one for one in formats if one.name == wanted]:
        formats = same  # the search knows several that lose nothing
    best, _ = pyav().codec.codec.find_best_pix_fmt_of_list(
        formats, wanted, has_alpha=_has_alpha(wanted)
    )
    odd = look.width % 2 or look.height % 2
    if odd and name in ("libx264", "libx265", "mpeg4") and best.name.startswith("yuv4"):
        finer = best.name.replace("420", "444").replace("422", "444")
        if finer not in [one.name for one in formats]:
            raise VideoError(
                f"{look.width} × {look.height} is odd, which {name} cannot hold; choose another "
                "--codec: h264, vp9, ffv1"
            )
        if finer != best.name:
            notes.append(
                f"{look.width} × {look.height} is odd, which {name} holds as 4:4:4 alone: some "
                "players cannot show that (--codec vp9 stays 4:2:0)"
            )
        return str(finer)
    return str(best.name)


def _has_alpha(pix_fmt: str) -> bool:
    return any(part.is_alpha for part in pyav().VideoFormat(pix_fmt).components)


def _as_yuv(pix_fmt: str) -> str:
    """RGB as players take it: 4:2:0, with 10 bits where it has more than 8."""
    found = pyav().VideoFormat(pix_fmt)
    if not found.is_rgb and not found.has_palette:
        return pix_fmt
    deep = max(part.bits for part in found.components) > 8
    return "yuv420p10le" if deep else "yuv420p"


def _options(name: str, crf: float | None, preset: str | None) -> dict[str, str]:
    options = dict(_OTHERS.get(name, {}))
    quality, value, most, speed = _QUALITY.get(name, (None, None, None, None))
    if crf is not None and quality is None:
        raise VideoError(f"{name} has no --crf; expected {', '.join(_QUALITY)}")
    if crf is not None and most is not None and crf > most:
        raise VideoError(f"--crf {crf:g}: {name} takes 0 to {most}")
    if preset is not None and speed is None:
        raise VideoError(f"{name} has no --preset")
    level = value if crf is None else crf
    if quality == "qscale":
        assert level is not None
        options |= {"flags": "+qscale", "global_quality": str(round(level * 118))}
    elif quality is not None:
        options[quality] = f"{level:g}"
    if speed is not None and preset is not None:
        options[speed] = preset
    if name == "libvpx-vp9":
        options["b"] = "0"  # else crf is a bound only
    return options
