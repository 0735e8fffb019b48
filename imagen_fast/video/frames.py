"""What a video is made of: its frames, and what is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

from imagen_fast.image.picture import Picture

UNSPECIFIED = 2  # of matrix, primaries and transfer, as ISO/IEC 23091-4 counts them (FFmpeg, too)
IDENTITY, BT709, SMPTE170M = 0, 1, 6  # the first is that of RGB
LIMITED, FULL = 1, 2  # ranges, as FFmpeg counts them; 0 is unspecified
HD_HEIGHT = 576  # pictures with more rows are taken for BT.709 where a file does not say


@dataclass(frozen=True)
class Color:
    """How the numbers of a YUV frame stand for colours, in FFmpeg's (ISO/IEC 23091-4's) numbers.

    Attributes:
        range: 1: 16 to 235; 2: 0 to 255; 0: the file does not say, which means the first.
        matrix, primaries, transfer: 2 where the file does not say.
    """

    range: int = 0
    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    def matrix_at(self, height: int) -> int:
        """The matrix that players take for frames of so many rows."""
        if self.matrix != UNSPECIFIED:
            return self.matrix
        return BT709 if height > HD_HEIGHT else SMPTE170M

    def enlarged(self, before: int, after: int) -> Color:
        """For frames of `after` rows: what players would guess otherwise now is said."""
        if self.matrix_at(before) == self.matrix_at(after):
            return self
        return replace(self, matrix=self.matrix_at(before))


@dataclass(frozen=True)
class Look:
    """What is the same for all frames of a video.

    Attributes:
        width, height: in pixels as they are stored, before `matrix` turns them.
        pix_fmt: FFmpeg's name of the sample format: `yuv420p`, `yuv420p10le`, `rgba`.
        time_base: seconds of a tick of the timestamps.
        rate: frames a second, on average.
        pixel_aspect: width of a pixel by its height; None where the file does not say.
        matrix: the display matrix, nine numbers as FFmpeg has them; None for upright frames.
    """

    width: int
    height: int
    pix_fmt: str
    time_base: Fraction
    rate: Fraction
    color: Color = Color()
    pixel_aspect: Fraction | None = None
    matrix: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame.

    Attributes:
        index: its number, from 0.
        pts, duration: when it is shown and for how long, in ticks.
        picture: RGB; None for the frame before over again, or for one that is not needed.
    """

    index: int
    pts: int
    duration: int
    picture: Picture | None


class Source(Protocol):
    """A video to read.

    Attributes:
        look: of its frames.
        count: how many frames there will be, as far as the file says; 0 if it does not.
        notes: what there is to warn of, a line each; more may come while frames are read.
    """

    look: Look
    count: int
    notes: list[str]

    def first(self) -> Picture:
        """The first frame's picture; before `frames` alone."""

    def frames(self, skip: Callable[[int], bool]) -> Iterator[Frame]:
        """Every frame in order. Those whose numbers `skip` takes come without a picture.

        Raises:
            VideoError: it cannot be read, or has no frames.
        """

    def close(self) -> None:
        """Give back what it holds."""
