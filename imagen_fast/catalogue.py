"""The models that come with the package, and how a name becomes a file.

One damaged file is no reason not to find the others.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard, TypeVar

from imagen_fast.bundle import Bundle, read_header
from imagen_fast.errors import WeightsError
from imagen_fast.spec import PRESETS
from imagen_fast.task import Task

_Name = TypeVar("_Name", bound="str | os.PathLike[str]")
FOLDER = Path(__file__).parent / "weights"
SUFFIX = ".safetensors"
REAL = "real-x"
AUTO = "auto"
SHARP = "-gan"


@dataclass(frozen=True)
class Entry:
    """A shipped model.

    `name` is what it does (`sr-x4`), `size` its preset (`tiny`); its file is called
    `{name}-{size}.safetensors`. `header` is the model without its tensors.
    """

    name: str
    size: str
    path: Path
    header: Bundle

    @property
    def metadata(self) -> dict[str, str]:
        """The facts that its file carries."""
        return self.header.metadata

    @property
    def real(self) -> bool:
        """Whether it is for pictures as they are, with noise and JPEG."""
        return self.name.startswith(REAL)

    @property
    def sharp(self) -> bool:
        """Whether it was trained against a discriminator, and invents detail."""
        return self.name.endswith(SHARP)


def asked_for(model: _Name | None) -> TypeGuard[_Name]:
    """Whether a model is named: None and "auto" leave the choice to us."""
    return model is not None and model != AUTO


def files() -> list[Path]:
    """The files of the shipped models, by name, the smallest first. None of them is opened."""
    sizes = list(PRESETS)

    def order(path: Path) -> tuple[str, int]:
        name, size = _name_and_size(path)
        return name, sizes.index(size) if size in sizes else len(sizes)

    return sorted(FOLDER.glob(f"*{SUFFIX}"), key=order)


def read_entry(path: Path) -> Entry:
    """What one of `files` says of itself. Raises WeightsError if it is damaged."""
    return Entry(*_name_and_size(path), path, read_header(path))


def shipped() -> list[Entry]:
    """Every shipped model, in the order of `files`. Raises WeightsError if one is damaged."""
    return [read_entry(path) for path in files()]


def resolve(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a shipped model (`sr-x4-tiny`, or `sr-x4` for its smallest size) or of a path.

    Raises:
        WeightsError: neither a shipped name nor a file; says which names exist.
    """
    try:
        text = os.fsdecode(name_or_path)
    except TypeError:
        raise WeightsError(
            f"the model is {name_or_path!r}; expected a shipped model's name or a path"
        ) from None
    there = files()
    for path in there:
        if text in (path.stem, _name_and_size(path)[0]):
            return path
    path = Path(text)
    if os.path.lexists(path) and not path.is_dir():
        return path
    names = ", ".join(path.stem for path in there) or "none"
    raise WeightsError(
        f"no model {text!r}: it is neither a file nor a shipped model (shipped: {names})"
    )


def for_task(task: Task, scale: int) -> Path:
    """The smallest shipped model of a task that has this scale, neither `real` nor `sharp`.

    Raises:
        WeightsError: there is none; says for which scales there is one. Or one is damaged.
    """
    scales = []
    damage = None
    for path in files():
        try:
            entry = read_entry(path)
        except WeightsError as error:
            damage = error
            continue
        if entry.header.task is task and not (entry.real or entry.sharp):
            if entry.header.graph.scale == scale:
                return path
            scales.append(entry.header.graph.scale)
    if damage is not None:
        raise damage
    if not scales:
        raise WeightsError(f"no model that {task.does(scale)} is shipped; name a model file")
    known = ", ".join(map(str, sorted(set(scales))))
    raise WeightsError(
        f"no model {task.does(scale)} (scales with a shipped model: {known}); choose one of these "
        "or name a model file"
    )


def real(scale: int) -> Path | None:
    """The shipped model of this scale for pictures as they are, with noise and JPEG; None if none.

    `for_task` gives the one for clean pictures.
    """
    return next((path for path in files() if _name_and_size(path)[0] == f"{REAL}{scale}"), None)


def _name_and_size(path: Path) -> tuple[str, str]:
    name, _, size = path.stem.rpartition("-")
    return name, size
