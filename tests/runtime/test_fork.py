"""A child process uses its parent's engines, whatever other threads were doing when it was forked.

Each in a process of its own, because this one has other libraries' threads.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from imagen_fast import c_library
from imagen_fast.bundle import Bundle, save_bundle

pytest.importorskip("imagen_fast._native", reason="the extension is not built")

FORKS = 50

# `engine`, `work(engine, n)` for the threads that keep it busy and `answer(engine)` for the child;
# `free(engine)` in the end, also where a thread was cut off in the middle of its work.
BUSY = f"""
import os, signal, sys, threading
import numpy as np
sys.path.insert(0, {str(Path(__file__).parent)!r})

def under_load(engine, work, answer, free):
    expected = answer(engine)
    over = threading.Event()
    def loop(n):
        while not over.is_set():
            work(engine, n)
            n += 1
    threads = [threading.Thread(target=loop, args=(1000 * n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    wrong = []
    for _ in range({FORKS}):
        child = os.fork()
        if not child:
            signal.alarm(30)  # a child that hangs is killed
            same = all((answer(engine) == expected).all() for _ in range(2))
            free(engine)
            os._exit(0 if same else 1)
        status = os.waitpid(child, 0)[1]
        if status:
            wrong.append(status)
    over.set()
    for thread in threads:
        thread.join()
    assert (answer(engine) == expected).all()
    free(engine)
    assert not wrong, wrong

def picture(n):  # of another size each time, for which memory is taken anew
    return np.full((1, 9 + 7 * n % 40, 9 + 11 * n % 50, 3), n % 256, np.uint8)

fixed = np.random.default_rng(0).integers(0, 256, (1, 31, 27, 3), np.uint8)
"""

IN_PYTHON = """
import imagen_fast
engine = imagen_fast.load(sys.argv[1], threads=2, tile=32, overlap=8)
under_load(engine, lambda engine, n: engine(picture(n)[0]), lambda engine: engine(fixed[0]),
           lambda engine: engine.close())
"""

IN_THE_EXTENSION = """
from imagen_fast import _native

def run(engine, tiles):
    return engine.run({"image": tiles}, ["picture"])["picture"]

def work(engine, n):
    tiles = picture(n)
    if n % 3 == 0:
        engine.prepare({"image": tiles.shape[:3]}, ["picture"])
    elif n % 3 == 1:
        run(engine, tiles)
    else:
        assert engine.run({"image": tiles.astype(np.float32) / 255}, ["features.0"])

engine = _native.Engine.load(sys.argv[1], threads=2)
under_load(engine, work, lambda engine: run(engine, fixed), lambda engine: None)
del engine
"""

IN_C = """
from c_interface import Engine, library
engine = Engine(library(), sys.argv[1], threads=2, tile=32, overlap=8)
under_load(engine, lambda engine, n: engine(picture(n), untiled=n % 2 == 0),
           lambda engine: engine(fixed), lambda engine: engine.close())
"""

needs_c = pytest.mark.skipif(c_library.missing() is not None, reason="the C library is not built")


@pytest.fixture
def run(small_bundle: Bundle, tmp_path: Path) -> "Run":
    save_bundle(small_bundle, tmp_path / "m.safetensors")
    return Run(tmp_path / "m.safetensors")


class Run:
    """Runs a program with the path of a model; what it prints."""

    def __init__(self, model: Path) -> None:
        self.model = model

    def __call__(self, code: str) -> str:
        command = [sys.executable, "-W", "ignore", "-c", BUSY + code, str(self.model)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.mark.parametrize(
    "code", [IN_PYTHON, IN_THE_EXTENSION, pytest.param(IN_C, marks=needs_c)],
    ids=["Python", "extension", "C"],
)  # fmt: skip
def test_forks_while_other_threads_are_inside_the_engine(code: str, run: Run) -> None:
    run(code)


@needs_c
@pytest.mark.parametrize("threads", [1, 2])
def test_a_callback_that_forks(threads: int, run: Run) -> None:
    """The engine's own threads are not in the child: its run ends there, another can start."""
    printed = run(f"""
from c_interface import CANCELLED, Engine, Failed, library
engine = Engine(library(), sys.argv[1], isa="generic", precision="fp32", threads={threads})
large = np.full((1, 200, 200, 3), 99, np.uint8)
expected = engine(large)
children, asked = [], 0
def fork_once():
    global asked
    asked += 1
    if asked == 2:  # the first time is before the run
        children.append(os.fork())
    return 0
signal.alarm(100)
try:
    same = (engine(large, cancelled=fork_once) == expected).all()
    outcome = "same" if same else "another"
except Failed as error:
    assert error.status == CANCELLED, error
    assert "called fork() during the run" in str(error), error
    outcome = "cut off"
if children == [0]:
    same = (engine(large) == expected).all()
    engine.close()
    print(outcome if same else "wrong", flush=True)
    os._exit(0)
assert os.waitpid(children[0], 0)[1] == 0
print(outcome)
""")
    assert printed.split("\n") == ["same" if threads == 1 else "cut off", "same", ""]


def test_a_signals_handler_that_forks(run: Run) -> None:
    printed = run("""
import imagen_fast
engine = imagen_fast.load(sys.argv[1], isa="generic", precision="fp32", threads=2)
large = np.full((200, 200, 3), 99, np.uint8)
expected = engine(large)
children = []
def fork_once(_, frame):
    if not children and frame.f_code.co_name == "compute":  # which calls the extension
        children.append(os.fork())
signal.signal(signal.SIGALRM, fork_once)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
try:
    outcome = "same" if (engine(large) == expected).all() else "another"
except imagen_fast.BackendError as error:
    outcome = str(error).split(" ", 4)[:4]
signal.setitimer(signal.ITIMER_REAL, 0)
if children == [0]:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(100)
    same = (engine(large) == expected).all()
    print(outcome if same else "wrong", flush=True)
    os._exit(0)
assert os.waitpid(children[0], 0)[1] == 0
print(outcome)
""")
    assert printed == "['a', 'callback', 'or', 'a']\nsame\n"
