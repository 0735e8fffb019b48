"""What backends on exported graphs have in common: a session for every choice of outputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from imagen_fast.backends.base import Backend, NonFiniteError, Tiles
from imagen_fast.errors import BackendError, ExportError, OperationError
from imagen_fast.export.options import ExportOptions


class Session(Protocol):
    """An exported graph, ready to run."""

    def run(self, given: Mapping[str, Tiles]) -> dict[str, Tiles]:
        """(N, C, H, W) float32 by the file's names, inputs to outputs. Raises BackendError."""


class Exported(Backend):
    """Exports the graph when outputs are asked for that no session gives yet.

    Graphs take and give float32, not clamped, so that what is not finite is seen.
    """

    @abstractmethod
    def _made(self, options: ExportOptions) -> Session:
        """What runs the graph with these inputs and outputs."""

    def _begin(self) -> None:
        """Make the session of the first output."""
        self._sessions: dict[tuple[frozenset[str], tuple[str, ...]], Session] | None = {}
        required = [name for name, x in self.graph.inputs.items() if not x.optional]
        self._session(required, [next(iter(self.graph.outputs))])

    def compute(self, given: Mapping[str, Tiles], wanted: Sequence[str]) -> dict[str, Tiles]:
        """See `Backend.run`."""
        session = self._session(given, wanted)
        bytes_ = any(x.dtype == np.uint8 for x in given.values())
        read = self.needed(given, wanted).inputs
        found = session.run({name: _planes(given[name]) for name in read})
        # In the order asked for: a name that is an input's as well has another one in the file.
        return {
            name: self._array(name, x, bytes_)
            for name, x in zip(wanted, found.values(), strict=True)
        }

    def close(self) -> None:
        """Drop the sessions."""
        self._sessions = None

    def _session(
        self, given: Sequence[str] | Mapping[str, Tiles], wanted: Sequence[str]
    ) -> Session:
        if self._sessions is None:
            raise BackendError("this backend is closed")
        key = frozenset(given), tuple(wanted)
        if key not in self._sessions:
            read = self.needed(given, wanted).inputs
            optional = tuple(name for name in read if self.graph.inputs[name].optional)
            options = ExportOptions(self.precision, inputs=optional, outputs=tuple(wanted))
            try:
                self._sessions[key] = self._made(options)
            except ExportError as error:
                raise OperationError(f"backend {self.name!r}: {error}") from error
        return self._sessions[key]

    def _array(self, name: str, x: Tiles, bytes_: bool) -> Tiles:
        """(N, C, H, W) as the graph gives it → (N, H, W, C); pictures are clamped."""
        if not np.isfinite(x).all():
            raise NonFiniteError(f"the output is not finite in {self.precision}")
        x = x.transpose(0, 2, 3, 1)
        if self.graph.outputs[name].picture:
            x = x.clip(0, 1)
            x = np.rint(x * np.float32(255)).astype(np.uint8) if bytes_ else x
        return np.ascontiguousarray(x)


def _planes(array: Tiles) -> Tiles:
    """(N, H, W, C) → (N, C, H, W) float32, bytes from 0 to 1."""
    bytes_ = array.dtype == np.uint8
    x = array.astype(np.float32) / np.float32(255) if bytes_ else array
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
