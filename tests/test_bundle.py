"""Bundles: what is written comes back; whatever else is read is refused in one way."""

import json
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from imagen_fast.bundle import FORMAT, Bundle, load_bundle, read_header, save_bundle
from imagen_fast.errors import SpecError, WeightsError
from imagen_fast.graph import network
from imagen_fast.spec import Level, ModelSpec, preset

SPEC = ModelSpec(scale=2, levels=(Level(32, convs=1),))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file with the right container and spec; its tensors fit no network."""
    path = tmp_path_factory.mktemp("bundle") / "model.safetensors"
    tensors = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.ones((2, 2), np.float16).T,
    }
    save_bundle(Bundle(SPEC, tensors, {"name": "sr-x2", "training": "{}"}), path)
    return path


def test_round_trip(path: Path) -> None:
    bundle = load_bundle(path)
    assert bundle.spec == SPEC
    assert bundle.metadata["name"] == "sr-x2"
    assert bundle.metadata["format"] == FORMAT
    assert {name: t.dtype.name for name, t in bundle.tensors.items()} == {
        "a": "float32",
        "b": "float16",
    }
    np.testing.assert_array_equal(bundle.tensors["a"], [[0, 1, 2], [3, 4, 5]])
    header = read_header(path)
    assert (header.source, header.tensors, header.metadata) == (SPEC, {}, bundle.metadata)
    assert (bundle.alignment, bundle.exact_overlap) == (8, 20)
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # no temporary file is left


def test_a_transposed_tensor_is_saved_as_it_reads(tmp_path: Path) -> None:
    tensor = np.arange(6, dtype=np.float32).reshape(2, 3).T
    save_bundle(Bundle(SPEC, {"t": tensor}), tmp_path / "t.safetensors")
    np.testing.assert_array_equal(load_bundle(tmp_path / "t.safetensors").tensors["t"], tensor)


def test_a_failed_save_keeps_the_old_file(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "model.safetensors"
    target.write_bytes(path.read_bytes())
    with pytest.raises(WeightsError, match="float64"):
        save_bundle(Bundle(SPEC, {"a": np.zeros(1)}), target)
    with pytest.raises(WeightsError, match="cannot write"):
        save_bundle(load_bundle(path), tmp_path / "no such folder" / "model.safetensors")
    assert target.read_bytes() == path.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("name", ["model.pt", "model.PTH", "model.ckpt", "disguised.safetensors"])
def test_pickles_are_refused_unopened(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch")

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "sprung",)

    path = tmp_path / name
    torch.save({"weights": Trap()}, path)
    with pytest.raises(WeightsError, match=r"pickled checkpoint.*expected a .safetensors"):
        load_bundle(path)
    assert not (tmp_path / "sprung").exists()


def test_things_that_are_no_bundle(tmp_path: Path, path: Path) -> None:
    def refused(target: Path, message: str) -> None:
        for read in (load_bundle, read_header):
            with pytest.raises(WeightsError, match=message) as error:
                read(target)
            assert str(error.value).startswith(str(target))

    refused(tmp_path / "missing.safetensors", "No such file")
    refused(tmp_path, "Is a directory")
    refused(tmp_path / ("x" * 300), "File name too long")
    refused(Path("nul\0byte"), "not a file name")
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"")
    refused(other, "not a safetensors file")
    other.write_text("a text file that someone renamed")
    refused(other, "not a safetensors file")
    save_file({"a": np.zeros(1, np.float32)}, other)
    refused(other, "not an imagen-fast model")
    save_file({"a": np.zeros(1, np.float32)}, other, {"format": FORMAT, "graph": "{}"})
    refused(other, "expected exactly the keys")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    refused(loop, "symbolic links")


def test_tensors_that_cannot_be_weights(tmp_path: Path) -> None:
    target = tmp_path / "model.safetensors"
    metadata = {"format": FORMAT, "graph": network(SPEC).to_json()}
    for tensor, message in [
        (np.array([1.0, np.nan], np.float32), "'w' holds values that are not finite"),
        (np.array([np.inf], np.float16), "'w' holds values that are not finite"),
        (np.zeros(1, np.float64), "'w' is F64; expected one of F32, F16"),
        (np.zeros(1, np.int32), "'w' is I32"),
    ]:
        save_file({"w": tensor}, target, metadata)
        with pytest.raises(WeightsError, match=message):
            load_bundle(target)
        read_header(target)  # looks at no tensor
    header = {"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}
    _write(target, {**header, "__metadata__": metadata}, bytes(2))
    with pytest.raises(WeightsError, match="'w' is BF16"):
        load_bundle(target)


def _write(path: Path, header: object, data: bytes) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


fuzz = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@fuzz
@given(st.data())
def test_damaged_files_are_refused(
    path: Path, tmp_path: Path, build: Callable[[Bundle], Any], data: st.DataObject
) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        content[bit // 8] ^= 1 << bit % 8
    target = tmp_path / "damaged.safetensors"
    target.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with pytest.raises(WeightsError) as error:  # undamaged too: no network has its tensors
        build(load_bundle(target))
    assert len(str(error.value)) < 1000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@fuzz
@given(json_values | st.dictionaries(st.sampled_from(["w", "__metadata__", "b"]), json_values))
@example({"__metadata__": {"format": FORMAT, "graph": "[" * 100_000}})
@example({"__metadata__": {"format": FORMAT, "graph": "9" * 10_000}})
def test_hostile_headers(tmp_path: Path, header: object) -> None:
    _write(tmp_path / "hostile.safetensors", header, b"\0" * 16)
    with pytest.raises(WeightsError):
        load_bundle(tmp_path / "hostile.safetensors")


def test_a_header_of_a_petabyte(tmp_path: Path) -> None:
    (tmp_path / "h").write_bytes(struct.pack("<Q", 1 << 50) + b"{}")
    with pytest.raises(WeightsError):
        load_bundle(tmp_path / "h")


HUGE = ModelSpec(levels=(Level(4096, depth=64, convs=64),) * 8)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (HUGE, "expected 4096 at most"),
        (ModelSpec(levels=(Level(4096, convs=1),), window=64), "do not fit its graph"),
        (preset("tiny", 4), "do not fit its graph"),
    ],
)
def test_a_spec_that_promises_too_much_allocates_nothing(
    spec: ModelSpec, message: str, small_bundle: Bundle, build: Callable[[Bundle], Any]
) -> None:
    # Allowed is half of what one of the second network's tensors takes.
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), hard))
    try:
        with pytest.raises((WeightsError, SpecError), match=message):
            build(Bundle(spec, small_bundle.tensors))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_build_names_the_first_tensors_that_do_not_fit(
    small_bundle: Bundle, build: Callable[[Bundle], Any]
) -> None:
    tensors = dict(small_bundle.tensors)
    tensors["encoder.stem.bias"] = np.zeros(7, np.float32)
    tensors["another"] = np.zeros(7, np.float32)
    del tensors["heads.0.conv.weight"]
    message = (
        r"another is \(7,\), expected no such tensor; encoder.stem.bias is \(7,\), expected "
        r"\(32,\); heads.0.conv.weight is missing, expected \(12, 32, 3, 3\)$"
    )
    with pytest.raises(WeightsError, match=message):
        build(Bundle(small_bundle.spec, tensors))


def test_build_gives_the_weights_back(small_bundle: Bundle, build: Callable[[Bundle], Any]) -> None:
    half = {name: t.astype(np.float16) for name, t in small_bundle.tensors.items()}
    network = build(Bundle(small_bundle.spec, half))
    assert not network.training
    for name, value in network.state_dict().items():
        assert str(value.dtype) == "torch.float32"
        assert not value.requires_grad
        np.testing.assert_array_equal(value.numpy(), half[name].astype(np.float32))
