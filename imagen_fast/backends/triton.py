"""The Triton kernels as a backend: weights packed at load, launches replayed as a CUDA graph.

Not yet run on a GPU. Without one it runs in Triton's interpreter (TRITON_INTERPRET=1), which is
for tests: thousands of times slower than a GPU, one program after another.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from imagen_fast.backends.base import NonFiniteError, Tiles
from imagen_fast.backends.by_architecture import ByArchitecture
from imagen_fast.backends.eager import resolve_device, without_torch
from imagen_fast.backends.levels import Levels
from imagen_fast.errors import BackendError
from imagen_fast.extras import install

if TYPE_CHECKING:
    from torch import Tensor

OLDEST_TRITON = (3, 6)
OLDEST_GPU = 80  # compute capability 8.0: bf16, asynchronous copies
# Input pixels of one replay: enough work for a large GPU's processors, and as little as that, so
# that a batch's copies overlap with its computation. Chosen on arithmetic, not measured.
CHUNK_PIXELS = 512**2
# Input pixels of one run: beyond, a tile is no faster per pixel, and its pinned output large.
MOST_PIXELS = 2048**2


class Triton(ByArchitecture):
    """The fused kernels on an NVIDIA GPU of compute capability 8.0 or later.

    `precision` "auto" is bf16; fp16 and fp32 are there as well. In Triton's interpreter the device
    is "cpu" and the precision fp32 (auto) or fp16.

    Each new shape of tiles takes a first run, which compiles kernels, and a recording; the last
    `slots.MOST_SHAPES` shapes stay ready. Where a file in kernels/triton/configs/ is for the GPU
    and Triton's version, kernels take their block sizes from it.
    """

    name: ClassVar[str] = "triton"
    kinds: ClassVar[tuple[str, ...]] = ("cuda",)

    def _start(self, device: str, precision: str, threads: int | None, isa: str) -> None:
        import torch

        from imagen_fast.backends.slots import Slots

        self.device = _resolved(device)
        self.precision = _precision(precision, self.device)
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        self._dtype = dtypes[self.precision]
        self._device = torch.device(self.device)
        with self._on_device():
            self._program = self._packed()
            self._slots: Slots | None = Slots(self._program, self._device)

    @classmethod
    def check(
        cls,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        isa: str = "",
    ) -> None:
        """See `Backend.check`. The cpu serves in the interpreter, so that is looked at later."""
        super().check("auto" if device == "cpu" else device, precision, threads, isa)

    @classmethod
    def missing(cls) -> str | None:
        """PyTorch, Triton, a C compiler, or a GPU that they can use."""
        if lacking := without_torch("triton"):
            return lacking
        if find_spec("triton") is None:
            return f"Triton is not installed; {install('triton')} (Linux, with PyTorch for CUDA)"
        found = importlib.metadata.version("triton")
        if tuple(int(x) for x in found.split(".")[:2]) < OLDEST_TRITON:
            return f"Triton is {found}; expected 3.6 or later; {install('triton')}"
        if _interpreted():
            return None
        import torch

        if not torch.cuda.is_available():
            return (
                "PyTorch finds no CUDA device; this backend needs an NVIDIA GPU (compute "
                "capability 8.0 or later), its driver (see nvidia-smi) and PyTorch built for CUDA"
            )
        if not os.environ.get("CC") and not any(map(shutil.which, ("gcc", "clang"))):
            return "Triton builds its launchers with a C compiler; install gcc or clang, or set CC"
        return None

    @classmethod
    def versions(cls) -> dict[str, str]:
        """PyTorch's and Triton's."""
        return {name: importlib.metadata.version(name) for name in ("torch", "triton")}

    @property
    def capacity(self) -> int:
        """As many pixels as half of the free memory has room for, within `MOST_PIXELS`."""
        import torch

        if self.device == "cpu":
            return CHUNK_PIXELS
        side = 1024
        shape = (1, side, side, self.spec.image_channels)
        # Pictures go in and come out in float32 at most, in two slots.
        pictures = 2 * 4 * self.spec.image_channels * (1 + self.spec.scale**2)
        per_pixel = self._program.plan(shape).size / side**2 + pictures
        free, _ = torch.cuda.mem_get_info(self._device)
        cached = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(
            self._device
        )
        held = self._open().memory  # which the next run uses again
        return min(int((free + cached + held) / 2 / per_pixel), MOST_PIXELS)

    def prepare(self, shape: tuple[int, int, int]) -> None:
        """Compile and record what tiles of bytes of this shape take."""
        import torch

        from imagen_fast.backends.slots import AT_ONCE, chunk_of

        n, h, w = shape
        chunk = chunk_of(n, h * w, CHUNK_PIXELS)
        with self._running(shape):
            self._open().get(
                (chunk, h, w, self.spec.image_channels), torch.uint8, min(n // chunk, AT_ONCE)
            )

    def compute_picture(self, tiles: Tiles) -> Tiles:
        """See `Backend.run`."""
        n, h, w, _ = tiles.shape
        return self._through(tiles, n, h * w)

    def compute_rows(self, x: Tiles) -> Tiles:
        """See `Backend.rows`."""
        n, rows, _ = x.shape
        return self._through(x, n, rows)

    def compute_levels(self, wanted: Levels) -> list[Tiles]:
        """See `Backend.progressive`."""
        import torch

        with self._running(wanted.given.shape[:3]):
            network: Any = self._program
            given = self._moved(wanted.given)
            maps = [self._moved(x).to(self._dtype) for x in wanted.context or ()] or None
            if wanted.features:
                outputs = network.features(given)
                finite = all(bool(torch.isfinite(x).all()) for x in outputs)
            else:
                method = network.generate if wanted.latent else network.progressive
                outputs, flag = method(given, maps)
                finite = not flag.item()
            if not finite:
                raise NonFiniteError(f"the output is not finite in {self.precision}")
            return [x.float().cpu().numpy() for x in outputs]

    def close(self) -> None:
        """Drop weights, recordings and memory."""
        self._slots = self._program = None

    def _packed(self) -> Any:
        """The network on the kernels."""
        from imagen_fast.kernels.triton.listing import Listing
        from imagen_fast.kernels.triton.network import Network
        from imagen_fast.kernels.triton.packed import pack_generator, pack_listing_generator
        from imagen_fast.models.build import build

        network: Any = build(self.bundle)
        try:
            if self.spec.architecture == "listing":
                return Listing(pack_listing_generator(network, self._dtype, self._device))
            return Network(pack_generator(network, self._dtype, self._device))
        except ValueError as error:  # a head wider than the kernels take
            raise BackendError(
                f"backend 'triton' cannot run this model: {error}; choose backend eager"
            ) from error

    def _through(self, tiles: Tiles, count: int, pixels: int) -> Tiles:
        """So many tiles of so many pixels, computed in chunks."""
        from imagen_fast.backends.slots import chunk_of

        with self._running(tiles.shape[:-1]):
            output: Tiles
            output, finite = self._open().run(tiles, chunk_of(count, pixels, CHUNK_PIXELS))
        if not finite:
            raise NonFiniteError(f"the output is not finite in {self.precision}")
        return output

    def _moved(self, array: Tiles) -> Tensor:
        import torch

        # PyTorch takes an array over only if it may write to it.
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self._device)

    def _open(self) -> Any:
        if self._slots is None:
            raise BackendError("this backend is closed")
        return self._slots

    def _on_device(self) -> Any:
        """Triton launches on the current device, whichever its arguments are on."""
        import torch

        return torch.cuda.device(self._device) if self.device != "cpu" else nullcontext()

    @contextmanager
    def _running(self, shape: Sequence[int]) -> Iterator[None]:
        """Without gradients, on the device; what goes wrong there is said with a remedy."""
        import torch
        from triton.runtime.errors import OutOfResources

        self._open()
        with torch.inference_mode(), self._on_device():
            try:
                yield
            except OutOfResources as error:
                raise BackendError(
                    f"a kernel asks for more than this GPU has ({error}); choose backend eager"
                ) from error
            except RuntimeError as error:
                if "out of memory" not in str(error) and "allocate memory" not in str(error):
                    raise
                raise BackendError(
                    f"out of memory on {self.device} for an input of shape {tuple(shape)}; "
                    "choose a smaller tile"
                ) from error


def _interpreted() -> bool:
    from triton import knobs

    return bool(knobs.runtime.interpret)


def _resolved(device: str) -> str:
    """ "cuda:N", or "cpu" in the interpreter."""
    import torch

    interpreted = _interpreted()
    found = resolve_device(device)
    if found == "cpu":
        if interpreted:
            return found
        raise BackendError(
            f"backend 'triton' runs on a GPU, not on {device!r}; choose backend native for the "
            "cpu, or set TRITON_INTERPRET=1 to test the kernels there"
        )
    if interpreted:
        raise BackendError(
            f"Triton's interpreter is on (TRITON_INTERPRET=1), which runs on the cpu, not on "
            f"{found}; unset it"
        )
    major, minor = torch.cuda.get_device_capability(found)
    if 10 * major + minor < OLDEST_GPU:
        raise BackendError(
            f"{torch.cuda.get_device_name(found)} has compute capability {major}.{minor}; backend "
            "'triton' expects 8.0 or later; choose backend eager"
        )
    return found


def _precision(wanted: str, device: str) -> str:
    if device != "cpu":
        return "bf16" if wanted == "auto" else wanted
    if wanted == "bf16":
        raise BackendError("Triton's interpreter has no bf16; choose fp32 or fp16")
    return "fp32" if wanted == "auto" else wanted
