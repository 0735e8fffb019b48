"""What every backend is: a network made ready on one device, run on batches of tiles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, overload

import numpy as np
from numpy.typing import NDArray

from imagen_fast.backends import options
from imagen_fast.bundle import Bundle
from imagen_fast.errors import BackendError
from imagen_fast.graph import Graph
from imagen_fast.graph.passes import needed

Tiles = NDArray[Any]  # (N, H, W, C), C-contiguous or not
OTHER_SIDE = 32  # of a second picture or its tokens, where nobody knows it yet


class NonFiniteError(BackendError):
    """The network's output holds infinities or NaN; a higher precision may help."""


class Backend(ABC):
    """One way of running a model.

    Not thread-safe: `Engine` lets one thread in at a time.

    Args:
        bundle: spec and weights.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: one of `options.PRECISIONS`; what weights and activations are computed in.
        threads: CPU threads, 1 to 1024; None leaves the choice to the backend.
        isa: CPU instruction set by its name; "" leaves the choice to the backend.

    Attributes:
        name: as in `BACKENDS`.
        kinds: of devices that it serves.
        precisions: that it has, on some device.
        device, precision: what was resolved from the arguments, never "auto".
        threads: how many are used, None if the backend does not say.
        takes_isa, isa: whether its CPU instruction set can be chosen, and which one runs; None if
            the backend does not say.

    Raises:
        BackendError: device, precision or instruction set is unknown or not to be had here.
        OperationError: there is no kernel for one of the network's operations.
        WeightsError: the bundle's tensors do not fit its graph.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ("cpu", "cuda")
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "fp16")
    takes_isa: ClassVar[bool] = False
    isa: str | None = None
    device: str
    precision: str
    threads: int | None = None

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        isa: str = "",
    ) -> None:
        self.check(device, precision, threads, isa)
        self.bundle = bundle
        self._start(device, precision, options.thread_count(threads), isa)

    @classmethod
    def check(
        cls,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        isa: str = "",
    ) -> None:
        """Raise BackendError for options that this backend has on no machine."""
        options.check(device, precision, threads, isa)
        if options.device_kind(device) not in ("auto", *cls.kinds):
            (kind,) = cls.kinds
            raise BackendError(
                f"backend {cls.name!r} runs on {'the cpu' if kind == 'cpu' else 'CUDA'} only, not "
                f"on {device!r}; choose another backend, or auto"
            )
        if precision not in ("auto", *cls.precisions):
            raise BackendError(
                f"backend {cls.name!r} has no {precision}; choose {' or '.join(cls.precisions)}"
            )
        if isa and not cls.takes_isa:
            raise BackendError(
                f"backend {cls.name!r} has no isa to choose; expected backend native"
            )

    @abstractmethod
    def _start(self, device: str, precision: str, threads: int | None, isa: str) -> None:
        """Make the network ready; sets `device` and `precision`. Arguments as the class's."""

    @classmethod
    @abstractmethod
    def missing(cls) -> str | None:
        """What this machine lacks for the backend, and how to get it; None if nothing."""

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Of the libraries that do the work."""
        return {}

    @property
    def graph(self) -> Graph:
        """The network's operations."""
        return self.bundle.graph

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many input pixels one `run` may hold, all tiles together, given the memory now."""

    def prepare(self, shape: tuple[int, int, int]) -> None:
        """Do now what the first `run` of tiles (N, H, W) would do. Optional for callers.

        A run on zeros, unless a backend knows better.
        """
        inputs = self.graph.inputs
        self.run(
            {
                name: np.zeros((*sizes, inputs[name].channels), np.float32)
                for name, sizes in self.shapes(shape).items()
            },
            [next(iter(self.graph.outputs))],
        )

    def shapes(self, shape: tuple[int, int, int]) -> dict[str, tuple[int, int, int]]:
        """(N, H, W) of what the first output needs, the first input being of this one.

        Others that have a size of their own, as tokens have it, are of `OTHER_SIDE`.
        """
        n, *sides = shape
        required = [name for name, x in self.graph.inputs.items() if not x.optional]
        graph = needed(self.graph.given(required), [next(iter(self.graph.outputs))])
        own = dict.fromkeys(graph.inputs, (OTHER_SIDE, OTHER_SIDE))
        own[next(iter(graph.inputs))] = (sides[0], sides[1])
        grids = {name: graph.values[name].grid for name in graph.inputs}
        return {name: (n, *grid.size(*own[grid.of])) for name, grid in grids.items()}

    def needed(self, given: Iterable[str], wanted: Sequence[str]) -> Graph:
        """The graph of a run: these outputs, and the inputs that they depend on.

        Raises:
            BackendError: one of these is not given.
        """
        graph = needed(self.graph.given(given), wanted)
        if missing := [name for name in graph.inputs if name not in given]:
            raise BackendError(f"the model's input {missing[0]!r} is needed and was not given")
        return graph

    @overload
    def run(self, given: Tiles) -> Tiles: ...
    @overload
    def run(self, given: Mapping[str, Tiles], wanted: Sequence[str]) -> dict[str, Tiles]: ...

    def run(
        self, given: Tiles | Mapping[str, Tiles], wanted: Sequence[str] = ()
    ) -> Tiles | dict[str, Tiles]:
        """What the network gives: arrays by the names of the graph's outputs.

        Args:
            given: arrays (N, H, W, C) by the names of the graph's inputs: pictures in uint8 or
                float32 from 0 to 1, anything else float32. An array alone is the first input, and
                what results is the first output.
            wanted: names of outputs. Pictures are clamped and of the dtype that was given.

        Raises:
            BackendError: a name is unknown, an array is missing or of another kind, the backend
                cannot compute this output, or memory ran out.
            NonFiniteError: an output is not finite.
        """
        if isinstance(given, Mapping):
            self._check(given, wanted)
            return self.compute(given, wanted)
        first, output = next(iter(self.graph.inputs)), next(iter(self.graph.outputs))
        self._check({first: given}, [output])
        return self.compute({first: given}, [output])[output]

    def _check(self, given: Mapping[str, Tiles], wanted: Sequence[str]) -> None:
        graph = self.graph
        if unknown := [name for name in wanted if name not in graph.outputs]:
            raise BackendError(
                f"this model has no output {unknown[0]!r}; it has {', '.join(graph.outputs)}"
            )
        for array in given.values():
            if not isinstance(array, np.ndarray):
                raise BackendError(f"tiles are a {type(array).__name__}; expected a NumPy array")
        bytes_ = any(array.dtype == np.uint8 for array in given.values())
        for name, array in given.items():
            if name not in graph.inputs:
                raise BackendError(
                    f"this model has no input {name!r}; it has {', '.join(graph.inputs)}"
                )
            x = graph.inputs[name]
            if array.ndim != 4 or array.shape[3] != x.channels or 0 in array.shape:
                raise BackendError(
                    f"{name} has shape {array.shape}; expected (N, H, W, {x.channels}), none of "
                    "them 0"
                )
            dtype = np.uint8 if bytes_ and x.picture else np.float32
            if array.dtype != dtype:
                either = "uint8 or float32" if x.picture and not bytes_ else dtype.__name__
                raise BackendError(f"{name} is {array.dtype}; expected {either}")
            grid = graph.values[name].grid
            of = given.get(grid.of)
            if of is not None and array.shape[:3] != (len(of), *grid.size(*of.shape[1:3])):
                expected = (len(of), *grid.size(*of.shape[1:3]), x.channels)
                raise BackendError(f"{name} has shape {array.shape}; expected {expected}")

    @abstractmethod
    def compute(self, given: Mapping[str, Tiles], wanted: Sequence[str]) -> dict[str, Tiles]:
        """`run` on checked arrays."""

    def in_fp32(self) -> Backend:
        """The same model on the same device, for what is not finite in this precision."""
        return type(self)(self.bundle, device=self.device, precision="fp32", threads=self.threads)

    def close(self) -> None:  # noqa: B027 (nothing to give back)
        """Give back what the backend holds. It cannot run afterwards."""
