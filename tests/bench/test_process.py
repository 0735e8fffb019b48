"""A process that answers, fails, ends, hangs or chatters."""

import os
import sys
import time

import pytest

from imagen_fast.bench.process import Child
from imagen_fast.errors import BenchmarkError


def answer(request):
    match request:
        case "add", a, b:
            return a + b
        case "fail":
            raise ValueError("no such\nthing")
        case "die":
            print("last words", file=sys.stderr, flush=True)
            os._exit(3)
        case "hang":
            time.sleep(600)
        case "chatter":
            print("noise")
            return os.system("echo more noise")
    return None


@pytest.fixture(scope="module")
def child():
    with Child(answer) as child:
        yield child


def test_it_answers_and_goes_on_after_a_failure(child):
    assert child.ask(("add", 1, 2), 30) == 3
    with pytest.raises(BenchmarkError, match="ValueError: no such thing"):
        child.ask("fail", 30)
    assert child.ask("chatter", 30) == 0
    assert child.ask(("add", 2, 2), 30) == 4


def test_an_end_is_an_error_with_its_last_words(child):
    with pytest.raises(BenchmarkError, match=r"code 3: ….*last words"):
        child.ask("die", 30)
    with pytest.raises(BenchmarkError, match="code 3"):
        child.ask(("add", 1, 2), 30)


def test_who_takes_too_long_is_ended():
    with Child(answer) as child:
        assert child.ask(("add", 1, 2), 30) == 3
        start = time.monotonic()
        with pytest.raises(BenchmarkError, match="no answer within 1 s"):
            child.ask("hang", 1)
        assert time.monotonic() - start < 10
        with pytest.raises(ProcessLookupError):
            os.kill(child.pid, 0)
