"""A turn in a child process: free if another thread had it, kept if the forking one had it.

Each in a process of its own, because this one has other libraries' threads.
"""

import subprocess
import sys

START = """
import os, signal, threading
from imagen_fast.turn import Turn
turn = Turn()
signal.alarm(30)

def fork(child):
    pid = os.fork()
    if not pid:
        signal.alarm(30)
        child()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""


def run(code: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", START + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_turn_of_another_thread_is_free_in_the_child() -> None:
    run("""
inside, over = threading.Event(), threading.Event()
def hold():
    with turn:
        inside.set()
        over.wait()
thread = threading.Thread(target=hold)
thread.start()
inside.wait()
def child():
    for _ in range(2):
        with turn:
            pass
    fork(lambda: turn.__enter__())  # and in the child's child
fork(child)
over.set()
thread.join()
with turn:
    pass
""")


def test_a_turn_of_the_forking_thread_stays_its_own() -> None:
    run("""
order = []
def other():
    with turn:
        order.append("other")
def child():
    thread = threading.Thread(target=other)
    thread.start()
    thread.join(0.2)
    order.append("forked")
    turn.__exit__()
    thread.join()
    assert order == ["forked", "other"], order
with turn:
    fork(child)
""")
