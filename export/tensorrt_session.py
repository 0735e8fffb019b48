"""A TensorRT engine at work: PyTorch's CUDA memory and stream, a profile chosen for every shape.

Not yet run on a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.errors import BackendError
from imagen_fast.graph import Graph

from .onnx import output_name
from .options import ExportOptions, chosen
from .tensorrt import load
from .tensorrt_profiles import choose, profiles


class TensorRTSession:
    """An engine on one device.

    Args:
        engine: its bytes, which are machine code: only from where it was built.
        graph, options: that it was built of and with.
        device: number of the CUDA device.

    Raises:
        BackendError: the engine does not load, being another version's or GPU's.
    """

    def __init__(
        self, engine: bytes, graph: Graph, options: ExportOptions, device: int = 0
    ) -> None:
        import torch

        trt = load()
        self._device = torch.device("cuda", device)
        self._graph, self._bytes = chosen(graph, options), options.io == "uint8"
        self._profiles, self._current = profiles(options), 0
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

    def run(self, given: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name, in order, of inputs by name, all of the engine's types and layouts.

        Raises:
            BackendError: no profile serves the shape, or the run failed.
        """
        import torch

        graph = self._graph
        arrays = {n: np.require(x, requirements=["C", "W"]) for n, x in given.items()}
        inputs = {n: torch.from_numpy(x).to(self._device) for n, x in arrays.items()}
        sizes = {n: x.shape[1:3] if self._bytes else x.shape[2:] for n, x in inputs.items()}
        first = next(iter(graph.inputs))
        images = len(inputs[first])
        number = choose(self._profiles, (images, *sizes[first]))
        outputs = {}
        for name, output in graph.outputs.items():
            value = graph.values[output.value]
            h, w = value.grid.size(*sizes.get(value.grid.of, (1, 1)))
            shape = (images, h, w, value.channels)
            shape = shape if self._bytes else (images, value.channels, h, w)
            dtype = inputs[first].dtype
            outputs[output_name(graph, name)] = torch.empty(shape, dtype=dtype, device=self._device)
        # What fills inputs on the current stream comes first, and what reads outputs after it.
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        handle, context = self._stream.cuda_stream, self._context
        if number != self._current:
            context.set_optimization_profile_async(number, handle)
            self._current = number
        ready = [context.set_input_shape(name, tuple(x.shape)) for name, x in inputs.items()]
        both = {**inputs, **outputs}.items()
        ready += [context.set_tensor_address(name, x.data_ptr()) for name, x in both]
        if not all(ready) or not context.execute_async_v3(handle):
            raise BackendError(f"TensorRT failed on an input of shape {tuple(inputs[first].shape)}")
        self._stream.synchronize()
        return {name: x.cpu().numpy() for name, x in outputs.items()}
