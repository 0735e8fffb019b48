"""The native engine: C++ kernels for CPUs. See imagen_fast/runtime/engine.h."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from numpy.typing import NDArray

class Engine:
    """A model, its weights packed for one instruction set. Threads take turns."""

    precision: str
    isa: str
    threads: int

    def __init__(
        self,
        graph: str,
        tensors: dict[str, NDArray[Any]],
        *,
        precision: str = "fp32",
        isa: str = "",
        threads: int = 1,
        spin_us: int = 30,
        cores: Sequence[int] = (),
    ) -> None:
        """`graph` as `Graph.to_json`; tensors C-contiguous float32 or float16.

        Raises:
            WeightsError: no such graph, or the tensors do not fit it.
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

    def prepare(
        self, sizes: Mapping[str, tuple[int, int, int]], outputs: Sequence[str], bytes: bool = False
    ) -> None:
        """Take the memory that a run needs: (N, H, W) by input. Raises BackendError."""

    def memory(self, sizes: Mapping[str, tuple[int, int, int]], outputs: Sequence[str]) -> int:
        """Bytes that `prepare` takes. Raises BackendError."""

    def capacity(self, budget: int = 0) -> int:
        """Pixels that a picture may have for its feature maps to fit `budget` bytes, about.

        0 stands for a quarter of the free memory, 512 MiB at most.
        """

    def run(
        self, inputs: dict[str, NDArray[Any]], outputs: Sequence[str]
    ) -> dict[str, NDArray[Any]] | None:
        """Arrays (N, H, W, C) by the names of the graph's inputs and outputs, C-contiguous.

        Pictures are uint8, all of them, or float32 in [0, 1]; anything else is float32. None if an
        output is not finite. Signals are handled while it runs. Raises BackendError.
        """

    def cancel(self) -> None:
        """End the run that is going on in another thread, if any; it raises BackendError."""

class Training:
    """Kernels for training, of one instruction set. Threads take turns.

    Pictures are C-contiguous (N, H, W, C), C a multiple of 32: bfloat16 seen as int16 in "bf16",
    float32 in "fp32". Weights and gradients are float32 as PyTorch lays them out. Raises
    BackendError where they do not fit.
    """

    isa: str
    precision: Literal["bf16", "fp32"]
    threads: int

    def __init__(self, *, isa: str = "", threads: int = 1) -> None:
        """`isa`: a name of `trainable`; "" for IMAGEN_FAST_ISA or the best.

        Raises BackendError: it has no kernels for training, or cannot run here.
        """

    def window_attention(
        self,
        x: NDArray[Any],
        other: NDArray[Any],
        weights: Sequence[NDArray[Any]],
        head_dim: int,
        window: int,
        shift: int,
        out: NDArray[Any],
    ) -> None:
        """x + attention(x, other) → out, within windows; other = x for self-attention.

        Weights: q (C, C), kv (2C, C), proj (C, C), temperature (heads), position (window², C).
        """

    def window_attention_backward(
        self,
        x: NDArray[Any],
        other: NDArray[Any],
        weights: Sequence[NDArray[Any]],
        head_dim: int,
        window: int,
        shift: int,
        gradient: NDArray[Any],
        x_gradient: NDArray[Any],
        other_gradient: NDArray[Any],
        gradients: Sequence[NDArray[Any]],
    ) -> None:
        """From the gradient of `out` those of x and other, which are written, and of the weights.

        The latter are added to `gradients`. Where other is x, all is in x_gradient, and
        other_gradient is not written.
        """

    def conv_block(
        self,
        x: NDArray[Any],
        weights: Sequence[NDArray[Any]],
        out: NDArray[Any],
        slopes: NDArray[Any],
    ) -> None:
        """x + SiLU(conv3x3(x) + b) → out, and the slopes of its activation, for the backward pass.

        Weights: weight (C, 3, 3, C), bias (C). C is a multiple of 16.
        """

    def conv_block_backward(
        self,
        x: NDArray[Any],
        slopes: NDArray[Any],
        weights: Sequence[NDArray[Any]],
        gradient: NDArray[Any],
        x_gradient: NDArray[Any],
        gradients: Sequence[NDArray[Any]],
    ) -> None:
        """From the gradient of `out` that of x, which is written, and of the weights, added."""

    def head(
        self,
        x: NDArray[Any],
        base: NDArray[Any] | None,
        weights: Sequence[NDArray[Any]],
        scale: int,
        picture: NDArray[Any],
    ) -> None:
        """repeat(base) + pixel_shuffle(conv3x3(x) + b) → picture.

        Base (N, H, W, c) and picture (N, scale · H, scale · W, c) are float32, c at most 4.
        Weights: weight (c · scale², 3, 3, C), bias (c · scale²). C is a multiple of 16.
        """

    def head_backward(
        self,
        x: NDArray[Any],
        weights: Sequence[NDArray[Any]],
        scale: int,
        gradient: NDArray[Any],
        x_gradient: NDArray[Any],
        gradients: Sequence[NDArray[Any]],
    ) -> None:
        """From the gradient of `picture` that of x, which is written, and of the weights, added."""

    def picture_distances(
        self, a: NDArray[Any], b: NDArray[Any], squares: bool, distances: NDArray[Any]
    ) -> None:
        """The sum of |a - b|, or of its squares, of each of N pictures → distances (N).

        All are float32, pictures (N, samples).
        """

    def picture_distance_gradients(
        self,
        a: NDArray[Any],
        b: NDArray[Any],
        squares: bool,
        factors: NDArray[Any],
        gradient: NDArray[Any],
    ) -> None:
        """Their gradients with a, times each picture's factor (N) → gradient (N, samples)."""

    def spectrum_distance(self, a: NDArray[Any], b: NDArray[Any], gradient: NDArray[Any]) -> float:
        """`losses.frequency_distance` of float32 (N, H, W, C), sides up to 1024.

        Its gradient with a → `gradient`.
        """

def available_memory(root: str = "") -> int:
    """Bytes of main memory that this process may still take.

    By the kernel's estimate and within the limits of the control groups that this process is in.
    `root` is where /proc and /sys lie.
    """

def available(precision: str) -> list[str]:
    """The instruction sets that can run here in a precision, best first."""

def trainable(precision: str = "") -> list[str]:
    """The instruction sets that can run here and have kernels for training, best first.

    Each computes in one precision: AVX-512 and AMX in "bf16", AVX2 in "fp32". With IMAGEN_FAST_ISA
    no others.
    """

def preferred_precision(isa: str = "") -> str:
    """What to take where nobody asks: "bf16" where `Engine` is much faster in it, else "fp32"."""

def bound_colors(tiles: NDArray[Any], output: NDArray[Any], threads: int = 1) -> None:
    """As `imagen_fast.image.color_bounds.bound_colors`, for C-contiguous arrays.

    Raises BackendError: the arrays do not fit each other.
    """

def keep_neutral(tiles: NDArray[Any], output: NDArray[Any], threads: int = 1) -> None:
    """As `imagen_fast.image.neutral.keep_neutral`; arrays and errors as for `bound_colors`."""

def keep_flat(tiles: NDArray[Any], output: NDArray[Any], threads: int = 1) -> None:
    """As `imagen_fast.image.flat.keep_flat`; arrays and errors as for `bound_colors`."""

def read_bundle(path: str) -> tuple[dict[str, str], dict[str, list[int]]]:
    """A bundle's metadata and its tensors' shapes, strictly checked. Raises WeightsError."""
