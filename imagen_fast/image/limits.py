"""How large a picture may be, asked of its header before anything is decoded."""

from __future__ import annotations

from imagen_fast.errors import ImageError

# What the largest cameras of telephones make. 20,000 × 20,000 takes max_pixels=400_000_000.
DEFAULT_MAX_PIXELS = 200_000_000


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise ImageError for a picture without pixels or with more than `max_pixels`."""
    if width <= 0 or height <= 0:
        raise ImageError(f"it states a size of {width} × {height} pixels")
    if width * height > max_pixels:
        raise ImageError(
            f"{width} × {height} are {width * height:,} pixels, more than the limit of "
            f"{max_pixels:,}: raise it with --max-pixels (max_pixels) if you trust the file"
        )


def check_frames(frames: int, name: str) -> None:
    """Raise ImageError for an animation or a document of several pages."""
    if frames > 1:
        video = ", or give all of them to `imagen-fast video`" if name == "frames" else ""
        raise ImageError(
            f"it holds {frames} {name}, expected one: extract the one you want into its own file"
            f"{video}"
        )
