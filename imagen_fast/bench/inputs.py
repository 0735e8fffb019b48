"""What contestants are given at one size and batch, and what they ought to answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagen_fast.backends import backend_class
from imagen_fast.bench.contestant import Contestant, Worker
from imagen_fast.bench.picture import pictures
from imagen_fast.bench.reference import Reference
from imagen_fast.bench.runtimes import find
from imagen_fast.bench.work import traffic
from imagen_fast.bundle import read_header
from imagen_fast.errors import BenchmarkError
from imagen_fast.graph import network
from imagen_fast.graph.cost import flops

# Input pixels up to which PyTorch in fp32 is waited for: some seconds.
REFERENCE_PIXELS = 256**2
BY_TORCH, BY_NATIVE = "PyTorch fp32", "native fp32"
Answer = tuple[NDArray[np.float32], str]  # and whose it is


class Inputs:
    """Files in a folder, made when they are asked for.

    Attributes:
        trusted: whether the native engine's fp32 may stand in for PyTorch's: where that is not
            installed, and where it was found right at another size of the same run.
    """

    def __init__(self, folder: Path, reference: Reference, threads: int) -> None:
        self._folder, self._reference, self._threads = folder, reference, threads
        self.trusted = not reference.has_torch
        self._images: dict[tuple[int, int], Path] = {}
        self._flops: dict[str, int] = {}

    def images(self, size: int, batch: int) -> Path:
        """A .npy file (batch, size, size, 3). Raises BenchmarkError."""
        key = size, batch
        if key not in self._images:
            path = self._folder / f"{size}-{batch}.npy"
            try:
                np.save(path, pictures(batch, size))
            except OSError as error:
                raise BenchmarkError(f"{path}: cannot be written ({error}); make room") from error
            self._images[key] = path
        return self._images[key]

    def file(self, c: Contestant, size: int, batch: int, seconds: float) -> str:
        """What the contestant's runtime reads. Raises BenchmarkError."""
        if find(c.runtime).reads != "onnx":
            return c.weights or c.network
        path, n = self._onnx(c, size, batch)
        return str(self._reference.onnx(c.network, (n, size, size), path, seconds))

    def has_file(self, c: Contestant, size: int, batch: int) -> bool:
        """Whether `file` takes no time."""
        return find(c.runtime).reads != "onnx" or self._onnx(c, size, batch)[0].exists()

    def unknowable(self, c: Contestant, size: int, batch: int) -> str | None:
        """Why nobody will say what the contestant ought to answer; None if someone will."""
        if "@" in c.network and not _small(size, batch):
            return "its answer is known to PyTorch alone, which takes too long at this size"
        return None

    def answer(self, c: Contestant, size: int, batch: int, seconds: float) -> Answer:
        """What the contestant's network gives in fp32, and who says so. Raises BenchmarkError."""
        images = self.images(size, batch)
        if self._reference.has_torch and (_small(size, batch) or not self.trusted):
            return self._reference.output(c.network, images, seconds), BY_TORCH
        if missing := backend_class("native").missing():
            raise BenchmarkError(f"neither PyTorch nor the native engine is here: {missing}")
        native = Contestant("native", c.network, c.name, "fp32", self._threads)
        with Worker(native) as worker:
            return worker.prepare(images, c.network, seconds).output, BY_NATIVE

    def work(self, c: Contestant, size: int, element: int) -> tuple[float, float | None]:
        """GFLOP and megabytes of a picture; the latter None for other people's networks."""
        if "@" not in c.network:
            spec = read_header(c.network).spec
            moved = traffic(spec, size, size, element) / 1e6
            return flops(network(spec), size, size) / 1e9, moved
        key = f"{c.network} {size}"
        if key not in self._flops:
            self._flops[key] = self._reference.flops(c.network, size, size, 60)
        return self._flops[key] / 1e9, None

    def forget(self, size: int, batch: int) -> None:
        """Drop the files of a place that is done with."""
        for path in self._folder.glob(f"*{size}-{batch}.*"):
            path.unlink()
        self._images.pop((size, batch), None)

    def _onnx(self, c: Contestant, size: int, batch: int) -> tuple[Path, int]:
        """The file, and how many pictures it takes: who runs several at once takes them singly."""
        n = 1 if find(c.runtime).several else batch
        return self._folder / f"{c.name}-of-{n}-{size}-{batch}.onnx", n


def _small(size: int, batch: int) -> bool:
    return size**2 * batch <= REFERENCE_PIXELS
