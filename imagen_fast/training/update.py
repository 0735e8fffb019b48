"""One step of a run, from places in the photographs to the averaged weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from imagen_fast.training.data import PatchSampler
from imagen_fast.training.supervised import Supervised

WARM_UP = 3  # steps before one is recorded: libraries choose algorithms, optimisers make states

Work = Callable[[], None]


class Recorder(Protocol):
    """Notes what some work does to tensors, to do the same again without Python's part in it."""

    def run(self, work: Work) -> None:
        """Do it, where it will be recorded."""

    def record(self, work: Work) -> None:
        """Note what it does, without doing it."""

    def replay(self) -> None:
        """Do what was noted, on the same memory."""


class CudaGraph:
    """A recorder on the current GPU, on a stream of its own that others wait for."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()
        self._graph = torch.cuda.CUDAGraph()

    def run(self, work: Work) -> None:
        """See `Recorder`."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            work()
        torch.cuda.current_stream().wait_stream(self._stream)

    def record(self, work: Work) -> None:
        """See `Recorder`."""
        with torch.cuda.graph(self._graph, stream=self._stream):
            work()

    def replay(self) -> None:
        """See `Recorder`."""
        self.run(self._graph.replay)


class Update:
    """Cuts patches, moves the weights by their gradients and the average towards the weights.

    All that differs from step to step lies in tensors that are filled before: places, rates, the
    average's decay. So with a recorder all steps after the first few are one replay, which on a
    GPU takes as long as its kernels do, however small they are.

    Args:
        method: what moves the weights.
        data: what the patches are cut from.
        average: the weights' running mean, in the order of `weights`.
        weights: of the generator.
        recorder: None to run every step as it is written.
        say: told if a step cannot be recorded; then all run as they are written.
    """

    def __init__(
        self,
        method: Supervised,
        data: PatchSampler,
        average: Sequence[nn.Parameter],
        weights: Sequence[nn.Parameter],
        recorder: Recorder | None = None,
        say: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._method, self._data = method, data
        self._average: list[Tensor] = list(average)
        self._weights: list[Tensor] = list(weights)
        self._recorder, self._say = recorder, say
        self._steps, self._recorded = 0, False
        optimisers = list(method.optimisers.values())
        device = self._average[0].device
        self._numbers = torch.zeros(len(optimisers) + 1, device=device)
        self._places: Tensor | None = None
        self._losses: dict[str, Tensor] = {}
        for optimiser, rate in zip(optimisers, self._numbers, strict=False):
            for group in optimiser.param_groups:
                group["lr"] = rate
                if "capturable" in group:  # AdamW's word for "may be recorded"
                    group["capturable"] = recorder is not None

    def __call__(
        self, number: int, places: Tensor, rates: Sequence[float], decay: float
    ) -> dict[str, Tensor]:
        """The losses of step `number`, before it, on their device; the next step may replace them.

        Args:
            places: what `PatchSampler.draw` gives, or this process's share of it.
            rates: one an optimiser.
            decay: how much of the average stays.
        """
        self._fill(places, [*rates, 1 - decay])
        if self._recorder is None:
            self._work(number)
        elif self._recorded:
            self._recorder.replay()
        elif self._steps < WARM_UP:
            self._recorder.run(lambda: self._work(number))
        else:
            self._record(self._recorder, number)
        self._steps += 1
        return self._losses

    def _fill(self, places: Tensor, numbers: list[float]) -> None:
        if self._places is None:
            self._places = torch.empty_like(places, device=self._numbers.device)
        self._places.copy_(places)  # which waits for the step before
        self._numbers.copy_(torch.tensor(numbers))

    def _record(self, recorder: Recorder, number: int) -> None:
        """Record a step and replay it, or say why not and run it."""
        try:
            recorder.record(lambda: self._work(number))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            self._say(f"warning: steps run one kernel at a time, not recorded: {reason}")
            self._recorder = None
            self._work(number)
            return
        self._recorded = True
        recorder.replay()

    def _work(self, number: int) -> None:
        assert self._places is not None
        self._losses = self._method.step(number, *self._data.cut(self._places))
        with torch.no_grad():
            way = torch._foreach_sub(self._weights, self._average)
            torch._foreach_mul_(way, self._numbers[-1])
            torch._foreach_add_(self._average, way)
