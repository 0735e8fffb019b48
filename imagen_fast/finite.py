"""Runs of a backend whose results are finite: what is not is computed again in fp32."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.backends import Backend, NonFiniteError
from imagen_fast.errors import BackendError
from imagen_fast.turn import Turn

Arrays = Mapping[str, NDArray[Any]]  # by the names of a graph's inputs


class PrecisionWarning(RuntimeWarning):
    """Something was not finite in the precision asked for, and was computed again in fp32."""


class FiniteRunner:
    """A backend at which threads take turns. Attribute `reruns`: how often fp32 was needed."""

    def __init__(self, backend: Backend, model: str) -> None:
        self._model, self.reruns = model, 0
        self._backend: Backend | None = backend
        self._in_fp32: Backend | None = None  # the same, made when it is needed
        self._turn = Turn()

    @property
    def backend(self) -> Backend:
        """What runs. Raises BackendError after `close`."""
        if self._backend is None:
            raise BackendError("this engine is closed; load another")
        return self._backend

    def run(self, given: Arrays, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
        """As `Backend.run`; one picture at a time is computed in fp32, with a PrecisionWarning.

        Raises:
            BackendError: as `Backend.run`; an input is not finite, or a result not in fp32 either.
        """
        with self._turn:
            return self._run(self.backend, given, wanted)

    def _run(
        self, backend: Backend, given: Arrays, wanted: Sequence[str]
    ) -> dict[str, NDArray[Any]]:
        try:
            return backend.run(given, wanted)
        except NonFiniteError as error:
            if not all(np.isfinite(x).all() for x in given.values()):
                raise BackendError(
                    "the input holds infinities or NaN; expected values from 0 to 1"
                ) from error
            if backend.precision == "fp32":
                raise BackendError(
                    f"the model {self._model!r} gives infinities or NaN even in fp32; its weights "
                    "are damaged or were not trained to the end: use others"
                ) from error
            if (count := len(next(iter(given.values())))) > 1:
                # One by one, so that the others keep their precision.
                parts = [
                    self._run(backend, {name: x[i : i + 1] for name, x in given.items()}, wanted)
                    for i in range(count)
                ]
                return {name: np.concatenate([part[name] for part in parts]) for name in wanted}
            self.reruns += 1
            warnings.warn(f"{error}; this part is computed in fp32", PrecisionWarning, 5)
        if self._in_fp32 is None:
            self._in_fp32 = backend.in_fp32()
        return self._run(self._in_fp32, given, wanted)

    def close(self) -> None:
        """Give back what the backend holds. Closing twice is harmless."""
        with self._turn:
            for backend in (self._backend, self._in_fp32):
                if backend is not None:
                    backend.close()
            self._backend = self._in_fp32 = None
