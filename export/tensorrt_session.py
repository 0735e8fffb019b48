"""A TensorRT engine at work: PyTorch's CUDA memory and stream, a profile chosen for every shape.

Not yet run on a GPU.
"""

from __future__ import annotations

from typing import Any

from imagen_fast.errors import BackendError

from .tensorrt import load
from .tensorrt_profiles import Profile, choose


class TensorRTSession:
    """An engine on one device.

    Args:
        engine: its bytes, which are machine code: only from where it was built.
        profiles: that it was built with, in order.
        device: number of the CUDA device.

    Raises:
        BackendError: the engine does not load, being another version's or GPU's.
    """

    def __init__(self, engine: bytes, profiles: list[Profile], device: int = 0) -> None:
        import torch

        trt = load()
        self._device = torch.device("cuda", device)
        self._profiles, self._current = profiles, 0
        with torch.cuda.device(self._device):
            self._logger = trt.Logger(trt.Logger.ERROR)
            self._runtime = trt.Runtime(self._logger)
            self._engine = self._runtime.deserialize_cuda_engine(engine)
            if self._engine is None:
                raise BackendError(
                    f"TensorRT {trt.__version__} does not load the engine: it is another version's "
                    "or another GPU's; build it here: imagen-fast export MODEL --format tensorrt"
                )
            self._context = self._engine.create_execution_context()
            self._stream = torch.cuda.Stream(self._device)

    def run(self, x: Any, shape: tuple[int, ...]) -> Any:
        """A CUDA tensor, contiguous, of the engine's type and layout → another, of this shape.

        Raises:
            BackendError: no profile serves the shape, or the run failed.
        """
        import torch

        channels_last = x.dtype == torch.uint8
        n, h, w = x.shape[:3] if channels_last else (x.shape[0], *x.shape[2:])
        number = choose(self._profiles, (n, h, w))
        output = torch.empty(shape, dtype=x.dtype, device=self._device)
        # What fills x on the current stream comes first, and what reads the output after it.
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        handle = self._stream.cuda_stream
        context = self._context
        if number != self._current:
            context.set_optimization_profile_async(number, handle)
            self._current = number
        ready = context.set_input_shape("image", tuple(x.shape))
        ready = context.set_tensor_address("image", x.data_ptr()) and ready
        ready = context.set_tensor_address("output", output.data_ptr()) and ready
        if not ready or not context.execute_async_v3(handle):
            raise BackendError(f"TensorRT failed on an input of shape {tuple(x.shape)}")
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        x.record_stream(self._stream)
        output.record_stream(self._stream)
        return output
