"""A contestant's process that answers, fails, ends, hangs or chatters."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imagen_fast.bench.runtimes import Contestant
from imagen_fast.bench.worker import Worker
from imagen_fast.errors import BenchmarkError


def fail():
    raise ValueError("no such\nthing")


def die():
    print("last words", file=sys.stderr, flush=True)
    os._exit(3)


def test_it_answers_and_goes_on_after_a_failure_and_an_end_is_an_error_with_its_last_words():
    with Worker(Contestant("native", "fp32", 1)) as child:
        assert child.ask(30, pow, 2, 3) == 8
        with pytest.raises(BenchmarkError, match="ValueError: no such thing"):
            child.ask(30, fail)
        assert child.ask(30, os.system, "echo noise") == 0
        assert child.ask(30, pow, 2, 2) == 4
        with pytest.raises(BenchmarkError, match=r"its process ended: ….*last words"):
            child.ask(30, die)
        with pytest.raises(BenchmarkError, match="its process has ended"):
            child.ask(30, pow, 2, 2)


def test_who_takes_too_long_is_ended():
    with Worker(Contestant("native", "fp32", 1)) as child:
        start = time.monotonic()
        with pytest.raises(BenchmarkError, match="no answer within 1 s"):
            child.ask(1, time.sleep, 600)
        assert time.monotonic() - start < 10
        with pytest.raises(ProcessLookupError):
            os.kill(child.pid, 0)


def test_who_asked_and_is_killed_leaves_nobody_behind():
    program = """
import time
from imagen_fast.bench.runtimes import Contestant
from imagen_fast.bench.worker import Worker

if __name__ == "__main__":
    print(Worker(Contestant("native", "fp32", 1)).pid, flush=True)
    time.sleep(600)
"""
    line = [sys.executable, "-c", program]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.kill()
    end = time.monotonic() + 20
    while (there := Path(f"/proc/{child}").exists()) and time.monotonic() < end:
        time.sleep(0.1)
    assert not there


def locked():
    """As libraries do that show how far they are."""
    import multiprocessing

    kept.append(multiprocessing.RLock())


kept = []


def test_what_its_libraries_hold_is_no_leak_of_the_one_who_asks():
    program = """
from test_process import locked
from imagen_fast.bench.runtimes import Contestant
from imagen_fast.bench.worker import Worker

if __name__ == "__main__":
    with Worker(Contestant("native", "fp32", 1)) as child:
        child.ask(30, locked)
"""
    line = [sys.executable, "-c", program]
    done = subprocess.run(line, cwd=Path(__file__).parent, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
