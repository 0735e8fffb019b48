"""A model in one file: a graph and its weights in a safetensors container.

Nothing in it can run code when it is loaded. `__metadata__` holds `format`, `graph` (see
`Graph.to_json`), `alignment` and `exact_overlap` for tiles, `spec` (`ModelSpec.to_json`) where one
of our architectures made the graph, and facts such as `name`, `size`, `task`, `license` and
`training`; the tensors are float32 or float16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from imagen_fast import atomic, stand_in
from imagen_fast.errors import OperationError, SpecError, WeightsError
from imagen_fast.graph import Graph, network, reach
from imagen_fast.spec import ModelSpec
from imagen_fast.task import TASKS, Task, task_of

FAMILY = "imagen-fast-"
FORMAT = f"{FAMILY}2"
OURS = "imagen-fast"  # the architecture of a graph that an export of ours holds
DTYPES = ("F32", "F16")
SHOWN = 3  # of the differences between graph and tensors
MOST_PIXELS = 1 << 16  # of an alignment or an overlap; as runtime/bundle.cc has it
PICKLE_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle")
PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

# A tensor in a file: dtype, as safetensors writes it; shape; bytes.
Stored = tuple[str, tuple[int, ...], bytes]

_open: Callable[..., Any] = safe_open  # which has no annotations


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model: what it computes, its tensors by name (float32 or float16) and facts about it.

    Attributes:
        source: the spec of one of our architectures, or a graph of any kind.
    """

    source: ModelSpec | Graph
    tensors: dict[str, NDArray[Any]]
    metadata: dict[str, str] = field(default_factory=dict)

    @cached_property
    def graph(self) -> Graph:
        """The network's operations."""
        return self.source if isinstance(self.source, Graph) else network(self.source)

    @property
    def spec(self) -> ModelSpec:
        """The architecture's spec. Raises OperationError if the graph is of none of ours."""
        if isinstance(self.source, Graph):
            raise OperationError(
                "this model is a network of its own, of none of our architectures, which this "
                "backend does not run; choose backend native or eager"
            )
        return self.source

    @property
    def is_ours(self) -> bool:
        """Whether one of our architectures made the graph."""
        return isinstance(self.source, ModelSpec) or self.metadata.get("architecture") == OURS

    @property
    def task(self) -> Task:
        """What the model is for. Raises WeightsError if this version does not know it."""
        name = self.metadata.get("task", "")
        if name in TASKS and not next(iter(self.graph.outputs.values())).picture:
            return TASKS[name]  # a part of such a model, whose results have no scale
        return task_of(name, self.graph.scale)

    def check_tensors(self) -> None:
        """Raise WeightsError if a tensor is missing, unknown, or of another shape."""
        wanted = self.graph.tensors
        found = {name: tensor.shape for name, tensor in self.tensors.items()}
        wrong = [
            f"{name} is {found.get(name, 'missing')}, expected {wanted.get(name, 'no such tensor')}"
            for name in sorted(wanted.keys() | found.keys())
            if wanted.get(name) != found.get(name)
        ]
        if wrong:
            more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
            raise WeightsError(
                f"the model's tensors do not fit its graph: {'; '.join(wrong[:SHOWN])}{more}"
            )

    @cached_property
    def alignment(self) -> int:
        """Input pixels at whose multiples tiles start; see `graph.reach`."""
        known = self.metadata.get("alignment")
        return int(known) if known else reach.alignment(self.graph)

    @cached_property
    def exact_overlap(self) -> int | None:
        """The overlap with which tiles change nothing, in input pixels; None if none is enough."""
        if "alignment" in self.metadata:
            known = self.metadata.get("exact_overlap")
            return int(known) if known else None
        return reach.exact_overlap(self.graph)


def load_bundle(path: str | Path) -> Bundle:
    """Read and check a bundle.

    Raises:
        WeightsError: the file is missing, damaged, of another kind, pickled, or holds values
            that are not finite.
    """
    with _Reader(path) as reader:
        tensors = {name: reader.tensor(name) for name in reader.names()}
        return Bundle(reader.source, tensors, reader.metadata)


def read_header(path: str | Path) -> Bundle:
    """A bundle without its tensors. Raises WeightsError as `load_bundle`."""
    with _Reader(path) as reader:
        return Bundle(reader.source, {}, reader.metadata)


