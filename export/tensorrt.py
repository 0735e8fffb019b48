"""A TensorRT engine from an exported ONNX file's content.

The graph is typed (fp16 is in the ONNX graph, not a permission to round), TF32 is off, and the
precision of the built engine is asserted. TensorRT 10 and 11. This has
not yet run on a GPU: `make verify-tensorrt` does what is needed on a machine that has one.
"""

from __future__ import annotations

import json
import re
import threading
from importlib import import_module
from typing import Any

from imagen_fast import atomic
from imagen_fast.errors import ExportError
from imagen_fast.graph import Graph

from .formats import Say
from .options import ExportOptions, chosen
from .tensorrt_cache import Place, timing_path
from .tensorrt_profiles import Profile, Shape, profiles

NAMES = {"fp16": {"fp16", "half", "float16"}, "fp32": {"fp32", "float", "float32"}}
POLL = 0.1  # seconds


def load() -> Any:
    """The library, which is imported only here."""
    return import_module("tensorrt")


def place(device: int = 0) -> Place:
    """Where engines that are built here belong."""
    import torch

    major, minor = torch.cuda.get_device_capability(device)
    name = str(torch.cuda.get_device_name(device))
    return Place(str(load().__version__), name, f"{major}.{minor}")


def build(onnx: bytes, options: ExportOptions, *, graph: Graph, where: Place, say: Say) -> bytes:
    """The serialized engine, which takes minutes; kernels timed before are not timed again.

    graph: that the ONNX file was exported from with these options.

    Raises:
        ExportError: TensorRT refuses the graph, fails, or builds another precision.
        KeyboardInterrupt: at once when it comes; the build is given up.
    """
    trt = load()
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        problems = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise ExportError(f"TensorRT {where.tensorrt} refuses the graph: {problems[:500]}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if options.refit:
        config.set_flag(trt.BuilderFlag.REFIT)
    for profile in profiles(options):
        config.add_optimization_profile(_profile(builder, profile, options, graph))
    kept = timing_path(where)
    timings = config.create_timing_cache(kept.read_bytes() if kept.exists() else b"")
    # Timings of another device or version do not fit; then there are none yet.
    if not config.set_timing_cache(timings, ignore_mismatch=False):
        timings = config.create_timing_cache(b"")
        config.set_timing_cache(timings, ignore_mismatch=False)
    engine = _built(trt, builder, network, config, say)
    atomic.write(kept, bytes(config.get_timing_cache().serialize()))
    _check_precision(trt, logger, engine, options)
    return engine


def refit(engine: bytes, onnx: bytes) -> bytes:
    """The engine with the weights of another ONNX file of the same spec and options.

    Raises:
        ExportError: the engine was not built with `refit`, belongs elsewhere, or does not fit.
    """
    trt = load()
    logger = trt.Logger(trt.Logger.ERROR)
    loaded = trt.Runtime(logger).deserialize_cuda_engine(engine)
    if loaded is None or not loaded.refittable:
        raise ExportError("this engine cannot take other weights; export it with --refit, here")
    refitter = trt.Refitter(loaded, logger)
    fits = trt.OnnxParserRefitter(refitter, logger).refit_from_bytes(onnx)
    missing = refitter.get_missing_weights() if fits else []
    if not fits or missing or not refitter.refit_cuda_engine():
        raise ExportError(
            "the weights do not fit the engine: they are of another spec, precision or opset"
            + (f" (missing: {', '.join(missing[:3])})" if missing else "")
        )
    return bytes(loaded.serialize())


def engine_precisions(information: str) -> set[str]:
    """The floating-point types, "fp16" and "fp32", of what an engine's layers give.

    `information` is the inspector's JSON, whose formats read `Row major linear FP32` and the like.
    """
    found = set()
    for layer in json.loads(information).get("Layers", []):
        for output in layer.get("Outputs", []) if isinstance(layer, dict) else []:
            words = set(re.split(r"\W+", str(output.get("Format/Datatype", "")).lower()))
            found |= {name for name, known in NAMES.items() if words & known}
    return found


class _Progress:
    """TensorRT's monitor: says which phase begins, and ends the build when it is told to.

    Made a subclass of `IProgressMonitor` where the library is at hand.
    """

    def __init__(self, say: Say) -> None:
        super().__init__()
        self._say, self.stopped = say, threading.Event()

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        if parent_phase is None:
            self._say(f"TensorRT: {phase_name}")

    def step_complete(self, phase_name: str, step: int) -> bool:
        return not self.stopped.is_set()

    def phase_finish(self, phase_name: str) -> None:
        """Nothing to say."""


def _built(trt: Any, builder: Any, network: Any, config: Any, say: Say) -> bytes:
    """Built on a thread, so that this one hears Ctrl-C, which must not fly through C++."""
    monitor = type("Progress", (_Progress, trt.IProgressMonitor), {})(say)
    config.progress_monitor = monitor
    result: list[bytes] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            plan = builder.build_serialized_network(network, config)
            if plan is not None:
                result.append(bytes(plan))
        except BaseException as error:
            failure.append(error)
        finally:
            done.set()

    # An event, because a join that is interrupted takes its thread for ended (Python 3.11).
    done = threading.Event()
    thread = threading.Thread(target=work, name="tensorrt-build")
    try:
        thread.start()
        while not done.wait(POLL):
            pass
    except BaseException:
        monitor.stopped.set()
        if thread.ident is not None:  # it started
            done.wait()
        raise
    if failure:
        raise ExportError(f"TensorRT failed: {failure[0]}") from failure[0]
    if not result:
        raise ExportError("TensorRT built no engine; what it logged stands above")
    return result[0]


def _profile(builder: Any, profile: Profile, options: ExportOptions, graph: Graph) -> Any:
    made = builder.create_optimization_profile()
    graph = chosen(graph, options)
    for name, x in graph.inputs.items():

        def layout(shape: Shape, name: str = name, c: int = x.channels) -> tuple[int, ...]:
            h, w = graph.values[name].grid.size(*shape[1:])
            return (shape[0], h, w, c) if options.io == "uint8" else (shape[0], c, h, w)

        made.set_shape(name, layout(profile.least), layout(profile.best), layout(profile.most))
    return made


def _check_precision(trt: Any, logger: Any, engine: bytes, options: ExportOptions) -> None:
    loaded = trt.Runtime(logger).deserialize_cuda_engine(engine)
    inspector = loaded.create_engine_inspector()
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    found = engine_precisions(text)
    expected = {"fp16"} if options.precision == "fp16" else {"fp32"}
    # In fp16 the norms and the picture stay float32; in fp32 nothing may be less.
    if not (expected <= found if options.precision == "fp16" else expected == found):
        seen = " and ".join(sorted(found)) or "it does not tell what"
        raise ExportError(f"TensorRT built an engine in {seen}; expected {options.precision}")
