"""Decoding, computing and encoding side by side, on threads with short queues between them.

Frames are dealt to the models in turn and collected in the same order, so that they stay in order
without anybody sorting them. Memory holds a few frames for each model, whatever the video's
length. The calling thread only watches, so that an interrupt finds no lock taken.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from imagen_fast.image.picture import Picture
from imagen_fast.video.frames import Frame

T = TypeVar("T")
U = TypeVar("U")
Compute = Callable[[Picture], Picture]

# Seconds that a thread waits before it looks whether all is to end.
PATIENCE = 0.1
# Frames that wait before each model and behind it.
ROOM = 1


class _StoppedError(Exception):
    """Raised in threads that wait when all is to end."""


class _Stop:
    now = False


class _Channel(Generic[T]):
    """A queue of bounded length between two threads; both wait in C, see `tasks.saving`."""

    def __init__(self, room: int, stop: _Stop) -> None:
        self._items: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stop = stop
        for _ in range(room):
            self._free.put(None)

    def put(self, item: T) -> None:
        self._wait(self._free)
        self._items.put(item)

    def get(self) -> T:
        item = self._wait(self._items)
        self._free.put(None)
        return item

    def _wait(self, items: queue.SimpleQueue[U]) -> U:
        while not self._stop.now:
            try:
                return items.get(timeout=PATIENCE)
            except queue.Empty:
                continue
        raise _StoppedError


_Item = tuple[Frame, Picture | None] | None  # None: the end


class Pipeline:
    """Frames through models to a writer.

    Args:
        frames: from `Source.frames`; read on a thread.
        models: what computes a frame, each on a thread of its own, one frame at a time.
        skipped: whether a frame is finished already: it goes through without being computed.
        write: gets each other frame with its result, in order, on a thread; a frame without a
            picture gets the result before it.
        end: called on that thread behind the last frame.
        begins: at which frames models `forget` those before, if they remember any.
    """

    def __init__(
        self,
        frames: Iterator[Frame],
        models: Sequence[Compute],
        skipped: Callable[[int], bool],
        write: Callable[[Frame, Picture], None],
        end: Callable[[], None],
        begins: Callable[[int], bool] = lambda index: False,
    ) -> None:
        self._frames, self._models, self._skipped = frames, models, skipped
        self._write, self._end, self._begins = write, end, begins
        self._stop = _Stop()
        self._given = [_Channel[_Item](ROOM, self._stop) for _ in models]
        self._made = [_Channel[_Item](ROOM, self._stop) for _ in models]
        self._news: queue.SimpleQueue[Frame | BaseException | None] = queue.SimpleQueue()

    def run(self, tell: Callable[[Frame], None]) -> None:
        """Until all frames are written, telling of each. Raises what any thread raised.

        On KeyboardInterrupt the threads end when they are through with their frame.
        """
        targets = [self._reading, self._writing]
        targets += [lambda n=n: self._computing(n) for n in range(len(self._models))]  # type: ignore[misc]
        threads = [
            threading.Thread(target=self._guarded, args=(target,), daemon=True)
            for target in targets
        ]
        for thread in threads:
            thread.start()
        try:
            while (news := self._next()) is not None:
                if isinstance(news, BaseException):
                    raise news
                tell(news)
        finally:
            self._stop.now = True
            for thread in threads:
                thread.join()

    def _next(self) -> Frame | BaseException | None:
        while True:  # a wait without a limit could not be interrupted
            try:
                return self._news.get(timeout=PATIENCE)
            except queue.Empty:
                continue

    def _guarded(self, target: Callable[[], None]) -> None:
        try:
            target()
        except _StoppedError:
            pass
        except BaseException as error:
            self._stop.now = True
            self._news.put(error)

    def _reading(self) -> None:
        for frame in self._frames:
            self._given[frame.index % len(self._models)].put((frame, frame.picture))
        for channel in self._given:
            channel.put(None)

    def _computing(self, number: int) -> None:
        model, given, made = self._models[number], self._given[number], self._made[number]
        forget: Callable[[], None] | None = getattr(model, "forget", None)
        last: Picture | None = None
        while (item := given.get()) is not None:
            frame, picture = item
            if forget and self._begins(frame.index) and not self._skipped(frame.index):
                forget()
                picture = picture or last  # also where it equals the one before
            last = picture or last
            made.put((frame, None if picture is None else model(picture)))
        made.put(None)

    def _writing(self) -> None:
        number, last = 0, None
        while (item := self._made[number % len(self._made)].get()) is not None:
            frame, result = item
            if not self._skipped(frame.index):
                last = last if result is None else result
                assert last is not None, "the first frame of a run has a picture"
                self._write(frame, last)
            self._news.put(frame)
            number += 1
        self._end()
        self._news.put(None)
