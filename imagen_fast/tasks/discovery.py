"""Which pictures a batch reads: what files, folders and glob patterns name, each once.

Nothing is opened. What looks like a picture and is not taken is named with the reason.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from imagen_fast.task import UPSCALE

# What is taken from folders and patterns; a file that is named itself is always tried.
PICTURE_EXTENSIONS = frozenset([
    ".apng", ".avif", ".bmp", ".gif", ".icb", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe",
    ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".png", ".tga", ".tif", ".tiff", ".vda", ".vst",
    ".webp",
])  # fmt: skip
# Photographs and drawings that cannot be read. They are named, so that nobody takes them for done.
OTHER_EXTENSIONS = frozenset([
    ".3fr", ".arw", ".avifs", ".cr2", ".cr3", ".crw", ".dcr", ".dds", ".dng", ".eps", ".erf",
    ".exr", ".fits", ".hdr", ".heic", ".heics", ".heif", ".hif", ".icns", ".ico", ".iiq", ".jls",
    ".jpm", ".jxl", ".jxr", ".kdc", ".kra", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pam",
    ".pbm", ".pcx", ".pef", ".pfm", ".pgm", ".pnm", ".ppm", ".psb", ".psd", ".qoi", ".raf", ".raw",
    ".rw2", ".rwl", ".sgi", ".sr2", ".srf", ".srw", ".svg", ".wdp", ".x3f", ".xcf",
])  # fmt: skip

Why = Literal["an earlier result", "of a kind that cannot be read", "a linked folder"]


@dataclass(frozen=True)
class Found:
    """A picture to read, and the folder under the output folder that its result belongs in."""

    source: Path
    subfolder: Path = Path()
    problem: str | None = None


@dataclass(frozen=True)
class Discovery:
    """What `discover` found, and what it left out."""

    pictures: list[Found] = field(default_factory=list)
    left_out: dict[Path, Why] = field(default_factory=dict)


def discover(
    inputs: Sequence[str],
    suffixes: Sequence[str] = UPSCALE.suffixes,
    *,
    recursive: bool = False,
    output: Path | None = None,
) -> Discovery:
    """The pictures that `inputs` (files, folders, glob patterns) name, each once, in order.

    A name that exists is taken literally, whatever characters it has; only then is it a
    pattern. Files named themselves are always tried. From folders and patterns only files
    with a picture's extension are taken, no hidden ones, and none behind a link to a folder that
    `recursive` or `**` would have to follow.

    Results of earlier runs are left out, however they are named:
    - what lies in the `output` folder, if that lies below the folder that is searched;
    - `photo_x4.png`, `_x4` being one of `suffixes`, if a picture `photo` is named too, wherever it
      lies, and, from folders and patterns, beside a picture of that name;
    - the `output` itself, if it is a file and there is another picture.

    An input that names nothing, and a folder that cannot be read, are found with a problem.
    """
    found: dict[str, Found] = {}
    itself: set[str] = set()  # keys of the files that are named themselves
    left_out: dict[Path, Why] = {}
    for name in inputs:
        for item in _Search(recursive, output, left_out).expand(name):
            key = os.path.abspath(item.source)  # noqa: PTH100 (keeps links)
            if item.source == Path(name):
                itself.add(key)
            found.setdefault(key, item)
    for item in found.values():
        left_out.pop(item.source, None)
    results = _Results([item for item in found.values() if not item.problem], output, suffixes)
    pictures = []
    for key, item in found.items():
        if not item.problem and results.has(item.source, beside=key not in itself):
            left_out[item.source] = "an earlier result"
        else:
            pictures.append(item)
    return Discovery(pictures, left_out)


def in_folder(folder: Path) -> Discovery:
    """The pictures of one folder but enlarged ones. Raises OSError if it cannot be read."""
    os.scandir(folder).close()
    found = discover([str(folder)])
    return Discovery([item for item in found.pictures if not item.problem], found.left_out)


@dataclass
class _Search:
    """Looks into folders and patterns; adds to `left_out`."""

    recursive: bool
    output: Path | None
    left_out: dict[Path, Why]

    def expand(self, name: str) -> list[Found]:
        path = Path(name)
        if not name:  # which Path takes for the current folder; more likely a variable is not set
            return [Found(path, problem="the name is empty; write . for the current folder")]
        try:
            if path.is_dir():
                hint = "" if self.recursive else " (--recursive looks into its folders)"
                nothing = f"no picture in this folder{hint}"
                found = list(self._in_folder(path))
            elif os.path.lexists(path):
                return [Found(path)]
            elif not glob.has_magic(name):
                return [Found(path, problem="there is no such file")]
            else:
                nothing = "no picture matches this pattern"
                found = list(self._matching(name))
        except OSError as error:  # a name that is too long, a pattern's folder that is locked
            return [Found(path, problem=error.strerror or str(error))]
        return found or [Found(path, problem=nothing)]

    def _in_folder(self, top: Path) -> Iterator[Found]:
        errors: list[OSError] = []
        for folder, names, files in os.walk(top, onerror=errors.append):
            here = Path(folder)
            paths = [here / name for name in sorted(files) if name[0] != "."]
            yield from (Found(path, here.relative_to(top)) for path in paths if self._takes(path))
            if not self.recursive:
                break
            names[:] = sorted(
                name for name in names if name[0] != "." and self._enters(here / name)
            )
        yield from map(_locked, errors)

    def _enters(self, folder: Path, *, links: bool = False) -> bool:
        if _same(folder, self.output):
            return False
        if not links and os.path.islink(folder):  # noqa: PTH114
            self.left_out[folder] = "a linked folder"
            return False
        return True

    def _matching(self, pattern: str) -> Iterator[Found]:
        base = pattern  # the longest path in front of it without a pattern
        while glob.has_magic(base):
            base = os.path.dirname(base)  # noqa: PTH120 (which has no empty path)
        with os.scandir(base or "."):
            pass  # raises if that cannot be read, where glob finds nothing
        entered = {Path(base): True}
        recursive = "**" in Path(pattern).parts

        def enters(folder: Path) -> bool:
            if folder not in entered:
                entered[folder] = enters(folder.parent) and self._enters(
                    folder, links=not recursive
                )
            return entered[folder]

        for match in map(Path, sorted(glob.glob(pattern, recursive=True))):  # noqa: PTH207
            if enters(match.parent) and not _is_folder(match) and self._takes(match):
                yield Found(match)
        yield from map(_locked, _unreadable(pattern, enters))

    def _takes(self, path: Path) -> bool:
        ext = path.suffix.lower()
        if ext in OTHER_EXTENSIONS:
            self.left_out[path] = "of a kind that cannot be read"
        return ext in PICTURE_EXTENSIONS


class _Results:
    """Says which files are results of the pictures of one call, by their names (see `jobs_for`)."""

    def __init__(
        self, found: Sequence[Found], output: Path | None, suffixes: Sequence[str]
    ) -> None:
        self._suffixes = [suffix for suffix in suffixes if suffix]
        self._output = output if len(found) > 1 else None
        sources = [item.source for item in found]
        self._stems = {path.stem for path in sources}
        self._stems |= {f"{path.stem}_{path.suffix[1:]}" for path in sources}

    def has(self, path: Path, *, beside: bool) -> bool:
        """Whether `path` is a result of one of them or, if `beside`, of a picture next to it."""
        if _same(path, self._output):
            return True
        stems = [path.stem.removesuffix(suffix) for suffix in self._suffixes]
        return any(
            stem != path.stem
            and (stem in self._stems or (beside and _has_picture(path.parent, stem)))
            for stem in stems
        )


def _has_picture(folder: Path, stem: str) -> bool:
    """Whether a picture lies there whose result has this stem in front of its suffix."""
    base, _, ext = stem.rpartition("_")
    names = [f"{base}.{ext}"] if f".{ext.lower()}" in PICTURE_EXTENSIONS else []
    for ext in PICTURE_EXTENSIONS:
        names += [f"{stem}{ext}", f"{stem}{ext.upper()}"]
    return any(os.path.lexists(folder / name) for name in names)


def _unreadable(pattern: str, enters: Callable[[Path], bool]) -> Iterator[OSError]:
    """What bars the way of a pattern through folders; glob passes over it in silence."""
    parent, child = os.path.split(pattern)
    while glob.has_magic(parent):
        for folder in map(Path, glob.glob(parent, recursive=True)):  # noqa: PTH207
            if _is_folder(folder) and enters(folder):
                try:
                    if glob.has_magic(child):
                        os.scandir(folder).close()
                    else:
                        (folder / child).stat()
                except FileNotFoundError:
                    continue
                except OSError as error:
                    yield error
        parent, child = os.path.split(parent)


def _locked(error: OSError) -> Found:
    reason = f"the folder cannot be read: {error.strerror or error}"
    return Found(Path(os.fsdecode(error.filename)), problem=reason)


def _is_folder(path: Path) -> bool:
    """False where it cannot be told, which pathlib raises for."""
    return os.path.isdir(path)  # noqa: PTH112


def _same(a: Path, b: Path | None) -> bool:
    try:
        return b is not None and a.samefile(b)
    except OSError:
        return False
