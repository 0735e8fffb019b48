"""PyAV, which brings FFmpeg's libraries: imported when a video is opened, and not before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from imagen_fast.errors import VideoError
from imagen_fast.extras import install


@cache
def pyav() -> Any:
    """The module `av`, with its codecs told to print nothing.

    Raises:
        VideoError: it is not installed.
    """
    os.environ.setdefault("SVT_LOG", "1")  # of AV1's encoder: errors alone
    try:
        import av
        import av.logging
    except ImportError as error:
        raise VideoError(
            f"videos need PyAV, which cannot be imported ({error}); {install('video')}, or: "
            "pip install av"
        ) from error
    # FFmpeg's own log, silenced. For PyAV's a decoder's threads take the interpreter's lock: one
    # that logs while Python ends is ended, and the decoder, freed then, waits for it for ever.
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.PANIC)
    return av


@contextmanager
def as_video_error(what: str) -> Iterator[None]:
    """What FFmpeg raises within, as a VideoError that starts with `what`.

    A pipe that nobody reads stays a BrokenPipeError.
    """
    av = pyav()
    try:
        yield
    except BrokenPipeError:
        raise
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"{what}: {reason}") from error
