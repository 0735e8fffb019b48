"""The C API gives what the Python engine gives, bit by bit, on pictures of any kind and layout."""

import ctypes
import re
import shutil
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_interface import CANCELLED, NONE, NOT_FINITE, Engine, Failed
from noise import noise

from imagen_fast import __version__, c_library, catalogue, load
from imagen_fast.backends import native
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.engine import PrecisionWarning
from imagen_fast.errors import BackendError
from imagen_fast.spec import Level, ModelSpec

if missing := c_library.missing():
    pytest.skip(missing, allow_module_level=True)

HEADER = (c_library.INCLUDE / "imagen_fast.h").read_text()
MOST_BYTES = 3 << 20  # of the library, stripped


@pytest.fixture
def engine(lib: ctypes.CDLL, tiny_path: Path) -> Iterator[Engine]:
    """Many small tiles."""
    with Engine(lib, tiny_path, precision="fp32", tile=112) as engine:
        yield engine


def test_versions(lib: ctypes.CDLL) -> None:
    numbers = [int(x) for x in re.findall(r"VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", HEADER)]
    assert ".".join(map(str, numbers)) == __version__
    assert lib.imagen_fast_version_text().decode() == __version__
    assert lib.imagen_fast_version() == numbers[0] * 10**6 + numbers[1] * 1000 + numbers[2]
    assert c_library.shared().name == f"libimagen_fast.so.{lib.imagen_fast_abi()}"
    pkg_config = (c_library.PKG_CONFIG / "imagen_fast.pc").read_text()
    assert f"\nVersion: {__version__}\n" in pkg_config


def test_the_library_shows_its_functions_and_nothing_else() -> None:
    if not (nm := shutil.which("nm")):
        pytest.skip("needs nm of the binutils")
    command = [nm, "-D", "--defined-only", "--format=posix", str(c_library.shared())]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shown = {line.split("@")[0] for line in listed.splitlines() if line.split()[1] != "A"}
    declared = set(re.findall(r"\b(imagen_fast_\w+)\([^;]*\) IMAGEN_FAST_NOEXCEPT", HEADER))
    assert len(declared) > 15
    assert shown == declared


def test_the_library_is_small_and_needs_no_python() -> None:
    content = c_library.shared().read_bytes()
    assert len(content) <= MOST_BYTES
    assert b"libpython" not in content
    assert b"Py_Initialize" not in content
    assert b".symtab" not in content  # stripped already


def test_what_a_model_says(lib: ctypes.CDLL, tiny_path: Path) -> None:
    with Engine(lib, tiny_path, threads=2) as engine, load(tiny_path, threads=2) as twin:
        facts = twin.info()
        assert (engine.scale, engine.channels, engine.threads) == (2, 3, 2)
        assert (engine.precision, engine.isa) == (facts["precision"], facts["isa"])
        assert (engine.overlap, engine.exact_overlap) == (facts["overlap"], facts["exact_overlap"])
        assert engine.name == "sr-x2"
        assert lib.imagen_fast_metadata(engine.handle, b"task") == b"upscale"
        assert lib.imagen_fast_metadata(engine.handle, b"licence") is None


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    ("height", "width", "tile", "overlap"),
    [
        (115, 150, 112, None),  # odd; tiles in both directions
        (115, 150, 112, 0),
        (90, 70, 48, 16),
        (200, 33, 48, 5),  # bands that are shorter than both their ramps
        (1, 300, 96, None),  # one row
        (300, 1, 96, None),  # one column
        (31, 47, 0, None),  # one tile
        (1, 1, 0, None),
    ],
)
def test_pictures_come_out_as_in_python(
    height: int, width: int, tile: int, overlap: int | None, dtype: Any,
    lib: ctypes.CDLL, tiny_path: Path,
) -> None:  # fmt: skip
    image = noise(height, width, 3, dtype=dtype)
    own = {None: 0, 0: NONE}.get(overlap, overlap)
    with load(tiny_path, tile=tile, overlap=overlap) as twin:
        expected = twin(image)
    with Engine(lib, tiny_path, tile=tile, overlap=own) as engine:
        np.testing.assert_array_equal(engine(image), expected)


