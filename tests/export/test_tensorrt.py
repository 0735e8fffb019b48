"""What of TensorRT can be tested without it: profiles, cache, and what the library is told."""

import _thread
import dataclasses
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from imagen_fast.export.options import ExportOptions
from imagen_fast.export.tensorrt_cache import Place, engine_path, folder, timing_path
from imagen_fast.export.tensorrt_profiles import Profile, choose, profiles

from imagen_fast.bundle import Bundle, load_bundle
from imagen_fast.errors import BackendError, ExportError

pytest.importorskip("onnx", reason="the extra onnx is not installed")

import tensorrt_double as double
from imagen_fast.export.onnx import export
from imagen_fast.export.tensorrt import build, engine_precisions, refit

HERE = Place("11.4.0.106", "NVIDIA H100 80GB HBM3", "9.0")


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The double in place of TensorRT, and a cache of its own."""
    made = double.Library()
    monkeypatch.setattr(double, "LIBRARY", made)
    monkeypatch.setitem(sys.modules, "tensorrt", double)
    monkeypatch.setenv("IMAGEN_FAST_CACHE", str(tmp_path / "cache"))
    return made


@pytest.fixture
def built(library: Any, smallest: Bundle) -> Callable[..., bytes]:
    """An engine of the smallest model with these options."""

    def make(**options: Any) -> bytes:
        asked = ExportOptions(**options)
        data = export(smallest, dataclasses.replace(asked, largest=None, refit=False))
        return build(data, asked, graph=smallest.graph, where=HERE, say=lambda text: None)

    return make


def test_the_double_has_only_names_of_the_real_bindings() -> None:
    assert double.INTERFACE.keys() == {"10.16.1.11", "11.4.0.106"}
    with pytest.raises(AssertionError, match="has no IBuilderConfig"):
        double.IBuilderConfig().max_workspace_size = 1  # which TensorRT 8 had


def test_profiles_of_a_fixed_shape() -> None:
    (only,) = profiles(ExportOptions(shape=(30, 40), batch=2))
    assert only.least == only.best == only.most == (2, 30, 40)


@pytest.mark.parametrize("largest", [None, (720, 1280), (1280, 720), (1, 1), (3000, 1)])
def test_portrait_and_landscape(largest: tuple[int, int] | None) -> None:
    landscape, portrait = made = profiles(ExportOptions(largest=largest))
    for profile in made:
        assert profile.least == (1, 1, 1)
        assert all(
            low <= best <= high
            for low, best, high in zip(profile.least, profile.best, profile.most, strict=True)
        )
    short, long = sorted(largest or (1024, 1024))
    assert choose(made, (1, short, long)) == 0 or short == long
    assert choose(made, (1, long, short)) == (0 if short == long else 1)
    assert (landscape.most, portrait.most) == ((8, short, long), (8, long, short))
    if short > 8:
        assert landscape.best[1] < landscape.best[2]
        assert choose(made, (2, short // 2, short)) == 0
        assert choose(made, (2, short, short // 2)) == 1


def test_shapes_that_no_profile_serves() -> None:
    made = profiles(ExportOptions(largest=(720, 1280)))
    assert choose(made, (8, 1280, 720)) == 1
    for shape in ((1, 1281, 1), (9, 8, 8), (1, 721, 721)):
        with pytest.raises(BackendError, match=r"from 1x1x1 to 8x720x1280 or 8x1280x720 .* not "):
            choose(made, shape)
    fixed = [Profile((1, 8, 8), (1, 8, 8), (1, 8, 8))]
    with pytest.raises(BackendError, match="choose a smaller tile, or export it with a larger"):
        choose(fixed, (1, 8, 7))


def test_the_cache_is_the_users_alone(library: Any, tmp_path: Path) -> None:
    path = folder()
    assert path == tmp_path / "cache" / "tensorrt"
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert timing_path(HERE).name == "timing-11.4.0.106-NVIDIA-H100-80GB-HBM3-9.0.cache"


def test_a_cached_engine_belongs_to_all_that_it_depends_on(library: Any) -> None:
    places = [
        HERE,
        dataclasses.replace(HERE, tensorrt="10.16.1.11"),
        dataclasses.replace(HERE, gpu="NVIDIA H200"),
        dataclasses.replace(HERE, capability="10.0"),
    ]
    options = [
        ExportOptions(),
        ExportOptions(precision="fp16"),
        ExportOptions(shape=(8, 8)),
        ExportOptions(batch=2),
        ExportOptions(largest=(64, 64)),
        ExportOptions(refit=True),
    ]
    names = {
        engine_path(onnx, option, place)
        for onnx in (b"one", b"other")
        for option in options
        for place in places
    }
    assert len(names) == 2 * len(options) * len(places)
    assert engine_path(b"one", ExportOptions(), HERE) == engine_path(b"one", ExportOptions(), HERE)


def test_what_the_builder_is_told(built: Callable[..., bytes], library: Any) -> None:
    library.information = double.WITH_FP16
    assert built(precision="fp16", largest=(720, 1280)) == b"plan"
    ((network, config),) = library.built
    assert network._flags == 1 << double.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    assert network._model.graph.input[0].name == "image"
    assert config._flags == set()
    assert config.profiling_verbosity == "detailed"
    assert config._profiles == [
        ("image", (1, 3, 1, 1), (1, 3, 360, 640), (8, 3, 720, 1280)),
        ("image", (1, 3, 1, 1), (1, 3, 640, 360), (8, 3, 1280, 720)),
    ]


def test_what_a_video_hands_on_has_the_picture_s_sizes(library: Any, video_path: Path) -> None:
    bundle = load_bundle(video_path)
    named: dict[str, Any] = {"inputs": ("previous",), "outputs": ("picture", "previous")}
    asked = ExportOptions(shape=(30, 40), batch=1, **named)
    build(export(bundle, asked), asked, graph=bundle.graph, where=HERE, say=lambda text: None)
    ((network, config),) = library.built
    assert [x.name for x in network._model.graph.output] == ["picture", "previous.out"]
    assert [x.name for x in network._model.graph.input] == ["image", "previous"]
    assert config._profiles == [("previous", *[(1, 32, 30, 40)] * 3)]  # the double keeps the last


def test_bytes_are_last_in_profiles(built: Callable[..., bytes], library: Any) -> None:
    built(io="uint8", shape=(30, 40), batch=2, refit=True)
    ((_, config),) = library.built
    assert config._profiles == [("image", *[(2, 30, 40, 3)] * 3)]
    assert config._flags == {"REFIT"}


def test_kernels_are_timed_once(built: Callable[..., bytes], library: Any) -> None:
    built()
    built()
    assert timing_path(HERE).read_bytes() == b"timed,timed,"
    timing_path(HERE).write_bytes(b"foreign")  # of another driver, say
    built()
    assert timing_path(HERE).read_bytes() == b"timed,"


def test_a_graph_that_is_refused(built: Callable[..., bytes], library: Any) -> None:
    library.refuses = ["no operator X", "nor Y"]
    with pytest.raises(ExportError, match=r"TensorRT 11.4.0.106 refuses .*: no operator X; nor Y"):
        built()


def test_no_engine(built: Callable[..., bytes], library: Any) -> None:
    library.plan = None
    with pytest.raises(ExportError, match="TensorRT built no engine"):
        built()


@pytest.mark.parametrize(
    ("precision", "information", "seen"),
    [
        ("fp16", double.WITH_FP32, "fp32"),
        ("fp32", double.WITH_FP16, "fp16"),
        ("fp32", '{"Layers": ["names", "only"]}', "it does not tell what"),
    ],
)
def test_another_precision_than_was_asked_for(
    precision: str, information: str, seen: str, built: Callable[..., bytes], library: Any
) -> None:
    library.information = information
    with pytest.raises(ExportError, match=f"an engine in {seen}; expected {precision}"):
        built(precision=precision)


def test_precisions_of_an_engine() -> None:
    def layers(*kinds: str) -> str:
        outputs = ", ".join(f'{{"Format/Datatype": "{kind}"}}' for kind in kinds)
        return f'{{"Layers": [{{"LayerType": "kgen", "Outputs": [{outputs}]}}]}}'

    assert engine_precisions(layers("Channel major FP16 format where channel % 8 == 0")) == {"fp16"}
    assert engine_precisions(layers("Half", "Row major linear FP32", "Int64")) == {"fp16", "fp32"}
    assert engine_precisions(layers("Bool", "Row major linear INT32")) == set()


def test_ctrl_c_ends_a_build(built: Callable[..., bytes], library: Any) -> None:
    """The monitor ends it, and no exception flies through the library."""
    library.steps = 10_000

    def interrupt() -> None:
        library.at_step.wait(20)
        _thread.interrupt_main()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        built()
    assert 0 <= library.stopped_at < 9_000
    assert not [t for t in threading.enumerate() if t.name == "tensorrt-build"]
    assert not timing_path(HERE).exists()


def test_refit(built: Callable[..., bytes], library: Any, smallest: Bundle) -> None:
    graph = export(smallest, ExportOptions())
    assert refit(b"refittable plan", graph) == b"refittable plan, refitted"
    for engine in (b"plan", b"foreign"):
        with pytest.raises(ExportError, match="cannot take other weights; export it with --refit"):
            refit(engine, graph)
    library.missing = ["encoder.stem.weight"]
    with pytest.raises(ExportError, match=r"another spec.*missing: encoder.stem.weight"):
        refit(b"refittable plan", graph)
    library.fits = False
    with pytest.raises(ExportError, match="of another spec, precision or opset"):
        refit(b"refittable plan", graph)
