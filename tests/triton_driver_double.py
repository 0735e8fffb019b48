"""In place of a GPU: kernels are compiled as a live run launches them, and none runs.

Triton's own just-in-time compiler is at work, which sees tensors and numbers as they are passed,
so that it finds what compiling a list of forms ahead of time does not: another type, alignment or
form than was listed, more shared memory than there is, a grid beyond the limits. What it compiled
lies in Triton's cache, where a live run finds it.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from imagen_fast.kernels.ahead.compiled import key_of
from imagen_fast.kernels.triton.launch import Launch
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia import driver as nvidia
from triton.runtime import driver

from imagen_fast.backends import triton as backend
from imagen_fast.bench import gpu

ARCHITECTURE = backend.PRETENDED_GPU
SHARED = 232448  # bytes that a block may have there
THREADS = 1024
GRID = (2**31 - 1, 65535, 65535)


_kept: dict[str, tuple[str, Callable[[], None]]] = {}  # by form, its name and what runs it


class Driver:
    """What Triton asks of a driver. Launches are checked and counted, and not made.

    Attributes:
        launches: how many there were.
    """

    def __init__(self) -> None:
        self.launches = 0
        self.utils = self
        # Triton 3.6 compiles C code for each signature, and links with NVIDIA's driver.
        self._launchers = bool(gpu.names()) and hasattr(nvidia, "make_launcher")

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", ARCHITECTURE, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_device_properties(self, device: int) -> dict[str, int]:
        return {"max_shared_mem": SHARED}

    def load_binary(self, *_: object) -> tuple[object, object, int, int, int]:
        """Module, function, registers, spills, threads of a block at most."""
        return object(), object(), 0, 0, THREADS

    def launcher_cls(self, source: object, metadata: object) -> Any:
        if self._launchers:
            nvidia.CudaLauncher(source, metadata)
        return self.launch

    def launch(self, x: int, y: int, z: int, *_: object) -> None:
        """Raises RuntimeError for a grid that the driver would refuse."""
        if not all(1 <= n <= most for n, most in zip((x, y, z), GRID, strict=True)):
            raise RuntimeError(f"a grid of {(x, y, z)}; expected 1 to {GRID}")
        self.launches += 1


def install() -> Driver:
    """For the whole process."""
    found = Driver()
    driver.set_active(found)
    backend._resolved = lambda device: "cpu"
    backend._precision = lambda wanted, device: wanted
    return found


at_once = Launch.run


def postpone() -> None:
    """For the whole process: `Launch.run` only keeps what it would run, each form once."""

    def keep(launch: Launch, memory: Any) -> None:
        key = key_of(launch, ARCHITECTURE)
        if key not in _kept:
            _kept[key] = launch.name, partial(at_once, launch, memory)

    Launch.run = keep  # type: ignore[method-assign]


def compiled(end: float) -> Iterator[dict[str, Any]]:
    """What was kept is run by all cores; a row for each form, as it is done, until `end`."""
    with multiprocessing.get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool:
        done = pool.imap_unordered(_run, list(_kept))
        for left in range(len(_kept), 0, -1):
            try:
                yield done.next(max(end - time.monotonic(), 0))
            except multiprocessing.TimeoutError:
                yield {"left_out": f"no time was left for {left} of {len(_kept)}"}
                return


def _run(key: str) -> dict[str, Any]:
    name, run = _kept[key]
    start = time.monotonic()
    try:
        run()
    except Exception as error:
        return {"kernel": name, "ok": False, "failed": f"{type(error).__name__}: {error}"[:500]}
    return {"kernel": name, "ok": True, "seconds": round(time.monotonic() - start, 2)}
