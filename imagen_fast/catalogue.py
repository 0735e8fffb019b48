"""The models that come with the package, and how a name becomes a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from imagen_fast.bundle import read_header
from imagen_fast.errors import WeightsError
from imagen_fast.spec import PRESETS, ModelSpec

FOLDER = Path(__file__).parent / "weights"
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Entry:
    """A shipped model.

    `name` is what it does (`sr-x4`), `size` its preset (`tiny`); its file is called
    `{name}-{size}.safetensors`. `metadata` holds the facts that its file carries.
    """

    name: str
    size: str
    path: Path
    spec: ModelSpec
    metadata: dict[str, str]


def shipped() -> list[Entry]:
    """Every shipped model, by name, the smallest first. Raises WeightsError if one is damaged."""
    sizes = list(PRESETS)
    entries = []
    for path in FOLDER.glob(f"*{SUFFIX}"):
        name, _, size = path.stem.rpartition("-")
        entries.append(Entry(name, size, path, *read_header(path)))
    return sorted(entries, key=lambda e: (e.name, sizes.index(e.size) if e.size in sizes else 99))


def resolve(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a shipped model (`sr-x4-tiny`, or `sr-x4` for its smallest size) or of a path.

    Raises:
        WeightsError: neither a shipped name nor a file; says which names exist.
    """
    text = os.fspath(name_or_path)
    entries = shipped()
    for entry in entries:
        if text in (entry.name, entry.path.stem):
            return entry.path
    path = Path(text)
    if os.path.lexists(path) and not path.is_dir():
        return path
    names = ", ".join(e.path.stem for e in entries) or "none"
    raise WeightsError(
        f"no model {text!r}: it is neither a file nor a shipped model (shipped: {names})"
    )


def for_scale(scale: int) -> str:
    """The name of the shipped super-resolution model that enlarges `scale` times.

    Raises:
        WeightsError: there is none; says for which scales there is one.
    """
    models = {entry.spec.scale: entry.name for entry in shipped() if entry.spec.scale > 1}
    if scale not in models:
        scales = ", ".join(map(str, sorted(models))) or "none"
        raise WeightsError(
            f"no model enlarges {scale} times (scales with a shipped model: {scales}); "
            "choose one of these or name a model file"
        )
    return models[scale]
