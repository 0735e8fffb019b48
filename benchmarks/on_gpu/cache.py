"""Triton's cache, filled on one machine and used on another.

A group of its files names them by whole paths, so that a cache that was moved is empty to Triton:
here the paths are written anew. What serves a launch is kept, code and metadata, a tenth of it all.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEPT = (".cubin", ".json")


@contextmanager
def carried(folder: Path | None, fill: bool) -> Iterator[None]:
    """The cache for this process and what it starts, from `folder` and, if `fill`, back there."""
    if folder is None:
        yield
        return
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        if folder.exists():
            copied(folder, here)
        os.environ["TRITON_CACHE_DIR"] = name
        try:
            yield
        finally:
            del os.environ["TRITON_CACHE_DIR"]
            if fill:
                copied(here, folder)


def copied(source: Path, target: Path) -> None:
    """What is kept of a cache, where it serves."""
    for path in source.glob("*/*"):
        if path.suffix not in KEPT:
            continue
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.name.startswith("__grp__"):
            names = json.loads(path.read_text())["child_paths"]
            kept = {x: str(place.parent.resolve() / x) for x in names if x.endswith(KEPT)}
            place.write_text(json.dumps({"child_paths": kept}))
        else:
            shutil.copyfile(path, place)
