import contextlib
import os
import threading
import time


@contextlib.contextmanager
def signal_after_first_step(folder, number):
    """Send this process a signal as soon as the run in a folder has saved its first step."""

    def wait_and_send():
        deadline = time.monotonic() + 60
        while not (folder / "checkpoint.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=wait_and_send)
    sender.start()
    yield
    sender.join()
