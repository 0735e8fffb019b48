"""One operation on its way to a launch: what a launcher is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from torch import Tensor

from imagen_fast.errors import OperationError
from imagen_fast.graph.operation import Operation

from .epilogue import ACTIVATIONS
from .launch import SAMPLES, Argument, Array
from .size import Number


@dataclass(frozen=True)
class Step:
    """An operation with memory.

    Attributes:
        operation: which.
        settings: its attributes, defaults included.
        tensors: its weights by role, float32.
        read: what it reads, as it lies in memory.
        out: where it writes: features, or what leaves the network.
        flag: (1,) int32 that becomes 1 if what leaves the network is not finite; None for features.
        clamp: whether what leaves the network is clamped to [0, 1].
        kind: of features, a name of `launch.DTYPES`.
        arch: of the GPU, as 90 for sm_90.
        processors: multiprocessors of the GPU.
        converted: the features that an array of samples becomes.
        packing: packed tensors by part, made by a function if they are not there yet.
        scratch: memory for this operation alone, of a shape (N, H, W, C): features, or of a kind.
    """

    operation: Operation
    settings: Mapping[str, Any]
    tensors: dict[str, Tensor]
    read: tuple[Array | None, ...]
    out: Array
    flag: Array | None
    clamp: bool
    kind: str
    arch: int
    processors: Number
    converted: Callable[[int], Array]
    packing: Callable[[Callable[[], dict[str, Tensor]]], dict[str, Array]]
    scratch: Callable[..., Array]

    def pack(self, make: Callable[[], dict[str, Tensor]]) -> dict[str, Array]:
        """Packed tensors, made once: matrices in the features' type, vectors in fp32."""
        return self.packing(make)

    def given(self, place: int) -> Array | None:
        """What it reads there; None if nothing."""
        return self.read[place] if place < len(self.read) else None

    @property
    def all_given(self) -> list[Array]:
        """What it reads, without what is left out."""
        return [x for x in self.read if x is not None]

    def features(self, place: int) -> Array:
        """What it reads there, as features."""
        x = self.read[place]
        assert x is not None
        return x if x.kind == self.kind else self.converted(place)

    def added(self, first: int, most: int) -> list[int]:
        """The places of addends, from one on. Raises OperationError: there are more than `most`."""
        found = [i for i, x in enumerate(self.read) if i >= first and x is not None]
        if len(found) > most:
            self.refuse(f"{len(found)} addends; expected {most} at most")
        return found

    def addend(self) -> Array | None:
        """What attention adds, as features."""
        return next(map(self.features, self.added(2, 1)), None)

    def ending(self, packed: Mapping[str, Array]) -> dict[str, Argument]:
        """A convolution's arguments that come after its product."""
        first, second, *_ = [*map(self.given, self.added(1, 2)), None, None]
        bias, slopes = packed.get("bias"), packed.get("slopes")
        return {"bias": bias, "slopes": slopes, "first": first, "second": second, "out": self.out}

    def activation(self) -> dict[str, Any]:
        """The constants of `epilogue.finish`. Raises OperationError: not one of its activations."""
        a = self.settings
        kind = a.get("activation", "none")
        if kind not in ACTIVATIONS:
            self.refuse(f"activation {kind!r}; expected one of {', '.join(ACTIVATIONS)}")
        slope = float(a["slope"]) if kind in ("leaky_relu", "elu") else 0.0
        return {"ACTIVATION": kind, "SLOPE": slope, "SCALE": float(a.get("scale", 1.0))}

    def name(self, form: str) -> str:
        """Of a compiled form, with what it reads and writes where that is no feature."""
        kinds = [x.kind for x in (*self.read, self.out) if x is not None and x.kind in SAMPLES]
        activation = self.settings.get("activation", "none")
        more = [activation] if activation != "none" else []
        more += [f"plus{count}"] if (count := sum(x is not None for x in self.read[1:])) else []
        return "_".join([form, *more, *kinds, self.kind])

    def refuse(self, why: str) -> NoReturn:
        """Raise OperationError for an operation that there is no kernel for."""
        raise OperationError(
            f"backend 'triton' cannot run operation {self.operation.output!r} "
            f"({self.operation.kind}): {why}; choose backend native or eager"
        )
