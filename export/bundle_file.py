"""A bundle with GPU kernels as a file: one safetensors container.

`__metadata__` holds what a model's does, and `plan` (see bundle_plan); the
tensors are the weights as the kernels read them, and the kernels' machine code as bytes. Reading it
runs nothing, but running it does: its code is a program for the GPU, to be taken from where
programs are taken from.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imagen_fast import stand_in
from imagen_fast.bundle import FAMILY, Bundle, Stored, describe
from imagen_fast.bundle import FORMAT as MODEL
from imagen_fast.errors import SpecError, WeightsError
from imagen_fast.graph import Graph

from .bundle_plan import BundlePlan, parse

FORMAT = f"{FAMILY}cuda-4"
LARGEST_HEADER = 16 << 20  # as the runtime has it


def render(
    bundle: Bundle,
    plan: Mapping[str, Any],
    tensors: Mapping[str, Stored],
) -> bytes:
    """The content of a file for a model: the same for the same arguments."""
    facts = {**bundle.metadata, **describe(bundle), "format": FORMAT}
    facts["plan"] = json.dumps(plan, allow_nan=False, separators=(",", ":"))
    header: dict[str, Any] = {"__metadata__": dict(sorted(facts.items()))}
    end = 0
    # Weights first: code may have any length, and would leave them at odd places.
    ordered = sorted(tensors.items(), key=lambda item: (item[1][0] == "U8", item[0]))
    for name, (dtype, shape, data) in ordered:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *(data for _, (*_, data) in ordered)])


def read_header(path: str | Path) -> tuple[Graph, BundlePlan, dict[str, str]]:
    """Graph, plan and metadata: only the header is read.

    Raises:
        WeightsError: the file cannot be read, is damaged, of another kind or newer.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if what := stand_in.explain(file.read(stand_in.BEGINNING)):
                raise WeightsError(f"{path}: not a safetensors file: it is {what}")
            file.seek(0)
            (length,) = struct.unpack("<Q", file.read(8))
            if length > LARGEST_HEADER:
                raise WeightsError(f"{path}: not a safetensors file, or damaged")
            header = json.loads(file.read(length))
    except OSError as error:
        raise WeightsError(f"{path}: cannot read it: {error.strerror or error}") from error
    except (struct.error, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not a safetensors file, or damaged ({error})") from error
    try:
        return read_metadata(header.get("__metadata__") if isinstance(header, dict) else None)
    except (WeightsError, SpecError) as error:
        raise WeightsError(f"{path}: {error}") from error


def read_metadata(metadata: object) -> tuple[Graph, BundlePlan, dict[str, str]]:
    """As `read_header`, of what a header has under `__metadata__`."""
    if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
        raise WeightsError("a file without metadata; expected a bundle with GPU kernels")
    found = metadata.get("format", "")
    if found == MODEL:
        raise WeightsError(
            "a model without GPU kernels; `imagen-fast export MODEL --format bundle` writes them"
        )
    if found != FORMAT or not {"graph", "plan"} <= metadata.keys():
        raise WeightsError(
            f"its format is {found!r}; expected {FORMAT!r} with graph and plan. If another version "
            "of imagen-fast wrote it, use that one, or export the model again"
        )
    return Graph.from_json(metadata["graph"]), parse(metadata["plan"]), metadata
