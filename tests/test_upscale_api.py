"""`imagen_fast.upscale`: the kind of picture that goes in comes out."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import imagen_fast
from imagen_fast import BackendError, ImageError, TilingError, WeightsError, upscale
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.catalogue import for_task, resolve, shipped
from imagen_fast.image.read import read
from imagen_fast.task import UPSCALE


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "ein Foto, größer.png"
    Image.fromarray(rng.integers(0, 256, (12, 17, 3), np.uint8)).save(path, dpi=(300, 300))
    return path


def test_paths_become_files(photo: Path, tmp_path: Path) -> None:
    written = upscale(photo, 2, backend="fake")
    assert written == tmp_path / "ein Foto, größer_x2.png"
    with Image.open(photo) as before, Image.open(written) as after:
        expected = np.asarray(before).repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(np.asarray(after), expected)
        assert after.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    named = upscale(str(photo), 4, output=str(tmp_path / "out.tif"), backend="fake")
    assert named == tmp_path / "out.tif"
    with Image.open(named) as image:
        assert image.size == (68, 48)


@pytest.mark.parametrize("output", [None, "own.png"])
def test_a_file_that_exists_is_replaced_only_if_asked(
    photo: Path, tmp_path: Path, output: str | None
) -> None:
    target = tmp_path / (output or "ein Foto, größer_x2.png")
    target.write_bytes(b"precious")
    place = None if output is None else target
    with pytest.raises(ImageError, match="exists; pass overwrite=True"):
        upscale(photo, 2, output=place, backend="fake")
    assert target.read_bytes() == b"precious"
    assert upscale(photo, 2, output=place, overwrite=True, backend="fake") == target
    with Image.open(target) as image:
        assert image.size == (34, 24)


def test_quality_and_the_limit_of_pixels_are_for_files(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"17 × 12 are 204 pixels.*\(max_pixels\)"):
        upscale(photo, 2, max_pixels=203, backend="fake")
    assert upscale(photo, 2, max_pixels=204, backend="fake").exists()
    sizes = [
        upscale(photo, 2, output=tmp_path / f"{q}.jpg", quality=q, backend="fake").stat().st_size
        for q in (20, 95)
    ]
    assert sizes[0] < sizes[1] / 2
    with pytest.raises(ImageError, match="quality is 0; expected an int from 1 to 100"):
        upscale(photo, 2, output=tmp_path / "0.jpg", quality=0, backend="fake")
    for options in ({"overwrite": True}, {"quality": 90}, {"max_pixels": 10}):
        with pytest.raises(ImageError, match="for paths only"):
            upscale(np.zeros((2, 2), np.uint8), 2, backend="fake", **options)


@pytest.mark.parametrize("options", [{}, {"output": "a.png"}], ids=["alone", "output"])
def test_bytes_and_open_files_are_told_what_to_be(photo: Path, options: Any) -> None:
    for data in (b"photo.jpg", bytearray(photo.read_bytes())):
        with pytest.raises(ImageError, match=r"neither a path nor an array.*BytesIO\(data\)"):
            upscale(data, 2, backend="fake", **options)  # type: ignore[call-overload]
    with photo.open("rb") as file, pytest.raises(ImageError, match="is an open file"):
        upscale(file, 2, backend="fake", **options)  # type: ignore[call-overload]


def test_a_folder_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (".", "..", "/", tmp_path):
        with pytest.raises(ImageError, match="it is a folder, expected a picture file"):
            upscale(folder, 2, backend="fake")
    with pytest.raises(ImageError, match="path of the picture is empty"):
        upscale("", 2, backend="fake")


def test_the_scale_is_an_int(photo: Path) -> None:
    for scale in ("4", 2.0, None):
        with pytest.raises(WeightsError, match=f"scale is {scale!r}; expected an int"):
            upscale(photo, scale, backend="fake")  # type: ignore[call-overload]
    assert upscale(photo, np.int64(2), backend="fake").name.endswith("_x2.png")


def test_images_and_arrays_stay_what_they_are(photo: Path) -> None:
    with Image.open(photo) as image:
        large = upscale(image, 2, backend="fake")
        array = upscale(np.asarray(image), 2, backend="fake")
    assert isinstance(large, Image.Image)
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(np.asarray(large), array)


def test_a_model_file_of_ones_own(photo: Path, tiny_path: Path) -> None:
    assert upscale(photo, 2, model=tiny_path, backend="fake").exists()
    with pytest.raises(WeightsError, match="enlarges 2 times, not 4; pass scale=2"):
        upscale(photo, model=tiny_path)


def test_the_input_is_never_overwritten(photo: Path, tmp_path: Path) -> None:
    before = photo.read_bytes()
    (tmp_path / "link.png").symlink_to(photo)
    for output in (photo, tmp_path / "link.png", tmp_path / "." / photo.name):
        with pytest.raises(ImageError, match="the output is an input"):
            upscale(photo, 2, output=output, backend="fake")
    assert photo.read_bytes() == before


def test_what_cannot_work_leaves_no_file(photo: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:80])
    for arguments, options, kind, message in [
        ((broken,), {}, ImageError, str(broken.name)),
        ((tmp_path / "missing.png",), {}, ImageError, "missing.png"),
        ((photo,), {"output": tmp_path / "x.docx"}, ImageError, "docx"),
        ((photo,), {"tile": -5}, TilingError, "tile is -5"),
        ((photo, 7), {}, WeightsError, "no model enlarges 7 times.*: 2, 3, 4"),
        ((photo,), {"model": "sr-x8"}, WeightsError, "no model 'sr-x8'"),
        ((np.zeros((2, 2), np.uint8),), {"output": "x.png"}, ImageError, "for paths only"),
    ]:
        with pytest.raises(kind, match=message):
            upscale(*arguments, **{"backend": "fake", **options})
    assert set(tmp_path.iterdir()) - before == {broken}


def test_options_reach_the_engine(photo: Path) -> None:
    with pytest.raises(imagen_fast.BackendError, match="choose auto or one of"):
        upscale(photo, backend="none")
    with pytest.raises(TypeError, match="titles"):
        upscale(photo, titles=3)  # type: ignore[call-overload]


def test_shipped_models_resolve() -> None:
    entries = shipped()
    assert {("sr-x2", "tiny", 2), ("sr-x4", "tiny", 4)} <= {
        (e.name, e.size, e.header.graph.scale) for e in entries
    }
    for entry in entries:
        assert resolve(f"{entry.name}-{entry.size}") == entry.path
        assert entry.metadata["license"] == "Apache-2.0"
        if not (entry.real or entry.sharp):
            assert for_task(entry.header.task, entry.header.graph.scale) == entry.path
    assert resolve("sr-x4").stem == "sr-x4-tiny"


def test_the_smallest_size_is_the_default(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in ("base", "small", "own"):
        save_bundle(tiny_bundle, tmp_path / f"sr-x2-{size}.safetensors")
    monkeypatch.setattr("imagen_fast.catalogue.FOLDER", tmp_path)
    assert resolve("sr-x2").stem == "sr-x2-small"
    assert [e.size for e in shipped()] == ["small", "base", "own"]
    assert resolve("sr-x2-own").stem == "sr-x2-own"
    with pytest.raises(WeightsError, match="scales with a shipped model: 2"):
        for_task(UPSCALE, 4)


@pytest.mark.parametrize("how", ["closed", "closed early", "file closed", "cut short"])
def test_pillow_images_that_cannot_be_read(photo: Path, how: str) -> None:
    if how == "cut short":
        photo.write_bytes(photo.read_bytes()[:-300])
    with photo.open("rb") as file:
        image = Image.open(file if how == "file closed" else photo)
    if how == "closed":
        image.load()
    if how.startswith("closed"):
        image.close()
    with pytest.raises(ImageError, match=r"the Pillow image cannot be read \(.*open its file anew"):
        upscale(image, 2, backend="fake")
    if how == "cut short":
        with pytest.raises(ImageError, match=str(photo)):
            upscale(image, 2, backend="fake")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"device": None}, BackendError, "device None; expected auto, cpu, cuda or cuda:N"),
        ({"device": 0}, BackendError, "device 0; expected"),
        ({"device": "cuda:٣"}, BackendError, "expected auto, cpu, cuda or cuda:N"),
        ({"backend": None}, BackendError, "no backend None; choose"),
        ({"backend": ["native"]}, BackendError, "no backend"),
        ({"precision": None}, BackendError, "precision None; expected one of"),
        ({"isa": None}, BackendError, "no instruction set None; expected one of amx"),
        ({"isa": "neon"}, BackendError, "no instruction set 'neon'; expected one of amx"),
        ({"threads": 3_000_000_000}, BackendError, "threads is 3000000000; .* from 1 to 1024"),
        ({"threads": 2.0}, BackendError, "threads is 2.0; expected an integer from 1 to 1024"),
        ({"threads": True}, BackendError, "threads is True; expected an integer"),
        ({"tile": None}, TilingError, "tile is None; expected an int"),
        ({"tile": -(10**30)}, TilingError, "tile is -1000"),
        ({"overlap": 10**30, "tile": 64}, TilingError, "an overlap of at most"),
        ({"model": 7}, WeightsError, "the model is 7; expected a shipped model's name or a path"),
        ({"output": 7}, ImageError, "output is 7; expected the path of a file"),
        ({"quality": "high"}, ImageError, "quality is 'high'; expected an int from 1 to 100"),
        ({"max_pixels": None}, ImageError, "max_pixels is None; expected an int from 1"),
    ],
)
def test_arguments_of_a_wrong_kind(
    photo: Path, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    """Also where the result exists, which is said of calls that are right otherwise."""
    photo.with_name("ein Foto, größer_x2.png").write_bytes(b"old")
    with pytest.raises(error, match=said):
        upscale(photo, 2, **options)


def test_integers_of_numpy_are_integers(photo: Path) -> None:
    with imagen_fast.load(
        "sr-x2", backend="fake", threads=np.int64(1), tile=np.int32(64)
    ) as engine:
        assert engine(np.zeros((4, 4), np.uint8)).shape == (8, 8)


def test_an_engine_that_is_sent_elsewhere_says_what_to_do() -> None:
    with imagen_fast.load("sr-x2", backend="fake") as engine:
        for send in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="load one in each"):
                send(engine)


class Sliced(np.ndarray):
    """As a matrix, whose shape has two numbers whatever is asked for."""

    def reshape(self, *shape: Any, **how: Any) -> Any:
        return self


def test_arrays_of_other_classes_are_arrays() -> None:
    plain = np.arange(20, dtype=np.uint8).reshape(4, 5)
    with imagen_fast.load("sr-x2", backend="fake") as engine:
        for given in (plain.view(Sliced), np.ma.masked_array(plain, plain > 9)):
            large = engine(given)
            assert type(large) is np.ndarray
            np.testing.assert_array_equal(large, engine(plain))


def test_names_that_no_file_can_have(photo: Path) -> None:
    for name, output in (("a\0.png", None), (photo, "b\0.png")):
        with pytest.raises(ImageError, match="NUL"):
            upscale(name, 2, output=output)
    with pytest.raises(ImageError, match="cannot be opened"):
        read("a\0.png")


def test_what_is_no_array_is_refused_by_name() -> None:
    with imagen_fast.load("sr-x2", backend="fake") as engine:
        with pytest.raises(BackendError, match="tiles are a list; expected a NumPy array"):
            engine.run([[1]])
        with pytest.raises(ImageError, match="cannot stream a ndarray; expected a Picture"):
            engine.stream(np.zeros((4, 4), np.uint8))


def test_the_native_engine_knows_the_instruction_sets_that_are_checked() -> None:
    from imagen_fast._native import Engine
    from imagen_fast.backends.options import INSTRUCTION_SETS
    from imagen_fast.graph import network

    graph = network(imagen_fast.preset("tiny", 2)).to_json()
    known = ", ".join(INSTRUCTION_SETS)
    with pytest.raises(BackendError, match=f"no instruction set 'neon'; expected one of {known}"):
        Engine(graph, {}, isa="neon")
    for isa, precisions in INSTRUCTION_SETS.items():
        for precision in {"fp32", "bf16"} - set(precisions):
            said = f"'{isa}' computes in {' or '.join(precisions)}, not in {precision}"
            with pytest.raises(BackendError, match=said):
                Engine(graph, {}, isa=isa, precision=precision)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("IMAGEN_FAST_SPIN_US", value) for value in ("3000000000", "-1", "soon", "9" * 5000)),
        *(("IMAGEN_FAST_CORES", value) for value in ("0,3000000000", "0,", "all")),
    ],
)
def test_numbers_in_the_environment_are_checked(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BackendError, match=f"{name} holds .*; expected integers from 0 to"):
        imagen_fast.load("sr-x2", backend="native")
