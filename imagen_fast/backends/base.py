"""What every backend is: a network made ready on one device, run on batches of tiles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from imagen_fast.backends import options
from imagen_fast.backends.levels import Levels, Tiles
from imagen_fast.bundle import Bundle
from imagen_fast.errors import BackendError
from imagen_fast.spec import ModelSpec


class NonFiniteError(BackendError):
    """The network's output holds infinities or NaN; a higher precision may help."""


class Backend(ABC):
    """One way of running a model.

    Not thread-safe: `Engine` lets one thread in at a time.

    Args:
        bundle: spec and weights.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: one of `options.PRECISIONS`; what weights and activations are computed in.
        threads: CPU threads, 1 to 1024; None leaves the choice to the backend.
        isa: CPU instruction set by its name; "" leaves the choice to the backend.

    Attributes:
        name: as in `BACKENDS`.
        kinds: of devices that it serves.
        precisions: that it has, on some device.
        device, precision: what was resolved from the arguments, never "auto".
        threads: how many are used, None if the backend does not say.
        takes_isa, isa: whether its CPU instruction set can be chosen, and which one runs; None if
            the backend does not say.
        takes_exported: whether it runs bundles whose `exported` is in place of tensors.

    Raises:
        BackendError: device, precision or instruction set is unknown or not to be had here.
        WeightsError: the bundle's tensors do not fit its spec.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ("cpu", "cuda")
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "fp16")
    takes_isa: ClassVar[bool] = False
    takes_exported: ClassVar[bool] = False
    isa: str | None = None
    device: str
    precision: str
    threads: int | None = None

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        isa: str = "",
    ) -> None:
        self.check(device, precision, threads, isa)
        if bundle.exported and not self.takes_exported:
            raise BackendError(
                f"backend {self.name!r} runs bundles (.safetensors), not exported ONNX files; "
                "choose backend onnxruntime"
            )
        self.bundle = bundle
        self._start(device, precision, options.thread_count(threads), isa)

    @classmethod
    def check(
        cls,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        isa: str = "",
    ) -> None:
        """Raise BackendError for options that this backend has on no machine."""
        options.check(device, precision, threads, isa)
        if options.device_kind(device) not in ("auto", *cls.kinds):
            (kind,) = cls.kinds
            raise BackendError(
                f"backend {cls.name!r} runs on {'the cpu' if kind == 'cpu' else 'CUDA'} only, not "
                f"on {device!r}; choose another backend, or auto"
            )
        if precision not in ("auto", *cls.precisions):
            raise BackendError(
                f"backend {cls.name!r} has no {precision}; choose {' or '.join(cls.precisions)}"
            )
        if isa and not cls.takes_isa:
            raise BackendError(
                f"backend {cls.name!r} has no isa to choose; expected backend native"
            )

    @abstractmethod
    def _start(self, device: str, precision: str, threads: int | None, isa: str) -> None:
        """Make the network ready; sets `device` and `precision`. Arguments as the class's."""

    @classmethod
    @abstractmethod
    def missing(cls) -> str | None:
        """What this machine lacks for the backend, and how to get it; None if nothing."""

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Of the libraries that do the work."""
        return {}

    @property
    def spec(self) -> ModelSpec:
        """The model's spec."""
        return self.bundle.spec

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many input pixels one `run` may hold, all tiles together, given the memory now."""

    def prepare(self, shape: tuple[int, int, int]) -> None:  # noqa: B027 (nothing to prepare)
        """Do now what the first `run` of tiles (N, H, W) would do. Optional for callers."""

    def run(self, tiles: Tiles) -> Tiles:
        """(N, H, W, 3) uint8 or float32 in [0, 1] → (N, s·H, s·W, 3) of the same dtype, clamped.

        Raises:
            BackendError: the array is of another kind, or memory ran out.
            NonFiniteError: the output is not finite.
        """
        if self.spec.architecture == "listing":
            raise BackendError("a listing model reads rows of numbers, not pictures: call `rows`")
        if not isinstance(tiles, np.ndarray):
            raise BackendError(f"tiles are a {type(tiles).__name__}; expected a NumPy array")
        if tiles.ndim != 4 or tiles.shape[3] != self.spec.image_channels or 0 in tiles.shape:
            raise BackendError(
                f"tiles have shape {tiles.shape}; expected (N, H, W, {self.spec.image_channels}), "
                "none of them 0"
            )
        if tiles.dtype not in (np.uint8, np.float32):
            raise BackendError(f"tiles are {tiles.dtype}; expected uint8 or float32")
        return self.compute(tiles)

    def rows(self, x: Tiles) -> Tiles:
        """A listing's input (N, T, d_model) float32, any range → output of the same shape.

        Raises:
            BackendError: the model is no listing, the array is of another kind, or memory ran out.
            NonFiniteError: the output is not finite.
        """
        if self.spec.architecture != "listing":
            raise BackendError("this model reads pictures, not rows of numbers: call `run`")
        if not isinstance(x, np.ndarray):
            raise BackendError(f"rows are a {type(x).__name__}; expected a NumPy array")
        d_model = self.spec.levels[0].channels
        if x.ndim != 3 or x.shape[2] != d_model or 0 in x.shape or x.dtype != np.float32:
            raise BackendError(
                f"rows are {x.dtype} of shape {x.shape}; expected float32 (N, T, {d_model}), "
                "none of them 0"
            )
        return self.compute_rows(x)

    def features(self, image: Tiles) -> list[Tiles]:
        """The encoder's feature maps of (N, H, W, C) float32 in [0, 1], finest first.

        Level i is (N, ⌈H/2^i⌉, ⌈W/2^i⌉, C_i) float32. Raises as `run`.
        """
        return self._levels(Levels(image, features=True))

    def progressive(self, image: Tiles, context: Sequence[Tiles] | None = None) -> list[Tiles]:
        """Every level's picture of (N, H, W, C) float32 in [0, 1], finest first, clamped.

        Level i is (N, s·⌈H/2^i⌉, s·⌈W/2^i⌉, C). The decoder's cross-attention reads `context`,
        another picture's `features` of the same sizes, in place of this one's. Raises as `run`.
        """
        return self._levels(Levels(image, context))

    def generate(self, latent: Tiles, context: Sequence[Tiles] | None = None) -> list[Tiles]:
        """Pictures from a latent (N, h, w, latent_channels) float32, finest first, clamped.

        Level i of L is (N, s·h·2^(L-1-i), s·w·2^(L-1-i), C). Raises as `run`, and BackendError if
        the model has no latent entry.
        """
        if not self.spec.latent_channels:
            raise BackendError("this model has no latent entry: its spec has latent_channels 0")
        return self._levels(Levels(latent, context, latent=True))

    def _levels(self, wanted: Levels) -> list[Tiles]:
        if self.spec.architecture == "listing":
            raise BackendError("a listing model has no levels: call `rows`")
        wanted.check(self.spec)
        return self.compute_levels(wanted)

    @abstractmethod
    def compute(self, tiles: Tiles) -> Tiles:
        """`run` on checked tiles."""

    @abstractmethod
    def compute_rows(self, x: Tiles) -> Tiles:
        """`rows` on a checked array."""

    @abstractmethod
    def compute_levels(self, wanted: Levels) -> list[Tiles]:
        """`features`, `progressive` and `generate` on checked arrays."""

    def close(self) -> None:  # noqa: B027 (nothing to give back)
        """Give back what the backend holds. It cannot run afterwards."""