@pytest.mark.parametrize("tile", [0, 48])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_neutral_pixels_stay_neutral_as_in_python(
    dtype: Any, tile: int, lib: ctypes.CDLL, tiny_path: Path
) -> None:
    """Beside colour, at borders, in the picture's corners, and in a picture that is all grey."""
    image = np.repeat(noise(70, 90, 1, dtype=dtype), 3, axis=2)
    image[20:30, 40:55] = noise(10, 15, 3, dtype=dtype)
    image[:3, :4, 0] = image[60, 89, 1] = 0
    images = np.stack([image, image[..., :1].repeat(3, axis=2)])
    with load(tiny_path, precision="fp32", tile=tile) as twin:
        expected, untiled = np.stack([twin(image) for image in images]), twin.run(images)
    assert (np.ptp(expected, axis=3) == 0).mean() > 0.5
    with Engine(lib, tiny_path, precision="fp32", tile=tile) as engine:
        np.testing.assert_array_equal(engine(images), expected)
        np.testing.assert_array_equal(engine(images, untiled=True), untiled)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "path",
    [e.path for e in catalogue.shipped() if e.header.task.inputs],
    ids=lambda path: path.stem,
)
def test_shipped_models_come_out_as_in_python(path: Path, precision: str, lib: ctypes.CDLL) -> None:
    image = noise(70, 91, 3)
    image[15:60, 40:] = (250, 0, 9)  # flat, up to the border
    try:
        with load(path, precision=precision, tile=64, overlap=8) as twin:
            expected = twin(image)
    except BackendError as error:
        pytest.skip(str(error))
    with Engine(lib, path, precision=precision, tile=64, overlap=8) as engine:
        np.testing.assert_array_equal(engine(image), expected)


def test_every_instruction_set_as_in_python(lib: ctypes.CDLL, tiny_path: Path) -> None:
    image = noise(20, 30, 3)
    for isa in pytest.importorskip("imagen_fast._native").available("fp32"):
        with load(tiny_path, precision="fp32", isa=isa) as twin:
            expected = twin(image)
        with Engine(lib, tiny_path, precision="fp32", isa=isa) as engine:
            assert engine.isa == isa
            np.testing.assert_array_equal(engine(image), expected)


