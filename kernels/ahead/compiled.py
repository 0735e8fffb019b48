"""The kernels that launches run, compiled for their architectures, several processes at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

from imagen_fast.errors import ExportError

from ..triton.launch import Launch

MOST_PROCESSES = 8  # of which each takes some 500 MB


@dataclass(frozen=True)
class Code:
    """A kernel's machine code and what a launch of it takes; see `triton.compile.CompiledKernel`.

    Attributes:
        threads: of a block.
        scratch: bytes of global and of profile memory that a block needs.
    """

    cubin: bytes
    entry: str
    threads: int
    shared: int
    scratch: tuple[int, int]


def form_of(launch: Launch, arch: int) -> dict[str, Any]:
    """What a launch's code is made from, as JSON types; equal if and only if the code would be.

    source: the function's module and name below `kernels.triton`, as `stem.stem_kernel`.
    """
    function = launch.kernel.fn
    return {
        "source": f"{function.__module__.rpartition('.')[2]}.{function.__name__}",
        "signature": launch.signature,
        "constants": launch.fixed,
        "divisible": list(launch.divisible),
        "num_warps": launch.num_warps,
        "num_stages": launch.num_stages,
        "arch": arch,
    }


def key_of(launch: Launch, arch: int) -> str:
    """Tells forms apart."""
    return json.dumps(form_of(launch, arch), sort_keys=True)


def compile_all(
    launches: Iterable[tuple[Launch, int]],
    told: Callable[[int, int], None] = lambda done, all_: None,
) -> dict[str, Code]:
    """The kernel of every launch, for the architecture beside it, by `key_of`.

    told: how many are done, and how many there are.

    Raises:
        ExportError: a kernel does not compile, or its code does not take what it is passed.
    """
    wanted = {key_of(launch, arch): (launch, arch) for launch, arch in launches}
    tasks: SimpleQueue[tuple[str, dict[str, Any]]] = SimpleQueue()
    for number, (key, (launch, arch)) in enumerate(wanted.items()):
        about = {"name": launch.name, "file": f"{number}.cubin"}
        tasks.put((key, form_of(launch, arch) | about))
    count = min(len(os.sched_getaffinity(0)), len(wanted), MOST_PROCESSES)
    found: dict[str, dict[str, Any]] = {}
    lock = Lock()

    def work(worker: _Worker) -> None:
        while True:
            try:
                key, task = tasks.get_nowait()
            except Empty:
                return
            answer = worker.ask(task)
            with lock:
                found[key] = answer
                told(len(found), len(wanted))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workers = [_Worker(folder) for _ in range(count)]
        try:
            with ThreadPoolExecutor(count) as pool:
                each = [pool.submit(work, x) for x in workers]
                try:
                    for one in each:
                        one.result()
                finally:
                    for worker in workers:
                        worker.end()
        finally:
            for worker in workers:
                worker.process.wait()
                worker.errors.close()
        return {
            key: Code((folder / facts.pop("file")).read_bytes(), **facts)
            for key, facts in found.items()
        }


class _Worker:
    """See worker.py."""

    def __init__(self, folder: Path) -> None:
        # Line information would be the paths of this machine.
        environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_DISABLE_LINE_INFO": "1"}
        environment["TMPDIR"] = str(folder)  # where one that is ended leaves its assembler's files
        self.errors = (folder / f"{os.urandom(4).hex()}.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "imagen_fast.kernels.ahead.worker", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment,
        )

    def ask(self, task: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has said why
        answer = self.process.stdout.readline()
        if not answer:
            self.errors.seek(0)
            last: Sequence[str] = self.errors.read().strip().splitlines()[-1:] or [
                "no reason given"
            ]
            raise ExportError(f"{task['name']} does not compile for sm_{task['arch']}: {last[0]}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
