"""The native engine: C++ kernels on the CPU, without torch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from imagen_fast.backends.base import Backend, NonFiniteError, Tiles
from imagen_fast.cores import cores
from imagen_fast.errors import BackendError
from imagen_fast.extras import BUILD_AGAIN

if TYPE_CHECKING:
    from imagen_fast._native import Engine

# As the pool of threads has it (runtime/pool.cc), and the system's sets of cores.
MOST_SPIN_US = 1_000_000
MOST_CORE = 1023


class Native(Backend):
    """The kernels of the best instruction set that the processor has.

    `precision` "auto" is bf16 where the processor multiplies that at a multiple of fp32's rate
    (AMX; AVX512-BF16 on AMD), else fp32. `isa` orders an instruction set by its name; "" leaves it
    to the variable IMAGEN_FAST_ISA or, without that, to the processor. `threads` None takes as
    many as there are cores for this process; the variable IMAGEN_FAST_CORES ("2,3") binds them,
    and IMAGEN_FAST_SPIN_US sets how many microseconds they wait awake before they sleep.
    """

    name: ClassVar[str] = "native"
    kinds: ClassVar[tuple[str, ...]] = ("cpu",)
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16")
    takes_isa: ClassVar[bool] = True
    budget: ClassVar[int] = 0  # bytes for feature maps; 0 leaves it to the engine

    def _start(self, device: str, precision: str, threads: int | None, isa: str) -> None:
        from imagen_fast._native import Engine, preferred_precision

        self.device = "cpu"
        self.precision = preferred_precision(isa) if precision == "auto" else precision
        self.threads = threads or cores()
        tensors = {name: np.ascontiguousarray(t) for name, t in self.bundle.tensors.items()}
        self._engine: Engine | None = Engine(
            self.graph.to_json(),
            tensors,
            precision=self.precision,
            isa=isa,
            threads=self.threads,
            **_pool(),
        )
        self.isa: str = self._engine.isa

    @classmethod
    def missing(cls) -> str | None:
        """The compiled extension, which an install without a C++ compiler leaves out."""
        if find_spec("imagen_fast._native") is None:
            return f"the native engine was not built when imagen-fast was installed; {BUILD_AGAIN}"
        return None

    @property
    def capacity(self) -> int:
        """As many pixels as the budget has room for."""
        return self._open().capacity(self.budget)

    def prepare(self, shape: tuple[int, int, int]) -> None:
        """Take the memory for tiles of this shape."""
        self._open().prepare(self.shapes(shape), [next(iter(self.graph.outputs))])

    def compute(self, given: Mapping[str, Tiles], wanted: Sequence[str]) -> dict[str, Tiles]:
        """See `Backend.run`."""
        arrays = {name: np.ascontiguousarray(x) for name, x in given.items()}
        results = self._open().run(arrays, list(wanted))
        if results is None:
            raise NonFiniteError(f"the output is not finite in {self.precision}")
        return results

    def close(self) -> None:
        """Drop weights, buffers and threads."""
        self._engine = None

    def _open(self) -> Engine:
        if self._engine is None:
            raise BackendError("this backend is closed")
        return self._engine


def _pool() -> dict[str, Any]:
    """What the environment says of the threads."""
    options: dict[str, Any] = {}
    if spin := os.environ.get("IMAGEN_FAST_SPIN_US"):
        options["spin_us"] = _number("IMAGEN_FAST_SPIN_US", spin, MOST_SPIN_US)
    if bound := os.environ.get("IMAGEN_FAST_CORES"):
        options["cores"] = [
            _number("IMAGEN_FAST_CORES", core, MOST_CORE) for core in bound.split(",")
        ]
    return options


def _number(name: str, text: str, most: int) -> int:
    """The number in a variable of the environment, or in a part of it."""
    digits = text.strip()
    if not re.fullmatch("[0-9]{1,9}", digits) or int(digits) > most:
        raise BackendError(f"{name} holds {text!r}; expected integers from 0 to {most}")
    return int(digits)
