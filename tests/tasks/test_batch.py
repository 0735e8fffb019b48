"""Reading ahead, computing and saving side by side, seen from the observer."""

import gc
import threading
import time
import traceback
import weakref

import numpy as np
import pytest
from PIL import Image

from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.engine import Engine
from imagen_fast.errors import ImageError
from imagen_fast.image.read import read
from imagen_fast.loading import load
from imagen_fast.spec import Level, ModelSpec
from imagen_fast.tasks import batch
from imagen_fast.tasks.files import Job


@pytest.fixture
def engine(tmp_path):
    save_bundle(Bundle(ModelSpec(scale=2, levels=(Level(32),)), {}), tmp_path / "x2.safetensors")
    with load(tmp_path / "x2.safetensors", backend="fake", tile=32, overlap=4) as loaded:
        yield loaded


@pytest.fixture
def jobs(tmp_path):
    """Six pictures of 60×60: nine tiles of 32 or more each."""
    made = []
    for index in range(6):
        source = tmp_path / f"{index}.png"
        noise = np.random.default_rng(index).integers(0, 256, (60, 60, 3), np.uint8)
        Image.fromarray(noise).save(source)
        made.append(Job(source, tmp_path / f"out/{index}.png"))
    return made


class Log(batch.Observer):
    def __init__(self):
        self.fractions: dict[Job, list[float]] = {}
        self.results: list[batch.Result] = []

    def advanced(self, job, fraction):
        assert threading.current_thread() is threading.main_thread()
        self.fractions.setdefault(job, []).append(fraction)

    def finished(self, result):
        self.results.append(result)


@pytest.mark.parametrize("readers", [1, 3])
@pytest.mark.parametrize("writers", [1, 3])
def test_every_job_advances_and_ends_in_order(engine, jobs, readers, writers):
    log = Log()
    batch.run(jobs, engine, log, readers=readers, writers=writers)
    assert [result.job for result in log.results] == jobs
    assert list(log.fractions) == jobs
    for result in log.results:
        assert (result.outcome, result.height, result.width) == ("done", 120, 120)
        fractions = log.fractions[result.job]
        assert fractions[0] == 0
        assert fractions[-1] == 1
        assert len(fractions) > 9
        assert fractions == sorted(set(fractions))


@pytest.mark.parametrize("readers", [1, 2])
def test_no_more_than_asked_is_read_ahead(engine, jobs, readers, monkeypatch):
    """Decoded pictures are what fills the memory."""
    started = []

    def counted(path, **options):
        started.append(path)
        return read(path, **options)

    class Check(batch.Observer):
        def advanced(self, job, fraction):
            assert len(started) <= jobs.index(job) + 1 + readers

    monkeypatch.setattr(batch, "read", counted)
    batch.run(jobs, engine, Check(), readers=readers)
    assert len(started) == len(jobs)


def test_a_writer_that_fails_stops_its_picture_early(engine, jobs, monkeypatch):
    """The rest of a picture is not computed for a file that cannot be written."""
    from imagen_fast.image.write import Writer

    write = Writer.write

    def full(self, rows):
        if rows[0, 0].tolist() == first:
            raise OSError(28, "No space left on device")
        write(self, rows)

    first = read(jobs[0].source).color[0, 0].tolist()
    monkeypatch.setattr(Writer, "write", full)
    monkeypatch.setattr(Engine, "stream", single_rows)
    log = Log()
    batch.run(jobs[:2], engine, log)
    assert [result.outcome for result in log.results] == ["failed", "done"]
    assert "No space left on device" in log.results[0].reason
    assert max(log.fractions[jobs[0]]) < 0.1  # one strip waits, one is being computed
    assert [path.name for path in jobs[0].target.parent.iterdir()] == ["1.png"]


def test_a_failure_does_not_keep_its_picture(engine, jobs, monkeypatch):
    """Nor do the causes of its error; a batch of many failures would fill the memory."""
    pictures = []

    def failing(self, picture, progress):
        pictures.append(weakref.ref(picture))
        try:
            raise KeyError(1)
        except KeyError as error:
            raise ImageError("too hard") from error

    class Debugging(Log):
        def finished(self, result):
            super().finished(result)
            places.append("".join(traceback.format_exception(result.error)))

    places = []
    monkeypatch.setattr(Engine, "stream", failing)
    log = Debugging()
    batch.run(jobs, engine, log)
    gc.collect()
    assert [result.reason for result in log.results] == ["too hard"] * len(jobs)
    assert [picture() for picture in pictures] == [None] * len(jobs)
    assert all("in failing" in place for place in places)  # while it is told, it says where


def single_rows(self, picture, progress):
    """As many strips as can be."""
    for row in range(picture.height):
        progress((row + 1) / picture.height)
        yield picture.color[row : row + 1].repeat(2, axis=0).repeat(2, axis=1)


def test_an_interrupt_keeps_what_is_computed(engine, jobs):
    class Interrupting(Log):
        def advanced(self, job, fraction):
            super().advanced(job, fraction)
            if job is jobs[2] and fraction > 0.5:
                raise KeyboardInterrupt

    log = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        batch.run(jobs, engine, log, writers=2)
    assert [result.job for result in log.results] == jobs[:2]
    assert sorted(path.name for path in jobs[0].target.parent.iterdir()) == ["0.png", "1.png"]


@pytest.mark.parametrize(("slow", "done"), [("read", 0), ("write", 0), ("finish", 1)])
def test_a_wait_heeds_an_interrupt(engine, jobs, monkeypatch, slow, done):
    """While a picture is read, and while a thread takes no more rows, or is through with none."""
    from imagen_fast.image.write import Writer

    place = batch if slow == "read" else Writer
    monkeypatch.setattr(place, slow, after(1, getattr(place, slow)))
    asked = threading.Event()
    threading.Timer(0.3, asked.set).start()

    def heed():
        if asked.is_set():
            raise KeyboardInterrupt

    log, start = Log(), time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        batch.run(jobs[:1], engine, log, heed=heed)
    assert time.perf_counter() - start < 3  # no later wait is begun
    assert [result.outcome for result in log.results] == ["done"] * done


def after(seconds, function):
    def slowly(*arguments, **options):
        time.sleep(seconds)
        return function(*arguments, **options)

    return slowly


def test_settle_reports_what_needs_no_work(jobs):
    skipped = Job(jobs[0].source, jobs[0].target, skip=True)
    failed = Job(jobs[1].source, jobs[1].target, problem="it is unwanted")
    log = Log()
    assert batch.settle([skipped, failed, jobs[2]], log) == [jobs[2]]
    assert [result.outcome for result in log.results] == ["skipped", "failed"]
    assert log.results[1].reason == "it is unwanted"
