"""A model on many pictures: reading ahead and saving run beside the computing.

One picture is computed at a time, on the calling thread. Before it, `readers` pictures are
decoded ahead; behind it, `writers` pictures are being encoded, each from a queue of one strip of
rows. So memory holds `readers` + 1 decoded inputs and a few strips, and never a whole output
(unless its format is encoded in one piece).

One bad picture never stops the rest: whatever goes wrong with it becomes its result.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

from imagen_fast.errors import ImagenError
from imagen_fast.image.background import RGB, in_color, opaque_where_needed
from imagen_fast.image.limits import DEFAULT_MAX_PIXELS
from imagen_fast.image.picture import Picture
from imagen_fast.image.read import read
from imagen_fast.image.write import check_output, writer_for
from imagen_fast.samples import Samples
from imagen_fast.tasks.files import Job
from imagen_fast.tasks.saving import Saving, arrived

Outcome = Literal["done", "skipped", "failed"]


@dataclass(frozen=True)
class Result:
    """What became of a job.

    Attributes:
        reason: one line why it failed or was skipped, without the source's name.
        error: what was raised, if anything was. It has its traceback only until `finished`
            returns: the frames in it hold the decoded picture.
        height, width: of the output; 0 unless done.
        reruns: how many of its parts were not finite and were computed again in fp32.
        seconds: from the start of computing until the file was complete.
    """

    job: Job
    outcome: Outcome
    reason: str = ""
    error: Exception | None = None
    height: int = 0
    width: int = 0
    reruns: int = 0
    seconds: float = 0.0


class Streaming(Protocol):
    """An engine, or something around one."""

    @property
    def scale(self) -> int:
        """As `Engine.scale`."""

    @property
    def reruns(self) -> int:
        """As `Engine.reruns`."""

    def stream(
        self, picture: Picture, progress: Callable[[float], None] | None = None
    ) -> Iterator[Samples]:
        """As `Engine.stream`."""


class Observer:
    """Is told how a batch goes on, always on the thread that runs it. Ignores it all."""

    def advanced(self, job: Job, fraction: float) -> None:
        """This part of the job is computed; 0 when it starts."""

    def finished(self, result: Result) -> None:
        """The job ended; called once for each."""

    def interrupted(self, pictures: int) -> None:
        """The batch ends as soon as this many pictures are saved, whose rows are all computed."""


def settle(jobs: Sequence[Job], observer: Observer) -> list[Job]:
    """Tell `observer` of the jobs that need no work, and return those that do."""
    for job in jobs:
        if job.problem:
            observer.finished(Result(job, "failed", job.problem))
        elif job.skip:
            observer.finished(Result(job, "skipped", f"{job.target} exists"))
    return [job for job in jobs if not job.problem and not job.skip]


def run(
    jobs: Sequence[Job],
    engine: Streaming,
    observer: Observer,
    *,
    readers: int = 1,
    writers: int = 1,
    quality: int | None = None,
    background: RGB | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    color: bool = False,
    heed: Callable[[], None] = lambda: None,
) -> None:
    """Do every job, in order, and tell `observer` how it goes and how each ended.

    What has the name of a job's output is looked at again when its turn comes, and once more
    when its file is complete: others may have written it meanwhile. Pictures with transparency are
    laid on the `background`, if there is one. `color`: what is made of a grey picture has
    three channels.

    `heed` is called between tiles and several times a second of every wait. If it raises
    KeyboardInterrupt, the pictures whose rows are all computed are still saved, the one being
    computed leaves no file, and the interrupt goes on. A process that is not to wait for that has
    to end: an encoder may still be at work on a thread, and its file be there
    (`atomic.discard_all`).
    """
    saving: deque[_Active] = deque()
    reading = ThreadPoolExecutor(readers, "read")
    writing = ThreadPoolExecutor(writers, "write")

    def finish(heed: Callable[[], None]) -> None:
        reading.shutdown(wait=False, cancel_futures=True)
        while saving:
            result = saving[0].result(heed)
            saving.popleft()
            _tell(observer, result)
        writing.shutdown()

    try:
        for job, future in _read_ahead(reading, jobs, readers, max_pixels):
            active = _Active(job)
            if not settle([job.now()], observer):
                continue
            try:
                observer.advanced(job, 0.0)
                picture = arrived(future, heed)
                picture = in_color(picture) if color else picture
                active.compute(picture, engine, observer, heed, writing, quality, background)
            except Exception as error:
                _tell(observer, active.failed(error))
            else:
                saving.append(active)
            while saving and saving[0].saving.finished:
                _tell(observer, saving.popleft().result(heed))
        finish(heed)
        heed()
    except BaseException as error:  # not `finally`, which a second interrupt would enter again
        pictures = sum(not active.saving.finished for active in saving)
        if pictures and isinstance(error, KeyboardInterrupt):
            observer.interrupted(pictures)
        finish(lambda: None)
        raise


def _tell(observer: Observer, result: Result) -> None:
    """Tell of the end of a job, and let go of what its error holds on to."""
    observer.finished(result)
    chain: list[BaseException | None] = [result.error]
    seen: set[int] = set()
    while chain:
        error = chain.pop()
        if error is not None and id(error) not in seen:
            seen.add(id(error))
            error.__traceback__ = None
            chain += [error.__cause__, error.__context__]


def reason(error: Exception, job: Job) -> str:
    """One line that says what went wrong, to be shown beside the source's name."""
    if isinstance(error, ImagenError):
        text = str(error).removeprefix(f"{job.source}: ")
    elif isinstance(error, OSError):
        text = f"{error.filename or job.target}: {error.strerror or error}"
    elif isinstance(error, MemoryError):
        text = "out of memory"
    else:
        text = f"internal error: {type(error).__name__}: {error}"
    return " ".join(text.split())


