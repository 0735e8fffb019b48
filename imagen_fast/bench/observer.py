"""What a run tells while it goes on. By itself it says nothing."""

from __future__ import annotations

from imagen_fast.bench.record import LeftOut, Row


class Observer:
    """Overridden by whoever shows progress."""

    def doing(self, what: str) -> None:
        """Something begins that may take a while."""

    def measured(self, row: Row) -> None:
        """A row is final."""

    def left_out(self, out: LeftOut) -> None:
        """Something will not be measured."""
