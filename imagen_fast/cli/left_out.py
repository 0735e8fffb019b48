"""What a command did not take from folders and patterns, in a line for each reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from imagen_fast.cli.text import shown
from imagen_fast.tasks.discovery import Why

NAMED = 3  # files that a line names at most
# One, several, and what to do about it.
WORDS: dict[Why, tuple[str, str, str]] = {
    "an earlier result": (
        "earlier result",
        "earlier results",
        "name such a file alone to take it all the same",
    ),
    "of a kind that cannot be read": (
        "picture of a kind that cannot be read",
        "pictures of kinds that cannot be read",
        "convert to PNG, TIFF or JPEG first",
    ),
    "a linked folder": ("linked folder", "linked folders", "name such a folder itself to take it"),
}


def lines(left_out: Mapping[Path, Why]) -> list[str]:
    """`left out 1 earlier result (a_x4.png): name …`, and so on."""
    found = []
    for why, (one, several, remedy) in WORDS.items():
        paths = [path for path, reason in left_out.items() if reason == why]
        if paths:
            names = ", ".join(shown(path) for path in paths[:NAMED])
            more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
            what = one if len(paths) == 1 else several
            found.append(f"left out {len(paths)} {what} ({names}{more}): {remedy}")
    return found
