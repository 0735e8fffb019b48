"""`imagen-fast features`: arrays by the pictures' names, or nothing."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from imagen_fast import load
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.image.read import read
from imagen_fast.spec import Level, ModelSpec

pytest.importorskip("imagen_fast._native", reason="the extension is not built")


@pytest.fixture
def features(command, tiny_path, tmp_path, monkeypatch):
    """`imagen-fast features` of a small model with two levels, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: command("features", "-n", tiny_path, "--threads", 1, *arguments)


def test_maps_of_a_tree_of_pictures(features, picture, tiny_path, tmp_path, files):
    one, other = picture(tmp_path / "in/a.png"), picture(tmp_path / "in/below/a.png", seed=1)
    result = features("in", "-r", "-o", "a.npz")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("a.npz: 2 pictures, ")
    arrays = dict(np.load(tmp_path / "a.npz", allow_pickle=False))
    names = ["a.png/features.0", "a.png/features.1"]
    assert list(arrays) == [*names, *(f"below/{name}" for name in names)]
    with load(tiny_path, threads=1) as engine:
        for key, path in (("a.png", one), ("below/a.png", other)):
            for level, expected in enumerate(engine.features(read(path))):
                found = arrays[f"{key}/features.{level}"]
                assert found.dtype == np.float32
                np.testing.assert_array_equal(found, expected)
    assert features("in/a.png", "-o", "a.safetensors", "--level", 1, "-q").stdout == ""
    (stored,) = load_file(tmp_path / "a.safetensors").items()
    assert stored[0] == "a.png/features.1"
    np.testing.assert_array_equal(stored[1], arrays["a.png/features.1"])
    assert files(tmp_path) == ["a.npz", "a.safetensors", "in/a.png", "in/below/a.png"]


def test_pooled_are_means_and_deviations(features, picture, tiny_path, tmp_path):
    path = picture(tmp_path / "a.png")
    assert features(path, "-o", "a.npz", "--pool").exit_code == 0
    (pooled,) = np.load(tmp_path / "a.npz").values()
    with load(tiny_path, threads=1) as engine:
        maps = [x.reshape(-1, 32).astype(np.float64) for x in engine.features(read(path))]
    expected = np.concatenate([part for x in maps for part in (x.mean(0), x.std(0))])
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("no.png", "-o", "b.npz"), 1, "no.png: there is no such file"),
        (("bad.png", "-o", "b.npz"), 1, "no picture could be read, so nothing was written"),
        (("a.png", "-o", "there.npz"), 1, "there.npz exists; name another, or replace"),
        (("a.png", "-o", "b.txt"), 2, "b.txt: expected a name that ends in .npz or .safetensors"),
        (("a.png", "-o", "no/b.npz"), 1, "the folder no does not exist"),
        (("a.png", "in/a.png", "-o", "b.npz"), 1, "would both be called 'a.png'"),
        (("a.png", "-o", "b.npz", "--level", "2"), 1, "no output 'features.2'; it has picture"),
        (("a.png", "-o", "b.npz", "-n", "flat.safetensors"), 1, "'flat' has no features"),
        (("a.png",), 2, "Missing option '-o'"),
    ],
)
def test_errors_leave_nothing(features, picture, tmp_path, files, arguments, code, message):
    picture(tmp_path / "a.png")
    picture(tmp_path / "in/a.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    (tmp_path / "there.npz").write_bytes(b"mine")
    flat = ModelSpec("plain", 2, (Level(32, depth=1, convs=1),))
    save_bundle(Bundle(flat, _random(flat)), tmp_path / "flat.safetensors")
    before = files(tmp_path)
    result = features(*arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert files(tmp_path) == before
    assert (tmp_path / "there.npz").read_bytes() == b"mine"


@pytest.mark.parametrize("file", ["b.npz", "b.safetensors"])
def test_one_bad_picture_does_not_stop_the_others(features, picture, tmp_path, file):
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/c.png")
    (tmp_path / "in/b.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    result = features("in", "no.png", "-o", file, "--pool")
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in errors] == ["no.png", "in/b.png"]
    assert result.stdout.startswith(f"{file}: 2 pictures, ")
    read = np.load if file.endswith(".npz") else load_file
    assert sorted(read(tmp_path / file)) == ["a.png/pooled", "c.png/pooled"]


def _random(spec):
    from imagen_fast.graph import network

    rng = np.random.default_rng(0)
    shapes = network(spec).tensors.items()
    return {name: 0.1 * rng.standard_normal(shape, np.float32) for name, shape in shapes}