def test_tiles_are_chosen_by_the_memory(
    lib: ctypes.CDLL, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = noise(260, 200, 3)
    budget = 12 << 20
    monkeypatch.setattr(native.Native, "budget", budget)
    with load(tiny_path, precision="fp32") as twin:
        expected = twin(image)
    done: list[float] = []
    with Engine(lib, tiny_path, precision="fp32", memory=budget) as engine:
        np.testing.assert_array_equal(engine(image, progress=done.append), expected)
    assert len(done) > 1
    with (
        pytest.raises(Failed, match="an overlap of 100 needs tiles of"),
        Engine(lib, tiny_path, precision="fp32", memory=100_000, overlap=100),
    ):
        pass


def test_a_model_in_memory_is_the_file(lib: ctypes.CDLL, tiny_path: Path, engine: Engine) -> None:
    image = noise(20, 31, 3)
    data = tiny_path.read_bytes()
    with Engine(lib, data, precision="fp32") as other:
        np.testing.assert_array_equal(other(image), engine(image))
    # Of any alignment, and not needed afterwards.
    shifted = ctypes.create_string_buffer(b"x" + data, len(data) + 1)
    other = Engine.__new__(Engine)
    other.lib, other.handle = lib, ctypes.c_void_p()
    where = ctypes.addressof(shifted) + 1
    other.check(lib.imagen_fast_load_memory(where, len(data), None, ctypes.byref(other.handle)))
    before = other(image)
    ctypes.memset(shifted, 0xFF, len(data) + 1)
    np.testing.assert_array_equal(other(image), before)
    other.close()


@pytest.mark.parametrize("untiled", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_strides(dtype: Any, untiled: bool, engine: Engine) -> None:
    """RGBA, rows with gaps and from bottom to top, pictures apart; what lies between stays."""
    images = noise(2, 60, 70, 3, dtype=dtype)
    expected = engine(images, untiled=untiled)
    large_in, large_out = (
        np.full((3, s * 60 + 1, s * 70 + 2, 4), 1, dtype) for s in (1, engine.scale)
    )
    flipped = large_in[:2, :60, 1:71, :3][:, ::-1]
    flipped[:] = images
    target = large_out[:2, :120, 1:141, :3][:, ::-1]
    engine.run_into(flipped, target, untiled=untiled)
    np.testing.assert_array_equal(target, expected)
    target[:] = 1
    assert (large_out == 1).all()


def test_floats_and_bytes_agree(engine: Engine) -> None:
    image = noise(20, 20, 3)
    floats = (image / np.float32(255)).astype(np.float32)
    assert np.abs(engine(floats) * 255 - engine(image)).max() <= 0.51


def test_untiled_is_one_tile(lib: ctypes.CDLL, tiny_path: Path) -> None:
    batch = noise(3, 21, 30, 3)
    with load(tiny_path, precision="fp32") as twin:
        expected = twin.run(batch)
    with Engine(lib, tiny_path, precision="fp32", tile=112) as engine:
        np.testing.assert_array_equal(engine(batch, untiled=True), expected)
        np.testing.assert_array_equal(engine(batch), expected)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_models_of_other_channels(
    channels: int, lib: ctypes.CDLL, bundle_of: Callable[..., Bundle], tmp_path: Path
) -> None:
    bundle = bundle_of(ModelSpec(scale=2, levels=(Level(32, convs=1),), image_channels=channels))
    save_bundle(bundle, tmp_path / "m.safetensors")
    image = noise(1, 20, 30, channels)
    expected = native.Native(bundle, precision="fp32").run(image)
    with Engine(lib, tmp_path / "m.safetensors", precision="fp32") as engine:
        assert engine.channels == channels
        np.testing.assert_array_equal(engine(image), expected)


def test_progress_is_told_after_every_tile(engine: Engine) -> None:
    done: list[float] = []
    engine(noise(2, 150, 150, 3), progress=done.append)
    tiles = 2 * 2**2
    np.testing.assert_allclose(done, np.arange(1, tiles + 1) / tiles)


def test_a_callback_ends_a_run(engine: Engine) -> None:
    image, done = noise(150, 150, 3), []
    expected = engine(image)
    with pytest.raises(Failed, match="cancelled") as caught:
        engine(image, cancelled=lambda: len(done) >= 2, progress=done.append)
    assert caught.value.status == CANCELLED
    assert len(done) == 2
    np.testing.assert_array_equal(engine(image), expected)


@pytest.mark.parametrize("untiled", [False, True])
def test_another_thread_ends_a_run(untiled: bool, lib: ctypes.CDLL, tiny_path: Path) -> None:
    image = np.zeros((1, 1500, 1500, 3), np.uint8)  # for many seconds, on these kernels
    with Engine(lib, tiny_path, precision="fp32", isa="generic", tile=112) as engine:
        small = engine(image[:, :9, :9])
        lib.imagen_fast_cancel(engine.handle)  # nothing is running: nothing happens
        timer = threading.Timer(0.5, lib.imagen_fast_cancel, [engine.handle])
        timer.start()
        start = time.monotonic()
        with pytest.raises(Failed, match="cancelled"):
            engine(image, untiled=untiled)
        assert time.monotonic() - start < 5
        np.testing.assert_array_equal(engine(image[:, :9, :9]), small)


def test_threads_share_an_engine(engine: Engine) -> None:
    images = [noise(80 + i, 130 - i, 3, seed=i) for i in range(4)]
    expected = [engine(image) for image in images]
    found: list[np.ndarray | None] = [None] * 4

    def work(i: int) -> None:
        for _ in range(3):
            found[i] = engine(images[i])

    threads = [threading.Thread(target=work, args=[i]) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(result, right)


def test_what_is_not_finite_in_bf16_is_computed_in_fp32(
    lib: ctypes.CDLL, bundle_of: Callable[..., Bundle], tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    bundle = bundle_of(ModelSpec(scale=2, levels=(Level(32, convs=1), Level(64, convs=0))))
    # A channel whose value nothing depends on: the largest float, which is infinity in bf16.
    bundle.tensors["encoder.downs.0.conv.bias"][7] = np.finfo(np.float32).max
    for name, tensor in bundle.tensors.items():
        if name.endswith("weight") and tensor.shape[1] == 64:
            tensor[:, 7] = 0
    bundle.tensors["decoder.ups.0.conv.weight"][7] = 0
    save_bundle(bundle, path)
    image = noise(20, 30, 3)
    try:
        engine = Engine(lib, path, precision="bf16")
    except Failed as error:
        pytest.skip(str(error))
    with load(path, precision="bf16") as twin, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        expected = twin(image)
    assert [w.category for w in warned] == [PrecisionWarning]
    assert engine.reruns == 0
    np.testing.assert_array_equal(engine(image), expected)
    assert engine.reruns == 1
    engine.close()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_that_give_no_finite_picture(
    precision: str, lib: ctypes.CDLL, small_bundle: Bundle, tmp_path: Path
) -> None:
    tensors = {name: tensor.copy() for name, tensor in small_bundle.tensors.items()}
    tensors["encoder.stem.weight"][:] = 3e38
    save_bundle(Bundle(small_bundle.spec, tensors), tmp_path / "m.safetensors")
    try:
        engine = Engine(lib, tmp_path / "m.safetensors", precision=precision)
    except Failed as error:
        pytest.skip(str(error))
    with pytest.raises(Failed, match="infinities or NaN even in fp32") as caught:
        engine(noise(9, 9, 3))
    assert caught.value.status == NOT_FINITE
    engine.close()


def test_the_memory_that_a_run_takes(tiny_path: Path) -> None:
    """In a process of its own, whose growth is measured."""
    code = f"""
import sys, numpy as np
sys.path.insert(0, {str(Path(__file__).parent)!r})
from c_interface import Engine, library
def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
engine = Engine(library(), {str(tiny_path)!r}, precision="fp32", memory=100 << 20, threads=1)
image = np.random.default_rng(0).integers(0, 256, (1, 700, 900, 3), np.uint8)
out = np.ones((1, 1400, 1800, 3), np.uint8)
engine.run_into(image[:, :20, :20], out[:, :40, :40])
before = resident()
engine.run_into(image, out)
print(resident() - before, engine.memory(700, 900), engine.memory(20, 20))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    measured, estimate, small = map(int, done.stdout.split())
    assert 0.8 * estimate < measured < 1.1 * estimate
    assert small < estimate / 50


def test_when_memory_runs_out_the_engine_goes_on(tiny_path: Path) -> None:
    """In a process of its own, whose memory is limited."""
    code = f"""
import resource, sys, numpy as np
sys.path.insert(0, {str(Path(__file__).parent)!r})
from c_interface import NO_MEMORY, Engine, Failed, library
engine = Engine(library(), {str(tiny_path)!r}, precision="fp32", threads=2)
image = np.random.default_rng(0).integers(0, 256, (1, 4000, 4000, 3), np.uint8)
out = np.empty((1, 8000, 8000, 3), np.uint8)
small = engine(image[:, :20, :20])
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
try:
    engine.run_into(image, out, untiled=True)
except Failed as error:
    assert error.status == NO_MEMORY, error
    assert "choose a smaller tile" in str(error), error
    np.testing.assert_array_equal(engine(image[:, :20, :20]), small)
    print("good")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "good\n", done.stderr


def test_threads_that_cannot_be_started_are_an_error(tiny_path: Path) -> None:
    """For whose stacks there is no memory."""
    code = f"""
import resource, sys, numpy as np
sys.path.insert(0, {str(Path(__file__).parent)!r})
from c_interface import UNSUPPORTED, Engine, Failed, library
engine = Engine(library(), {str(tiny_path)!r}, precision="fp32", threads=1000)
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
for _ in range(2):
    try:
        engine(np.zeros((20, 20, 3), np.uint8))
    except Failed as error:
        assert error.status == UNSUPPORTED, error
        assert "choose fewer threads" in str(error), error
        print("good")
engine.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "good\ngood\n", done.stderr
