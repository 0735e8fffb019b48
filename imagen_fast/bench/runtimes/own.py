"""This project's backends."""

from __future__ import annotations

from pathlib import Path

from imagen_fast.backends import backend_class
from imagen_fast.bench.runtimes import Contestant, Images, Run
from imagen_fast.bundle import load_bundle


def ready(c: Contestant, images: Images, file: str) -> tuple[Run, str]:
    """The backend, with the memory for the images taken."""
    backend = backend_class(c.runtime)(
        load_bundle(Path(file)), device=c.device, precision=c.precision, threads=c.threads
    )
    if c.runtime == "native":  # of the others `prepare` is the first run
        backend.prepare(images.shape[:3])
    return lambda: backend.run(images), backend.isa or ""
