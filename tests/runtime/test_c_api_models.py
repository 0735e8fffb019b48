"""Models that are damaged, of another kind or newer: the C API refuses them with a clear message.

How it takes arguments that cannot be is in tests/native/api_arguments.cc, which runs under
sanitizers.
"""

import ctypes
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_interface import BAD_MODEL, INVALID, UNSUPPORTED, Engine, Failed, options
from safetensors.numpy import save_file

from imagen_fast import c_library
from imagen_fast.backends.native import Native
from imagen_fast.bundle import FORMAT, Bundle, describe, load_bundle, save_bundle
from imagen_fast.errors import WeightsError
from imagen_fast.graph import network
from imagen_fast.spec import preset

if missing := c_library.missing():
    pytest.skip(missing, allow_module_level=True)


def refusal(lib: ctypes.CDLL, model: Path | bytes) -> Failed:
    with pytest.raises(Failed) as caught, Engine(lib, model):
        pass
    return caught.value


def with_metadata(bundle: Bundle, path: Path, **changed: str) -> Path:
    metadata = {"format": FORMAT, **describe(bundle), **changed}
    save_file(bundle.tensors, path, metadata)
    return path


def cut_off(bundle: Bundle, path: Path) -> None:
    save_bundle(bundle, path)
    path.write_bytes(path.read_bytes()[:-100])


def longer(bundle: Bundle, path: Path) -> None:
    save_bundle(bundle, path)
    path.write_bytes(path.read_bytes() + b"\0" * 100)


def not_a_number(bundle: Bundle, path: Path) -> None:
    tensors = {name: tensor.copy() for name, tensor in bundle.tensors.items()}
    tensors["encoder.stem.bias"][3] = np.nan
    save_bundle(Bundle(bundle.spec, tensors), path)


def of_another_spec(bundle: Bundle, path: Path) -> None:
    save_bundle(Bundle(preset("tiny", scale=2), bundle.tensors), path)


def with_more(bundle: Bundle, path: Path) -> None:
    more = {"more": np.ones(3, np.float32)}
    save_bundle(Bundle(bundle.spec, {**bundle.tensors, **more}), path)


def huge_graph(bundle: Bundle, path: Path) -> None:
    graph = json.loads(bundle.graph.to_json())
    graph["operations"] *= 1000
    with_metadata(bundle, path, graph=json.dumps(graph))


def long_header(bundle: Bundle, path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 1 << 62) + b"{}")


def nested_header(bundle: Bundle, path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 200_000) + b"[" * 200_000)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda bundle, path: None, "cannot read the model: No such file"),
        (lambda bundle, path: path.mkdir(), "no regular file"),
        (lambda bundle, path: path.touch(), "not a safetensors file"),
        (lambda bundle, path: path.write_bytes(pickle.dumps([1] * 99)), "not a safetensors file"),
        (lambda bundle, path: path.write_bytes(b"PK\3\4" + bytes(99)), "not a safetensors file"),
        (lambda bundle, path: save_file(bundle.tensors, path), "not an imagen-fast model"),
        (
            lambda bundle, path: with_metadata(bundle, path, format="imagen-fast-3"),
            "format 'imagen-fast-3', and this version reads 'imagen-fast-2'; update imagen-fast",
        ),
        (lambda bundle, path: with_metadata(bundle, path, graph="[]"), "graph is not an object"),
        (cut_off, "ends beyond the file"),
        (longer, "do not end where the file ends"),
        (not_a_number, "'encoder.stem.bias' holds values that are not finite"),
        (of_another_spec, "do not fit its graph"),
        (with_more, "do not fit its graph"),
        (huge_graph, "operations and"),
        (long_header, "its header says 4611686018427387904 bytes"),
        (nested_header, "JSON"),
    ],
)
def test_models_that_are_refused(
    write: Callable[[Bundle, Path], Any], message: str, lib: ctypes.CDLL, small_bundle: Bundle,
    tmp_path: Path,
) -> None:  # fmt: skip
    path = tmp_path / "modèle.safetensors"
    write(small_bundle, path)
    error = refusal(lib, path)
    assert error.status == BAD_MODEL
    assert message in str(error)
    if path.is_file() and path.stat().st_size:
        assert message in str(refusal(lib, path.read_bytes()))


def test_the_message_names_the_file(lib: ctypes.CDLL, tmp_path: Path) -> None:
    assert str(tmp_path / "absent") in str(refusal(lib, tmp_path / "absent"))

    # The end of what is too long, in whole characters.
    message = str(refusal(lib, tmp_path / ("ü" * 5000)))
    assert message.startswith("...ü")
    assert message.endswith("ü: cannot read the model: File name too long")
    assert len(message.encode()) < 1024


