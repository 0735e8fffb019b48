"""The Triton kernels as a backend: weights packed at load, launches replayed as a CUDA graph.

Not yet run on a GPU. Without one it runs in Triton's interpreter (TRITON_INTERPRET=1), which is
for tests: thousands of times slower than a GPU, one program after another.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from imagen_fast.backends import memory
from imagen_fast.backends.base import Backend, NonFiniteError, Tiles
from imagen_fast.backends.eager import Eager, resolve_device, without_torch
from imagen_fast.errors import BackendError
from imagen_fast.extras import install

if TYPE_CHECKING:
    import torch

    from imagen_fast.backends.slots import Key
    from imagen_fast.kernels.triton.program import Program

OLDEST_TRITON = (3, 6)
OLDEST_GPU = 80  # compute capability 8.0: bf16, asynchronous copies
# Input pixels of one replay: enough work for a large GPU's processors, and as little as that, so
# that a batch's copies overlap with its computation. Chosen on arithmetic, not measured.
CHUNK_PIXELS = 512**2
# Input pixels of one run: beyond, a tile is no faster per pixel, and its pinned output large.
MOST_PIXELS = 2048**2
# Off CUDA, what kernels are chosen for.
PRETENDED_GPU, PRETENDED_PROCESSORS = 90, 1


class Triton(Backend):
    """The fused kernels on an NVIDIA GPU of compute capability 8.0 or later.

    `precision` "auto" is bf16; fp16 is there as well, and what is not finite in them is computed
    again by PyTorch in fp32. In Triton's interpreter the device is "cpu" and the precision fp16.

    Each new shape of tiles takes a first run, which compiles kernels, and a recording; the last
    `slots.MOST_SHAPES` shapes stay ready.
    """

    name: ClassVar[str] = "triton"
    kinds: ClassVar[tuple[str, ...]] = ("cuda",)
    precisions: ClassVar[tuple[str, ...]] = ("bf16", "fp16")

    def _start(self, device: str, precision: str, threads: int | None, isa: str) -> None:
        import torch

        from imagen_fast.backends.slots import Slots
        from imagen_fast.kernels.triton.program import Weights

        self.device = _resolved(device)
        self.precision = _precision(precision, self.device)
        self._device = torch.device(self.device)
        self.bundle.check_tensors()
        self._weights = Weights(self.bundle.tensors, self.precision, self._device)
        with self._on_device():
            self._slots: Slots | None = Slots(self._plan, self._weights.packed, self._device)
            self._plan(self._main((1, 16, 16)))  # packs weights; refuses what has no kernel

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

        from imagen_fast.backends.slots import work_bytes

        if self.device == "cpu":
            return CHUNK_PIXELS
        side = 1024
        program = self._plan(self._main((1, side, side)))
        # Inputs and outputs in float32 at most, in two slots.
        own = sum(program.buffers[i].elements for i in range(program.work.start))
        per_pixel = (work_bytes(program) + 2 * 4 * own) / side**2
        free, _ = torch.cuda.mem_get_info(self._device)
        cached = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(
            self._device
        )
        held = self._open().memory  # which the next run uses again
        return min(int((free + cached + held) / 2 / per_pixel), MOST_PIXELS)

    def prepare(self, shape: tuple[int, int, int]) -> None:
        """Compile and record what tiles of bytes of this shape take."""
        from imagen_fast.backends.slots import AT_ONCE, chunk_of

        first, x = next(iter(self.graph.inputs.items()))
        tiles = np.empty((*shape, x.channels), np.uint8)
        chunk = chunk_of({first: tiles}, CHUNK_PIXELS)
        with self._running(shape):
            self._open().get(self._main((chunk, *shape[1:])), min(shape[0] // chunk, AT_ONCE))

    def compute(self, given: Mapping[str, Tiles], wanted: Sequence[str]) -> dict[str, Tiles]:
        """See `Backend.run`. Raises OperationError: there is no kernel for an operation."""
        if len(counts := {len(x) for x in given.values()}) > 1:
            raise BackendError(f"inputs of {sorted(counts)} images; expected as many of each")
        with self._running(next(iter(given.values())).shape[:3]):
            outputs: dict[str, Tiles]
            outputs, finite = self._open().run(given, wanted, CHUNK_PIXELS)
        if not finite:
            raise NonFiniteError(f"the output is not finite in {self.precision}")
        return outputs

    def in_fp32(self) -> Backend:
        """See `Backend.in_fp32`: by PyTorch."""
        return Eager(self.bundle, device=self.device, precision="fp32")

    def _main(self, shape: tuple[int, ...]) -> Key:
        """The first output of the inputs that it needs, the first one of this (N, H, W)."""
        n, height, width = shape
        shapes = self.shapes((n, height, width))
        samples = "u8" if any(self.graph.inputs[name].picture for name in shapes) else "fp32"
        return tuple(shapes.items()), samples, (next(iter(self.graph.outputs)),)

    def _plan(self, key: Key) -> Program:
        """The launches for a key's shapes."""
        from imagen_fast.kernels.triton.program import Target, program_of

        shapes, samples, wanted = key
        graph = self.needed([name for name, _ in shapes], wanted)
        sizes: Any = dict(shapes)
        return program_of(graph, self._weights, sizes, Target(*processor(self._device), samples))

    def close(self) -> None:
        """Drop weights, recordings and memory."""
        self._slots = None
        self._weights.packed.clear()

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
                with memory.enough(self.device, shape):
                    yield
            except OutOfResources as error:
                raise BackendError(
                    f"a kernel asks for more than this GPU has ({error}); choose backend eager"
                ) from error


def processor(device: torch.device) -> tuple[int, int]:
    """A GPU's architecture, as 90 for sm_90, and its multiprocessors; off CUDA pretended ones."""
    import torch

    if device.type != "cuda":
        return PRETENDED_GPU, PRETENDED_PROCESSORS
    facts = torch.cuda.get_device_properties(device)
    return 10 * facts.major + facts.minor, facts.multi_processor_count


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
        raise BackendError("Triton's interpreter has no bf16; choose fp16")
    return "fp16"
