"""What is known when: lines of text with the minutes that have passed."""

from __future__ import annotations

import time


class Clock:
    """Counts from when it is made.

    Attributes:
        told: the lines so far.
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self.told: list[str] = []

    @property
    def seconds(self) -> float:
        """That have passed."""
        return time.monotonic() - self._start

    def tell(self, text: str) -> None:
        """A line, on standard output at once."""
        minutes, seconds = divmod(int(self.seconds), 60)
        self.told.append(f"{minutes}:{seconds:02} {text}")
        print(self.told[-1], flush=True)
