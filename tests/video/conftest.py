"""Small videos, made by PyAV, and the command with a model that repeats pixels."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result
from drawn_frames import picture

from imagen_fast.cli import main

TICK = Fraction(1, 12800)


@pytest.fixture(scope="session")
def make() -> Callable[..., Path]:
    """Write a video of frames `pts` (in ticks of 1/12800 s), with sound if `sound`."""

    def write(
        path: Path,
        *,
        frames: int = 10,
        size: tuple[int, int] = (48, 64),
        pts: list[int] | None = None,
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        sound: bool = False,
        prepare: Callable[[Any, Any], None] = lambda container, stream: None,
        draw: Callable[[int, int, int], np.ndarray] = picture,
    ) -> Path:
        times = pts if pts is not None else [512 * i for i in range(frames)]
        with av.open(str(path), "w") as out:
            stream = out.add_stream(codec, rate=25)
            stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
            stream.time_base = stream.codec_context.time_base = TICK
            voice = out.add_stream("aac", rate=48000, layout="mono") if sound else None
            prepare(out, stream)
            for number, at in enumerate(times):
                frame = av.VideoFrame.from_ndarray(draw(number, *size), "rgb24")
                frame = frame.reformat(format=pix_fmt)
                frame.pts, frame.time_base = at, TICK
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
            if voice is not None:
                for block in range(20):
                    wave = np.sin(np.arange(1024) * 0.1 + block).astype(np.float32)[None]
                    samples = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
                    samples.sample_rate, samples.pts = 48000, 1024 * block
                    out.mux(voice.encode(samples))
                out.mux(voice.encode(None))
        return path

    return write


@pytest.fixture
def video(fake_model: Path) -> Callable[..., Result]:
    """`imagen-fast video` in this process."""

    def run(*arguments: object) -> Result:
        line = ["video", "-n", fake_model, "--backend", "fake", *arguments]
        return CliRunner().invoke(main, [str(one) for one in line], catch_exceptions=False)

    return run


def times(path: Path) -> list[Fraction]:
    """When each frame is shown."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def pixels(path: Path) -> list[np.ndarray]:
    """Each frame as (H, W, 3) uint8."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Of the first stream of a kind: when each is shown, and its bytes."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [
            (one.pts * one.time_base, bytes(one))
            for one in container.demux(stream)
            if one.dts is not None
        ]


@pytest.fixture
def look_at() -> Any:
    """`times`, `pixels` and `packets` of a file."""

    class Looks:
        times = staticmethod(times)
        pixels = staticmethod(pixels)
        packets = staticmethod(packets)

    return Looks
