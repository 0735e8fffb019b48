"""A seed is its pictures, of any size, without seams, on every backend."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import imagen_fast
from imagen_fast.bundle import Bundle, load_bundle, save_bundle
from imagen_fast.errors import ImageError, WeightsError
from imagen_fast.graph import network
from imagen_fast.graph.passes import needed
from imagen_fast.spec import Level, ModelSpec
from imagen_fast.tasks.generate import Generator, between

SPEC = ModelSpec(
    scale=2,
    levels=(Level(16, convs=1), Level(16, convs=1)),
    head_dim=8,
    window=4,
    latent_channels=6,
)
PLACE = 4  # pixels of a place of the latent


def model(folder, **said):
    """A generator with random weights, whose pictures are neither black nor white."""
    graph = needed(network(SPEC), ["sample", "sample.1"])
    random = np.random.default_rng(0)
    tensors = {}
    for name, shape in graph.tensors.items():
        fan = max(1, int(np.prod(shape[1:])))
        tensors[name] = random.standard_normal(shape, np.float32) / np.float32(np.sqrt(fan))
        if name.startswith("heads") and name.endswith("bias"):
            tensors[name] = np.full(shape, 0.5, np.float32)
        elif name.startswith("heads"):
            tensors[name] *= 0.1
    metadata = {
        "task": "generate",
        "name": "made",
        "generation": json.dumps({"shared": 2, "margin": 1, "side": 32, **said}),
    }
    path = folder / "made.safetensors"
    save_bundle(Bundle(graph, tensors, metadata), path)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return model(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def generator(made):
    with Generator(made, backend="native", precision="fp32") as loaded:
        yield loaded


def test_a_seed_is_its_pictures_however_many(made):
    three = imagen_fast.generate(3, 7, model=made, backend="native")
    assert three.shape == (3, 32, 32, 3)
    assert three.dtype == np.uint8
    assert three.std() > 10
    np.testing.assert_array_equal(imagen_fast.generate(1, 7, model=made)[0], three[0])
    assert (three[0] != three[1]).any()
    largest = 2**64 - 1
    for other in (8, largest - 1, largest):
        assert (imagen_fast.generate(1, other, model=made)[0] != three[0]).any()
    one, two = (imagen_fast.generate(1, s, model=made) for s in (largest - 1, largest))
    assert (one != two).any()


def test_a_latent_is_what_the_module_says(generator):
    first, second = generator.latents(2, 5, truncation=0.5)
    random = np.random.Generator(np.random.Philox(key=[5, 1]))
    shared = random.standard_normal(2, np.float32)
    others = random.standard_normal((10, 10, 4), np.float32)
    finest = random.standard_normal((20, 20, 14), np.float32)
    coarser = random.standard_normal((10, 10, 14), np.float32)
    for name, local in {"latent": others, "latent.0": finest, "latent.1": coarser}.items():
        all_over = np.broadcast_to(shared / 2, (*local.shape[:2], 2))
        np.testing.assert_array_equal(second[name][..., :2], all_over)
        np.testing.assert_array_equal(second[name][..., 2:], local / 2)
    assert first["latent"].shape == (10, 10, 6)


def test_pictures_are_of_the_codes_that_the_file_has(tmp_path):
    codes = [[0.5, -1.0], [2.0, 0.25], [-1.5, 1.0]]
    with Generator(model(tmp_path, codes=codes), backend="native") as learnt:
        latents = [x["latent"] for x in learnt.latents(40, 3)]
        finest = [x["latent.0"] for x in learnt.latents(40, 3)]
    shared = [tuple(x[0, 0, :2].tolist()) for x in latents]
    assert {*shared} == {*map(tuple, codes)}
    for x, y in zip(latents, finest, strict=True):
        assert (x[..., :2] == x[0, 0, :2]).all()
        assert (y[..., :2] == x[0, 0, :2]).all()
    random = np.random.Generator(np.random.Philox(key=[3, 1]))
    assert shared[1] == tuple(codes[random.integers(3)])
    np.testing.assert_array_equal(
        latents[1][..., 2:], random.standard_normal((10, 10, 4), np.float32)
    )


@pytest.mark.parametrize("other", ["onnxruntime", "eager"])
def test_backends_agree(made, generator, other):
    if other == "onnxruntime":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    else:
        pytest.importorskip("torch")
    size = (40, 52)
    with Generator(made, backend=other, precision="fp32") as reference:
        for latent in generator.latents(2, 3, size):
            ours, theirs = generator.pyramid(latent, size), reference.pyramid(latent, size)
            assert [x.shape for x in ours] == [(40, 52, 3), (20, 26, 3)]
            for a, b in zip(ours, theirs, strict=True):
                assert np.abs(a.astype(int) - b).max() <= 2


def test_an_exported_file_makes_the_same_pictures(made, tmp_path):
    pytest.importorskip("onnx")
    from imagen_fast.export.onnx import export
    from imagen_fast.export.options import ExportOptions

    path = tmp_path / "made.onnx"
    path.write_bytes(export(load_bundle(made), ExportOptions(outputs=("sample", "sample.1"))))
    np.testing.assert_array_equal(
        imagen_fast.generate(2, 7, model=path, backend="native"),
        imagen_fast.generate(2, 7, model=made, backend="native"),
    )


def test_a_seamless_picture_is_one_of_endless_copies(generator):
    (latent,) = generator.latents(1, 1, (32, 32))
    once = generator.picture(latent, (32, 32), seamless=True)
    twice = {}
    for name, factor in (("latent", 1), ("latent.0", 2), ("latent.1", 1)):
        inner = latent[name][factor : 9 * factor, factor : 9 * factor]
        edge = (factor, factor)
        twice[name] = np.pad(np.tile(inner, (2, 2, 1)), (edge, edge, (0, 0)))
    copies = generator.picture(twice, (64, 64), seamless=True)
    np.testing.assert_array_equal(copies, np.tile(once, (2, 2, 1)))
    plain = generator.picture(latent, (32, 32))
    assert (plain[16:, 16:] != once[16:, 16:]).any()  # which has something else at its edges


def test_any_size_can_be_had_and_only_some_without_a_seam(generator):
    (latent,) = generator.latents(1, 1, (9, 70))
    assert generator.picture(latent, (9, 70)).shape == (9, 70, 3)
    step = generator._period * PLACE
    with pytest.raises(ImageError, match=f"multiples of {step}: {2 * step} wide and {step} high"):
        generator.picture(latent, (step - 1, 2 * step + 1), seamless=True)


def test_pictures_with_edges_have_one_size(tmp_path):
    with Generator(model(tmp_path, margin=0)) as whole:
        assert next(iter(whole.latents(1, 0)))["latent"].shape == (8, 8, 6)
        with pytest.raises(ImageError, match="32 × 32 alone"):
            whole.latents(1, 0, (64, 32))
        (latent,) = whole.latents(1, 0)
        with pytest.raises(ImageError, match="none is seamless"):
            whole.picture(latent, None, seamless=True)


def test_no_truncation_left_is_the_mean_picture(made):
    none = imagen_fast.generate(2, 3, model=made, truncation=0.0)
    np.testing.assert_array_equal(none[0], none[1])


def test_the_way_between_latents_starts_at_one_and_keeps_their_length(generator):
    start, end = generator.latents(2, 0)
    way = list(between(start, end, 4))
    for name in start:
        np.testing.assert_array_equal(way[0][name], start[name])
    lengths = [float(np.linalg.norm(x["latent"][..., 2:])) for x in (*way, end)]
    assert max(lengths) < 1.1 * min(lengths)


@pytest.mark.parametrize(
    ("count", "seed", "truncation"), [(0, 0, 1), (1, -1, 1), (1, 0, -0.1), (2.5, 0, 1)]
)
def test_what_is_out_of_range_is_refused(generator, count, seed, truncation):
    with pytest.raises(ImageError, match="expected"):
        generator.latents(count, seed, truncation=truncation)


@pytest.mark.parametrize("size", [50, (50,), (50, 50, 3), ("a", 5), (0, 5)])
def test_a_size_is_two_numbers_of_pixels(generator, size):
    with pytest.raises(ImageError, match=r"expected (\(height, width\)|sides)"):
        generator.latents(1, 0, size)


@pytest.mark.parametrize(
    "said",
    [
        {"shared": 7},
        {"margin": -1},
        {"side": 0},
        {"side": 30},
        {"more": 1},
        {"side": "x"},
        {"noise": True},
        {"codes": [[1.0]]},
        {"codes": [[1.0, 2.0], [1.0]]},
        {"codes": [[1.0, float("nan")]]},
        {"codes": [["a", 1.0]]},
        {"codes": 5},
    ],
)
def test_a_file_that_says_nonsense_is_refused(tmp_path, said):
    with pytest.raises(WeightsError, match="how its pictures are generated"):
        Generator(model(tmp_path, **said))


def test_models_are_taken_for_what_they_are(made):
    with pytest.raises(WeightsError, match="it does not generate, it enlarges"):
        Generator("sr-x4")
    with pytest.raises(WeightsError, match="imagen-fast generate"):
        imagen_fast.load(made)


def test_generating_needs_no_torch(made):
    code = f"import imagen_fast, sys; imagen_fast.generate(model={str(made)!r}, backend='native')"
    code += "; assert not {'torch', 'PIL', 'rich'} & set(sys.modules), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "imagen_fast", "generate", *map(str, arguments)],
        capture_output=True,
        text=True,
    )


def test_the_command_writes_files_sheets_and_ways(made, tmp_path):
    given = ("--model", made, "--seed", 7, "-n", 3)
    assert command(*given, "-o", tmp_path / "all", "--levels").returncode == 0
    sizes = {path.name: Image.open(path).size for path in (tmp_path / "all").iterdir()}
    assert sizes == {
        f"made_7_{number:05}{level}.png": (side, side)
        for number in range(3)
        for level, side in (("", 32), ("_level1", 16))
    }
    expected = imagen_fast.generate(3, 7, model=made)[2]
    np.testing.assert_array_equal(Image.open(tmp_path / "all" / "made_7_00002.png"), expected)
    assert command(*given, "-o", tmp_path / "sheet.png", "--grid").returncode == 0
    assert Image.open(tmp_path / "sheet.png").size == (66, 66)
    assert command(*given, "-o", tmp_path / "way.gif", "--interpolate").returncode == 0
    assert Image.open(tmp_path / "way.gif").n_frames == 24
    assert command(*given, "-o", tmp_path / "way.png", "--interpolate").returncode == 0
    assert Image.open(tmp_path / "way.png").size == (17 * 34 - 2, 32)
    again = command(*given, "-o", tmp_path / "sheet.png", "--grid")
    assert again.returncode == 1
    assert "sheet.png exists" in again.stderr
    assert command(*given, "-o", tmp_path / "sheet.png", "--grid", "--overwrite").returncode == 0


def test_levels_replace_nothing_unasked_and_what_fails_leaves_no_folder(made, tmp_path):
    (tmp_path / "a").mkdir()
    theirs = tmp_path / "a" / "made_0_00000_level1.png"
    theirs.write_bytes(b"theirs")
    done = command("--model", made, "--levels", "-o", tmp_path / "a")
    assert (done.returncode, theirs.read_bytes()) == (1, b"theirs")
    assert "level1.png exists" in done.stderr
    assert list((tmp_path / "a").iterdir()) == [theirs]
    assert command("--model", "sr-x4", "-o", tmp_path / "b").returncode == 1
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", 2, "-o", "a.png"], "one file for several"),
        (["-o", "a.xyz"], "cannot be written"),
        (["-o", "a.gif"], "for --interpolate"),
        (["-o", "no/a.gif", "--interpolate", "-n", "2"], "the folder no does not exist"),
        (["-o", "-"], "no folder, and no picture"),
        (["-o", "/dev/null"], "no folder, and no picture"),
        (["-o", "a", "--interpolate"], "-n 2 or more"),
        (["-o", "a", "--size", "12"], "WIDTHxHEIGHT"),
        (["-o", "a", "--minutes", "1"], "--like"),
        (["-o", "a", "--truncation", "nan"], "truncation"),
        (["-o", "a", "--resume", "--overwrite"], "exclude each other"),
        (["-o", "a", "--resume", "--grid"], "--resume is for a file each"),
        (["-o", "a", "-n", "2", "--resume", "--interpolate"], "--resume is for a file each"),
    ],
)
def test_wrong_usage_is_told(made, tmp_path, arguments, message):
    done = subprocess.run(
        [sys.executable, "-m", "imagen_fast", "generate", "--model", made, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("levels", [(), ("--levels",)], ids=["finest", "levels"])
def test_what_was_stopped_goes_on_to_the_same_files(made, tmp_path, levels):
    given = ("--model", made, "--seed", 7, *levels)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert command(*given, "-n", 5, "-o", whole).returncode == 0
    assert command(*given, "-n", 3, "-o", stopped).returncode == 0
    for lost in ("made_7_00001", "made_7_00002_level1" if levels else "made_7_00000"):
        (stopped / f"{lost}.png").unlink()
    kept = {path: path.stat().st_mtime_ns for path in stopped.iterdir()}
    done = command(*given, "-n", 5, "-o", stopped, "--resume")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"5 pictures, 1 of them there already: {stopped}\n"
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    assert _bytes(stopped) == _bytes(whole)
    quiet = command(*given, "-n", 6, "-o", stopped, "--resume", "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert len(_bytes(stopped)) == len(_bytes(whole)) * 6 // 5


def _bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_signal_leaves_whole_pictures_alone(made, tmp_path):
    out = tmp_path / "out"
    line = [sys.executable, "-m", "imagen_fast", "generate", "--model", made, "-o", out]
    process = subprocess.Popen(
        [*map(str, line), "-n", "50000"],
        preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not (out / "made_0_00002.png").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.terminate()
        stdout, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, stdout, stderr) == (128 + signal.SIGTERM, "", "interrupted\n")
    assert {path.suffix for path in out.iterdir()} == {".png"}


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path):
    done = command("--like", tmp_path / "none", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "does not exist" in done.stderr
    assert not list(tmp_path.iterdir())
