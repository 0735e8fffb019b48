"""A process that answers, fails, ends, hangs or chatters."""

import time

import pytest

from imagen_fast.bench.process import Child
from imagen_fast.errors import BenchmarkError

CODE = """
import os, sys, time
from imagen_fast.bench.process import serve

def answer(request):
    match request:
        case {"do": "add", "a": a, "b": b}: return {"sum": a + b}
        case {"do": "fail"}: raise ValueError("no such\\nthing")
        case {"do": "die"}: print("last words", file=sys.stderr, flush=True); os._exit(3)
        case {"do": "hang"}: time.sleep(600)
        case {"do": "chatter"}: print("noise"); os.system("echo more noise"); return {"done": 1}

serve(answer)
"""


@pytest.fixture
def child():
    with Child(["-c", CODE]) as child:
        yield child


def test_it_answers_and_goes_on_after_a_failure(child):
    assert child.ask({"do": "add", "a": 1, "b": 2}, 30) == {"sum": 3}
    with pytest.raises(BenchmarkError, match="ValueError: no such thing"):
        child.ask({"do": "fail"}, 30)
    assert child.ask({"do": "add", "a": 2, "b": 2}, 30) == {"sum": 4}


def test_what_libraries_print_is_no_answer(child):
    assert child.ask({"do": "chatter"}, 30) == {"done": 1}


def test_an_end_is_an_error_with_its_last_words(child):
    with pytest.raises(BenchmarkError, match="code 3: …last words"):
        child.ask({"do": "die"}, 30)


def test_who_takes_too_long_is_ended(child):
    start = time.monotonic()
    with pytest.raises(BenchmarkError, match="no answer within 1 s"):
        child.ask({"do": "hang"}, 1)
    assert time.monotonic() - start < 10
    with pytest.raises(ProcessLookupError):
        __import__("os").kill(child.pid, 0)
