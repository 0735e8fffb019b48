"""Floats as samples: 0 is black and 1 is white, whatever a picture's own values look like.

A scale is never guessed: a picture whose largest value is 1.2 may be one of 0 to 255, nearly black,
or one of 0 to 1 with a highlight, and nothing in it tells which.
"""

from __future__ import annotations

SLACK = 0.01  # what rounding and sharpening leave beyond black and white


def near_unit(low: float, high: float) -> bool:
    """Whether floats from `low` to `high` lie between 0 and 1, or so near that they are clipped."""
    return low >= -SLACK and high <= 1 + SLACK  # False for NaN


def clipped_note(low: float, high: float) -> str | None:
    """What to say of floats near 0 to 1; None if all of them lie there."""
    if low >= 0 and high <= 1:
        return None
    return f"its floats go from {low:.6g} to {high:.6g} and were clipped to 0 to 1"