def _read_ahead(
    pool: ThreadPoolExecutor, jobs: Sequence[Job], ahead: int, max_pixels: int
) -> Iterator[tuple[Job, Future[Picture]]]:
    """Each job with its picture to come, while the next `ahead` ones are being read."""
    waiting: deque[tuple[Job, Future[Picture]]] = deque()
    for job in jobs:
        waiting.append((job, pool.submit(read, job.source, max_pixels=max_pixels)))
        if len(waiting) > ahead:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()


class _Active:
    """A job under way: its rows are being computed, or computed and still being saved."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.height = self.width = self.reruns = 0
        self._start = time.perf_counter()

    def compute(
        self,
        picture: Picture,
        engine: Streaming,
        observer: Observer,
        heed: Callable[[], None],
        pool: ThreadPoolExecutor,
        quality: int | None,
        background: RGB | None,
    ) -> None:
        """Compute all rows and hand them on; when this returns, saving may still go on."""
        target = self.job.target
        picture = opaque_where_needed(picture, target, background)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.height, self.width = engine.scale * picture.height, engine.scale * picture.width
        alpha = picture.alpha is not None
        check_output(target, self.height, self.width, alpha=alpha)
        overwrite = self.job.replaces()
        self.saving = Saving(writer_for(target, picture, engine.scale, quality, overwrite))
        reruns = engine.reruns

        def advanced(fraction: float) -> None:
            heed()
            observer.advanced(self.job, fraction)

        try:
            self.saving.start(pool)
            for rows in engine.stream(picture, advanced):
                self.saving.put(rows, heed)
            self.saving.put(None, heed)
        except BaseException:
            self.saving.abandon()
            raise
        self.reruns = engine.reruns - reruns

    def failed(self, error: Exception) -> Result:
        """What became of it."""
        return Result(self.job, "failed", reason(error, self.job), error, seconds=self._seconds())

    def result(self, heed: Callable[[], None]) -> Result:
        """Wait until the file is complete."""
        try:
            self.saving.wait(heed)
        except Exception as error:
            if self.job.existing == "skip" and isinstance(error.__cause__, FileExistsError):
                return Result(self.job, "skipped", f"{self.job.target} exists")
            return self.failed(error)
        return Result(
            self.job,
            "done",
            height=self.height,
            width=self.width,
            reruns=self.reruns,
            seconds=self._seconds(),
        )

    def _seconds(self) -> float:
        return time.perf_counter() - self._start
