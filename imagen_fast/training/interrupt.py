"""Ctrl-C and SIGTERM as a request to stop after this step."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import AbstractContextManager, suppress
from types import FrameType
from typing import Any


class Interrupt(AbstractContextManager["Interrupt"]):
    """Within it the first SIGINT or SIGTERM sets `asked` and says so; a second SIGINT ends it.

    `number` is that of the signal, 0 while there is none.

    Does nothing outside the main thread, where Python delivers no signals.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[signal.Signals, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self.number != 0

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.asked:
            self.number = number
            with suppress(OSError):  # print may be under way, and is not to be entered twice
                os.write(2, b"\nstopping after this step (Ctrl-C again: at once)\n")

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
