"""Which pictures a batch reads and which files it writes, decided before any work.

`discover` turns what the user named into pictures, `plan` gives each its output. Nothing is
opened: a job is only a pair of paths, and whatever is wrong with it by name alone is its
`problem` from the start.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

# What is taken from folders and patterns; a file that is named itself is always tried.
PICTURE_EXTENSIONS = frozenset(
    [".apng", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"]
)
# Outputs of earlier runs, as the default names mark them.
DEFAULT_SUFFIXES = ("_x2", "_x3", "_x4")

Existing = Literal["fail", "skip", "overwrite"]


@dataclass(frozen=True)
class Found:
    """A picture to read, and the folder under the output folder that its result belongs in."""

    source: Path
    subfolder: Path = Path()
    problem: str | None = None


@dataclass(frozen=True)
class Job:
    """One picture and its output: to do, to skip, or with a problem that makes it fail."""

    source: Path
    target: Path
    skip: bool = False
    problem: str | None = None


@dataclass(frozen=True)
class Discovery:
    """What `discover` found, and how many earlier results it left out."""

    pictures: list[Found]
    left_out: int


def discover(
    inputs: Sequence[str],
    *,
    recursive: bool = False,
    suffix: str = "",
    output: Path | None = None,
) -> Discovery:
    """The pictures that `inputs` (files, folders, glob patterns) name, each once, in order.

    A name that exists is taken literally, whatever characters it has; only then is it a
    pattern. Files named themselves are always tried. From folders and patterns only files
    with a picture's extension are taken, no hidden ones, and no results of earlier runs:
    neither `photo_x4.png` (or `suffix` in place of `_x4`) beside a `photo` with a picture's
    extension, nor, in a recursive walk, what lies in the `output` folder.

    An input that names nothing is found with a problem.
    """
    suffixes = tuple(s for s in {*DEFAULT_SUFFIXES, suffix} if s)
    found: dict[str, Found] = {}
    left_out = 0
    for name in inputs:
        for item in _expand(name, recursive, output):
            if item.source != Path(name) and _is_result(item.source, suffixes):
                left_out += 1
            else:
                found.setdefault(os.path.abspath(item.source), item)  # noqa: PTH100 (keeps links)
    return Discovery(list(found.values()), left_out)


def _expand(name: str, recursive: bool, output: Path | None) -> list[Found]:
    path = Path(name)
    if not name:  # which Path takes for the current folder; more likely a variable is not set
        return [Found(path, problem="the name is empty; write . for the current folder")]
    try:
        if path.is_dir():
            hint = "" if recursive else " (--recursive looks into its folders)"
            nothing = f"no picture to enlarge in this folder{hint}"
            folders = _folders(path, output) if recursive else [path]
            found = [
                Found(file, at.relative_to(path)) for at in folders for file in pictures_in(at)
            ]
        elif os.path.lexists(path):
            return [Found(path)]
        elif not glob.has_magic(name):
            return [Found(path, problem="there is no such file")]
        else:
            nothing = "no picture matches this pattern"
            matches = (Path(match) for match in sorted(glob.glob(name, recursive=True)))  # noqa: PTH207
            found = [Found(match) for match in matches if _is_picture(match)]
    except OSError as error:  # a folder that may not be read, a name that is too long
        return [Found(path, problem=error.strerror or str(error))]
    return found or [Found(path, problem=nothing)]


def _folders(top: Path, output: Path | None) -> Iterator[Path]:
    """`top` and the folders below it, sorted; not hidden ones, not `output`, no links."""
    for folder, names, _ in os.walk(top):
        here = Path(folder)
        yield here
        names[:] = sorted(n for n in names if n[0] != "." and not _same(here / n, output))


def pictures_in(folder: Path) -> list[Path]:
    """The files in a folder that have a picture's extension and are not hidden, by name.

    Raises OSError if the folder cannot be read.
    """
    with os.scandir(folder) as entries:
        paths = sorted(folder / entry.name for entry in entries if entry.name[0] != ".")
    return [path for path in paths if _is_picture(path)]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_EXTENSIONS and not path.is_dir()


def _is_result(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether `path` has the name that a picture beside it would get (see `plan`)."""
    for suffix in suffixes:
        stem = path.stem.removesuffix(suffix)
        if stem == path.stem:
            continue
        base, _, ext = stem.rpartition("_")
        names = [f"{base}.{ext}"] if f".{ext.lower()}" in PICTURE_EXTENSIONS else []
        for ext in PICTURE_EXTENSIONS:
            names += [f"{stem}{ext}", f"{stem}{ext.upper()}"]
        if any(path.with_name(name).exists() for name in names):
            return True
    return False


def plan(
    found: Sequence[Found],
    output: Path | None,
    *,
    suffix: str,
    ext: str,
    existing: Existing = "fail",
    output_is_file: bool = False,
) -> list[Job]:
    """A job for each found picture, in order: `{stem}{suffix}{ext}` in `output`.

    Without `output` the result lies beside its picture; `output_is_file` makes `output` the
    result of the only picture. Pictures that differ in extension alone keep it in the name
    (`a_jpg_x4.png`); of others with one output, the first gets it and the rest fail.
    """
    if output_is_file and output is not None:
        jobs = [Job(item.source, output, problem=item.problem) for item in found]
    else:
        jobs = _named(found, output, suffix, ext)
    inputs = {
        _identity(job.source): job.source for job in jobs if not job.problem and job.source.exists()
    }
    taken: dict[Path, Path] = {}
    return [job if job.problem else _checked(job, inputs, taken, existing) for job in jobs]


def _named(found: Sequence[Found], output: Path | None, suffix: str, ext: str) -> list[Job]:
    def target(item: Found, stem: str) -> Path:
        folder = item.source.parent if output is None else output / item.subfolder
        return folder / f"{stem}{suffix}{ext}"

    jobs = [
        Job(item.source, target(item, item.source.stem), problem=item.problem) for item in found
    ]
    count = Counter(job.target for job in jobs)
    for index, item in enumerate(found):
        if count[jobs[index].target] > 1 and item.source.suffix:
            stem = f"{item.source.stem}_{item.source.suffix[1:]}"
            jobs[index] = replace(jobs[index], target=target(item, stem))
    return jobs


def _checked(
    job: Job,
    inputs: dict[tuple[int, int], Path],
    taken: dict[Path, Path],
    existing: Existing,
) -> Job:
    first = taken.setdefault(job.target, job.source)
    if first != job.source:
        return replace(
            job,
            problem=f"{job.target} is already the output of {first}; use another -o or --suffix, "
            "or name their common folder with --recursive",
        )
    if not os.path.lexists(job.target):
        return job
    if job.target.is_dir():
        return replace(job, problem=f"the output {job.target} is a folder")
    if job.target.exists() and (victim := inputs.get(_identity(job.target))):
        whose = "its input" if victim == job.source else f"the input {victim}"
        problem = f"the output {job.target} is {whose}; use another -o, --suffix or --ext"
        return replace(job, problem=problem)
    if existing == "overwrite":
        return job
    if existing == "skip":
        # Results appear under their name only when they are whole; an empty file is not one.
        return replace(job, skip=job.target.exists() and job.target.stat().st_size > 0)
    return replace(job, problem=f"{job.target} exists; use --overwrite or --resume")


def _identity(path: Path) -> tuple[int, int]:
    """The file behind every link, symbolic or hard."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _same(a: Path, b: Path | None) -> bool:
    return b is not None and b.exists() and a.exists() and a.samefile(b)
