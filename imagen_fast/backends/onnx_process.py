"""ONNX Runtime on a file that somebody else wrote, which can crash it: in a process of its own.

`python -m imagen_fast.backends.onnx_process FD BYTES THREADS` is that process. Through the pipe go
JSON and raw float32 alone, so that nothing that comes back is more than data.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socketpair
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.backends import memory
from imagen_fast.bundle import Bundle
from imagen_fast.cores import cores
from imagen_fast.errors import BackendError

SECONDS = 600.0  # that one run may take
LAST_WORDS = 200  # characters of what a process wrote before it ended
Planes = NDArray[np.float32]  # (N, C, H, W)


@dataclass(frozen=True, eq=False)
class OnnxFile(Bundle):
    """An ONNX file as it is; the graph says no more than what goes in and comes out.

    Attributes:
        data: the file.
        name: of its input.
        channels: that it has, 1 or 3.
        size: height and width, the only ones that it takes; None if it takes others.
        multiple: of how many pixels sides are completed to, by repeating the outermost ones.
        full: the number that is white to it.
    """

    data: bytes = b""
    name: str = ""
    channels: int = 3
    size: tuple[int, int] | None = None
    multiple: int = 1
    full: int = 1


class OnnxProcess:
    """The process of a file. Everything that goes wrong in it is a BackendError of one line."""

    def __init__(self, data: bytes, threads: int | None = None) -> None:
        self._over = ""  # why it is no more, which every later question is told as well
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process)
        ours, theirs = socketpair()
        limits = [str(theirs.fileno()), str(memory.available()), str(threads or cores())]
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *limits],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is ours to handle
        )
        theirs.close()
        self._pipe = Connection(ours.detach())
        self._ask(data)

    def run(self, name: str, planes: Planes) -> Planes:
        """The first output, of the input of this name."""
        planes = np.ascontiguousarray(planes, np.float32)
        shape = self._ask(json.dumps([name, planes.shape]).encode(), planes.data.cast("B"))
        found: Planes = np.frombuffer(self._received(), np.float32).reshape(shape)
        return found

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        self._log.close()

    def __del__(self) -> None:
        if hasattr(self, "_pipe") and not self._log.closed:
            self.close()

    def _ask(self, *parts: bytes | memoryview) -> Any:
        if self._over:
            raise BackendError(self._over)
        try:
            for part in parts:
                self._pipe.send_bytes(part)
        except OSError:
            raise self._ended() from None
        answer = json.loads(self._received())
        if "error" in answer:
            raise BackendError(answer["error"])
        return answer["shape"]

    def _received(self) -> bytes:
        try:
            if self._pipe.poll(SECONDS):
                return self._pipe.recv_bytes()
        except (EOFError, OSError):
            raise self._ended() from None
        raise self._ended(f"ONNX Runtime gave nothing within {SECONDS:.0f} s")

    def _ended(self, why: str = "") -> BackendError:
        if not why:
            code = self._process.wait()
            self._log.seek(0)
            text = " ".join(self._log.read().decode(errors="replace").split())[-LAST_WORDS:]
            why = f"ONNX Runtime's process ended with code {code} {text and f'({text})'}"
        self._over = why
        self.close()
        return BackendError(why)


class OnnxFileSession:
    """An `OnnxFile` as a session of the graph that stands for it."""

    def __init__(self, file: OnnxFile, threads: int | None = None) -> None:
        self._file, self._process = file, OnnxProcess(file.data, threads)

    def run(self, given: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """(N, 3, H, W) from 0 to 1 → (N, 3, s·H, s·W). Raises BackendError."""
        file, (name,) = self._file, self._file.graph.inputs
        return {"picture": np.concatenate([self._one(file, x[None]) for x in given[name]])}

    def _one(self, file: OnnxFile, x: Planes) -> Planes:
        height, width = x.shape[2:]
        sides = [-(-side // file.multiple) * file.multiple for side in (height, width)]
        if file.size is not None:
            sides = list(file.size)
            if height > sides[0] or width > sides[1]:
                raise BackendError(
                    f"the file takes pictures of {sides[1]} × {sides[0]} pixels alone; choose "
                    f"tile {min(sides)}"
                )
        more = ((0, 0), (0, 0), (0, sides[0] - height), (0, sides[1] - width))
        x = np.pad(x * np.float32(file.full), more, "edge")
        parts = [x] if file.channels == 3 else [x[:, i : i + 1] for i in range(3)]
        y = np.concatenate([self._process.run(file.name, part) for part in parts], axis=1)
        scale = file.graph.scale
        if y.shape != (1, 3, scale * sides[0], scale * sides[1]):
            raise BackendError(f"the file makes {y.shape} of {x.shape}")
        y /= np.float32(file.full)
        return y[:, :, : scale * height, : scale * width]


def main() -> None:
    """In the process: a session of the first bytes that come, and its answers."""
    import resource

    pipe = Connection(int(sys.argv[1]))
    threading.Thread(target=_end_with_parent, args=[pipe.fileno()], daemon=True).start()
    # Imported before memory is limited: libraries take address space of which they use little.
    from imagen_fast.export.onnx_session import Session

    most = int(sys.argv[2]) + _address_space()
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    session = None
    while True:
        try:
            request = pipe.recv_bytes()
        except EOFError:
            return
        try:
            if session is None:
                session = Session(request, threads=int(sys.argv[3]))
                pipe.send_bytes(b'{"shape": null}')
                continue
            name, shape = json.loads(request)
            planes = np.frombuffer(pipe.recv_bytes(), np.float32).reshape(shape)
            found = next(iter(session.run({name: planes}).values())).astype(np.float32)
        except (BackendError, MemoryError) as error:
            pipe.send_bytes(json.dumps({"error": str(error) or "out of memory"}).encode())
            continue
        pipe.send_bytes(json.dumps({"shape": found.shape}).encode())
        pipe.send_bytes(np.ascontiguousarray(found).data.cast("B"))


def _end_with_parent(pipe: int) -> None:
    """Else a parent that is killed would leave a run behind, which may take for ever."""
    hung_up = select.poll()
    hung_up.register(pipe, 0)
    hung_up.poll()
    os._exit(1)


def _address_space() -> int:
    pages = Path("/proc/self/statm").read_text("ascii").split()[0]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
