"""Triton's cache as one file, filled on one machine and used on another.

A group of its files names them by whole paths, so that a cache that was moved is empty to Triton:
here the paths are written anew. What serves a launch is kept: code and metadata.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEPT = (".cubin", ".json")


@contextmanager
def carried(file: Path | None, fill: bool) -> Iterator[None]:
    """The cache of this process and those that it starts, from a ZIP file and, if `fill`, to it."""
    if file is None:
        yield
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if file.exists():
            unpack(file, folder)
        os.environ["TRITON_CACHE_DIR"] = name
        try:
            yield
        finally:
            del os.environ["TRITON_CACHE_DIR"]
            if fill:
                pack(folder, file)


def pack(folder: Path, file: Path) -> None:
    """Write the file, as a whole or not at all."""
    temporary = file.with_name(f"{file.name}.part")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.glob("*/*")):
            if path.suffix in KEPT:
                archive.write(path, path.relative_to(folder))
    temporary.replace(file)


def unpack(file: Path, folder: Path) -> None:
    """Where the file's kernels then serve."""
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    for path in folder.glob("*/__grp__*"):
        names = json.loads(path.read_text())["child_paths"]
        kept = {name: str(path.with_name(name)) for name in names if name.endswith(KEPT)}
        path.write_text(json.dumps({"child_paths": kept}))