def test_a_newer_model_is_said_to_be_newer_in_python_too(
    small_bundle: Bundle, tmp_path: Path
) -> None:
    path = with_metadata(small_bundle, tmp_path / "m.safetensors", format="imagen-fast-3")
    with pytest.raises(WeightsError, match="this version reads 'imagen-fast-2'; update"):
        load_bundle(path)


def test_a_listing_runs_by_its_names_and_is_not_for_pictures(
    lib: ctypes.CDLL, tmp_path: Path
) -> None:
    spec = preset("listing", scale=1)
    shapes, rng = network(spec).tensors, np.random.default_rng(1)
    bundle = Bundle(
        spec, {n: rng.standard_normal(x).astype(np.float32) / 8 for n, x in shapes.items()}
    )
    save_bundle(bundle, tmp_path / "m.safetensors")
    rows = np.random.default_rng(0).standard_normal((2, 1, 7, 64)).astype(np.float32)
    expected = Native(bundle, precision="fp32").run(rows)
    with Engine(lib, tmp_path / "m.safetensors", precision="fp32") as engine:
        assert (engine.scale, engine.channels) == (0, 0)
        np.testing.assert_array_equal(engine.run_graph({"rows": rows}, ["rows"])["rows"], expected)
        picture = np.zeros((1, 4, 4, 3), np.uint8)
        # Also where its scale and channels, 0, were taken for those of the result or of both.
        nothing, no_channels = picture[:, :0, :0], picture[..., :0]
        for given, out in ((picture, picture), (picture, nothing), (no_channels, no_channels)):
            for untiled in (False, True):
                with pytest.raises(Failed, match="no picture of a picture") as caught:
                    engine.run_into(given, out, untiled)
                assert caught.value.status == UNSUPPORTED
        with pytest.raises(Failed, match="no picture of a picture"):
            engine.memory(4, 4)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"device": "tpu"}, 'device is "tpu"; expected "cpu", "cuda" or "cuda:N"'),
        ({"device": "auto"}, 'device is "auto"; expected'),
        ({"device": "cuda:-1"}, 'device is "cuda:-1"; expected'),
        ({"device": f"cuda:{10**20}"}, "expected"),
        ({"tile": 7}, "a tile of 7 pixels is too small for this model; expected at least 16"),
        ({"overlap": 20_000}, "an overlap of 20000 needs tiles of 40016 pixels, and those chosen"),
        ({"threads": 2**31 - 1}, "threads is 2147483647; expected 1 to 1024"),
    ],
)
def test_arguments_that_cannot_be(
    how: dict[str, Any], message: str, lib: ctypes.CDLL, tiny_path: Path
) -> None:
    with pytest.raises(Failed) as caught:
        Engine(lib, tiny_path, **how)
    assert caught.value.status == INVALID
    assert message in str(caught.value)


def test_a_count_of_cores_that_cannot_be(lib: ctypes.CDLL, tiny_path: Path) -> None:
    wanted = options(cores=[0])
    wanted.core_count = 2**63
    handle = ctypes.c_void_p()
    status = lib.imagen_fast_load(bytes(tiny_path), ctypes.byref(wanted), ctypes.byref(handle))
    assert (status, handle.value) == (INVALID, None)
    assert b"core_count is 9223372036854775808; expected at most" in lib.imagen_fast_last_error()


def test_an_output_of_another_type(lib: ctypes.CDLL, tiny_path: Path) -> None:
    with Engine(lib, tiny_path) as engine, pytest.raises(Failed) as caught:
        engine.run_into(np.zeros((1, 4, 5, 3), np.uint8), np.zeros((1, 8, 10, 3), np.float32))
    assert caught.value.status == INVALID
    expected = "the output's type is IMAGEN_FAST_FLOAT32; expected the input's, IMAGEN_FAST_UINT8"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html>", "a web page, which a server sent"),
        (b"\xef\xbb\xbf\n <?xml version='1.0'?><Error>", "a web page"),
    ],
)
def test_what_a_download_left_in_place_of_a_model(
    content: bytes, said: str, lib: ctypes.CDLL, tmp_path: Path
) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    for model in (content, tmp_path / "m.safetensors"):
        error = refusal(lib, model)
        assert error.status == BAD_MODEL
        assert f"not a safetensors file: it is {said}" in str(error)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            {"isa": "mmx"},
            "no instruction set 'mmx'; expected one of amx, avx512_bf16, avx512, avx2, generic",
        ),
        ({"isa": "amx"}, "instruction set 'amx' computes in bf16, not in fp32"),
        ({"cores": [100_000]}, "cannot be bound to core 100000"),
    ],
)
def test_what_this_machine_cannot(
    how: dict[str, Any], message: str, lib: ctypes.CDLL, tiny_path: Path
) -> None:
    with pytest.raises(Failed) as caught:
        Engine(lib, tiny_path, precision="fp32", **how)
    assert caught.value.status == UNSUPPORTED
    assert message in str(caught.value)