def describe(bundle: Bundle) -> dict[str, str]:
    """What a file's metadata says of the network, beside its facts."""
    said = {"graph": bundle.graph.to_json(), "alignment": str(bundle.alignment)}
    if bundle.exact_overlap is not None:
        said["exact_overlap"] = str(bundle.exact_overlap)
    if isinstance(bundle.source, ModelSpec):
        said["spec"] = bundle.source.to_json()
    return said


def save_bundle(bundle: Bundle, path: str | Path, *, replace: bool = True) -> None:
    """Write a bundle; the file appears under its name only when it is complete.

    Raises:
        WeightsError: a tensor is neither float32 nor float16, the file cannot be written, or there
            is one of this name and `replace` is False.
    """
    path = Path(path)
    for name, tensor in bundle.tensors.items():
        if tensor.dtype not in (np.float32, np.float16):
            raise WeightsError(f"tensor {name!r} is {tensor.dtype}; expected float32 or float16")
    # safetensors writes the buffer as it lies in memory
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in bundle.tensors.items()}
    metadata = {**bundle.metadata, **describe(bundle), "format": FORMAT}
    data = save(tensors, metadata)
    with atomic.refused_as(WeightsError, path):
        atomic.write(path, data, replace=replace)


class _Reader:
    """An open container whose header has been checked; every failure is a WeightsError."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._refuse_what_is_known()
        try:
            self._file = _open(self.path, framework="numpy")
            found: dict[str, str] | None = self._file.metadata()
        except (SafetensorError, OSError, ValueError) as error:
            raise self._error(f"not a safetensors file, or damaged ({error})") from error
        self.metadata = found or {}
        form = self.metadata.get("format", "")
        if form.startswith(f"{FAMILY}cuda-"):
            raise self._error(
                "it holds GPU kernels, for programs in C and C++ (docs/embed.md); expected the "
                "model that it was exported from"
            )
        if form.startswith(f"{FAMILY}style-"):
            raise self._error("it is a saved style; give it to `imagen-fast stylize --style`")
        if form != FORMAT and form.startswith(FAMILY):
            raise self._error(
                f"an imagen-fast model of format {form!r}, and this version reads {FORMAT!r}; "
                "update imagen-fast"
            )
        if form != FORMAT or "graph" not in self.metadata:
            raise self._error(
                f"a safetensors file, but not an imagen-fast model (its metadata has no format "
                f"{FORMAT!r} with a graph)"
            )
        for key, most in (("alignment", MOST_PIXELS), ("exact_overlap", MOST_PIXELS)):
            said = self.metadata.get(key, "1")
            if not said.isascii() or not said.isdecimal() or not int(said) <= most:
                raise self._error(f"its {key} is {said!r}; expected a number up to {most}")
        if self.metadata.get("alignment") == "0":
            raise self._error("its alignment is 0")
        self.source = self._source()

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.__exit__(None, None, None)

    def names(self) -> list[str]:
        return list(self._file.keys())

    def tensor(self, name: str) -> NDArray[Any]:
        dtype = self._file.get_slice(name).get_dtype()
        if dtype not in DTYPES:
            raise self._error(f"tensor {name!r} is {dtype}; expected one of {', '.join(DTYPES)}")
        tensor: NDArray[Any] = self._file.get_tensor(name)
        if not np.isfinite(tensor).all():
            raise self._error(f"tensor {name!r} holds values that are not finite")
        return tensor

    def _source(self) -> ModelSpec | Graph:
        """The spec, if there is one and the graph is its; else the graph."""
        try:
            if "spec" not in self.metadata:
                return Graph.from_json(self.metadata["graph"])
            spec = ModelSpec.from_json(self.metadata["spec"])
            if network(spec).to_json() != self.metadata["graph"]:
                return Graph.from_json(self.metadata["graph"])
            return spec
        except SpecError as error:
            raise self._error(str(error)) from error

    def _refuse_what_is_known(self) -> None:
        try:
            with self.path.open("rb") as file:
                start = file.read(stand_in.BEGINNING)
        except OSError as error:
            raise self._error(f"cannot read the model: {error.strerror or error}") from error
        except ValueError as error:  # a null byte in the name
            raise self._error(f"not a file name ({error})") from error
        if self.path.suffix.lower() in PICKLE_SUFFIXES or start.startswith(PICKLE_STARTS):
            raise self._error(
                "a pickled checkpoint, which can run any code when loaded, so it is not opened; "
                "expected a .safetensors file as `imagen-fast train` writes it"
            )
        if what := stand_in.explain(start):
            raise self._error(f"not a safetensors file: it is {what}")

    def _error(self, problem: str) -> WeightsError:
        return WeightsError(f"{self.path}: {problem}")
