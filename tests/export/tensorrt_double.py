"""TensorRT's interface, as far as it is used here, without TensorRT: it records what it is told.

A name that the real bindings have not (tensorrt_interface.json: read off 10.16.1.11 and 11.4.0.106)
cannot be used of it.
"""

import json
import threading
from pathlib import Path
from typing import Any

import onnx

INTERFACE = json.loads(Path(__file__).with_name("tensorrt_interface.json").read_text())
WITH_FP16 = '{"Layers": [{"Outputs": [{"Format/Datatype": "Row major linear FP16 format"}]}]}'
WITH_FP32 = '{"Layers": [{"Outputs": [{"Format/Datatype": "Row major linear FP32"}]}]}'


class Like:
    """One of the bindings' classes: only its attributes can be set, and every one is recorded."""

    def __init_subclass__(cls) -> None:
        cls.check([name for name in vars(cls) if not name.startswith("_")])

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            self.check([name])
        object.__setattr__(self, name, value)

    @classmethod
    def check(cls, names: list[str]) -> None:
        for version, classes in INTERFACE.items():
            unknown = set(names) - set(classes[cls.__name__])
            assert not unknown, f"TensorRT {version} has no {cls.__name__}.{unknown}"


class Logger(Like):
    ERROR = 1

    def __init__(self, severity: int) -> None:
        assert severity == self.ERROR


class NetworkDefinitionCreationFlag(Like):
    STRONGLY_TYPED = 1


class BuilderFlag(Like):
    TF32, REFIT = "TF32", "REFIT"


class ProfilingVerbosity(Like):
    DETAILED = "detailed"


class LayerInformationFormat(Like):
    JSON = "json"


class IProgressMonitor:
    """What users derive from."""

    def __init__(self) -> None:
        for version, classes in INTERFACE.items():
            missing = [name for name in classes["IProgressMonitor"] if not hasattr(self, name)]
            assert not missing, f"TensorRT {version} calls {missing}"


class ParserError(Like):
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        return self._text


class OnnxParser(Like):
    def __init__(self, network: Any, logger: Logger) -> None:
        self._network, self._logger, self._errors = network, logger, list[str]()

    def parse(self, model: bytes) -> bool:
        self._network._model = onnx.load_from_string(model)
        onnx.checker.check_model(self._network._model)
        self._errors = list(LIBRARY.refuses)
        return not self._errors

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return ParserError(self._errors[index])


class INetworkDefinition(Like):
    def __init__(self, flags: int) -> None:
        self._flags, self._model = flags, None


class ITimingCache(Like):
    def __init__(self, content: bytes) -> None:
        self._content = content

    def serialize(self) -> bytes:
        return self._content + b"timed,"


class IOptimizationProfile(Like):
    def __init__(self) -> None:
        self._shapes: tuple[Any, ...] = ()

    def set_shape(self, name: str, least: Any, best: Any, most: Any) -> None:
        self._shapes = (name, least, best, most)


class IBuilderConfig(Like):
    def __init__(self) -> None:
        self._flags, self._profiles, self._cache = {"TF32"}, list[Any](), ITimingCache(b"")
        self.progress_monitor = None
        self.profiling_verbosity = None

    def set_flag(self, flag: str) -> None:
        self._flags.add(flag)

    def clear_flag(self, flag: str) -> None:
        self._flags.discard(flag)

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self._profiles.append(profile._shapes)
        return len(self._profiles) - 1

    def create_timing_cache(self, content: bytes) -> ITimingCache:
        return ITimingCache(content)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if cache._content.startswith(b"foreign") and not ignore_mismatch:
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache:
        return self._cache


class Builder(Like):
    def __init__(self, logger: Logger) -> None:
        assert isinstance(logger, Logger)

    def create_network(self, flags: int) -> INetworkDefinition:
        return INetworkDefinition(flags)

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: Any) -> bytes | None:
        LIBRARY.built.append((network, config))
        monitor = config.progress_monitor
        monitor.phase_start("Building", None, LIBRARY.steps)
        monitor.phase_start("Tactics", "Building", LIBRARY.steps)
        for step in range(LIBRARY.steps):
            LIBRARY.at_step.set()
            if not monitor.step_complete("Tactics", step):
                LIBRARY.stopped_at = step
                return None
            threading.Event().wait(0.01)
        monitor.phase_finish("Building")
        return LIBRARY.plan


class EngineInspector(Like):
    def __init__(self) -> None:
        pass

    def get_engine_information(self, form: str) -> str:
        assert form == LayerInformationFormat.JSON
        return LIBRARY.information


class ICudaEngine(Like):
    def __init__(self, plan: bytes) -> None:
        self._plan = plan

    @property
    def refittable(self) -> bool:
        return self._plan.startswith(b"refittable")

    def create_engine_inspector(self) -> EngineInspector:
        return EngineInspector()

    def serialize(self) -> bytes:
        return self._plan


class Runtime(Like):
    def __init__(self, logger: Logger) -> None:
        assert isinstance(logger, Logger)

    def deserialize_cuda_engine(self, plan: bytes) -> ICudaEngine | None:
        return None if plan.startswith(b"foreign") else ICudaEngine(plan)


class Refitter(Like):
    def __init__(self, engine: ICudaEngine, logger: Logger) -> None:
        self._engine = engine

    def get_missing_weights(self) -> list[str]:
        return LIBRARY.missing

    def refit_cuda_engine(self) -> bool:
        self._engine._plan += b", refitted"
        return True


class OnnxParserRefitter(Like):
    def __init__(self, refitter: Refitter, logger: Logger) -> None:
        assert isinstance(refitter, Refitter)

    def refit_from_bytes(self, model: bytes) -> bool:
        onnx.load_from_string(model)
        return LIBRARY.fits


class Library:
    """What the double does, and what was done to it."""

    def __init__(self) -> None:
        self.built: list[tuple[INetworkDefinition, IBuilderConfig]] = []
        self.refuses: list[str] = []
        self.plan: bytes | None = b"plan"
        self.information = WITH_FP32
        self.steps, self.at_step, self.stopped_at = 2, threading.Event(), -1
        self.missing: list[str] = []
        self.fits = True


LIBRARY = Library()
__version__ = "11.4.0.106"
