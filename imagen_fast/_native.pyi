"""The native engine: C++ kernels for CPUs. See imagen_fast/runtime/engine.h."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

class Engine:
    """A model, its weights packed for one instruction set. Threads take turns."""

    precision: str
    isa: str
    threads: int

    def __init__(
        self,
        spec: str,
        tensors: dict[str, NDArray[Any]],
        *,
        precision: str = "fp32",
        isa: str = "",
        threads: int = 1,
        spin_us: int = 30,
        cores: Sequence[int] = (),
    ) -> None:
        """`spec` as `ModelSpec.to_json`; tensors C-contiguous float32 or float16.

        Raises:
            WeightsError: the tensors do not fit the spec.
            BackendError: precision ("fp32", "bf16") or instruction set (a name of `available`; ""
                for IMAGEN_FAST_ISA or the best) cannot run here; the threads cannot be had.

        `spin_us`: microseconds that a thread waits awake for its next step before it sleeps.
        `cores`: to which threads other than the caller's are bound in turn; none if empty.
        """

    @staticmethod
    def load(
        path: str,
        *,
        precision: str = "fp32",
        isa: str = "",
        threads: int = 1,
        spin_us: int = 30,
        cores: Sequence[int] = (),
    ) -> Engine:
        """The same from a bundle's file, mapped into memory. Raises WeightsError as well."""

    def prepare(self, n: int, h: int, w: int, /) -> None:
        """Take the memory that tiles of this shape need. Raises BackendError."""

    def run(self, tiles: NDArray[Any], out: NDArray[Any]) -> bool:
        """tiles (N, H, W, C) → out (N, s·H, s·W, C), both uint8 or float32 in [0, 1], C-contiguous.

        False if the network's output is not finite. Signals are handled while it runs. Raises
        BackendError.
        """

    def run_levels(
        self,
        input: NDArray[Any],
        out: Sequence[NDArray[Any]],
        *,
        context: Sequence[NDArray[Any]] = (),
        latent: bool = False,
        features: bool = False,
    ) -> bool:
        """A result for each level, finest first; all arrays float32, C-contiguous.

        `input` is a picture (N, H, W, C), or a latent at the coarsest level. Results are the
        decoder's pictures, or the encoder's features; `context` stands for the latter in the
        decoder's cross-attention. False if a result is not finite. Raises BackendError.
        """

    def cancel(self) -> None:
        """End the run that is going on in another thread, if any; it raises BackendError."""

def available(precision: str) -> list[str]:
    """The instruction sets that can run here in a precision, best first."""

def preferred_precision(isa: str = "") -> str:
    """What to take where nobody asks: "bf16" where `Engine` is much faster in it, else "fp32"."""

def read_bundle(path: str) -> tuple[dict[str, str], dict[str, list[int]]]:
    """A bundle's metadata and its tensors' shapes, strictly checked. Raises WeightsError."""
