"""Fixtures for every test: models with random weights, and where the pictures are."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_bundles import random_bundle

from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.graph import network
from imagen_fast.spec import Level, ModelSpec

# Ctrl-C reaches the commands under test even where the tests run behind a shell's `&`, which has
# its children ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What PyTorch computes, or what is compared with it: left out of an install without PyTorch.
WITH_TORCH = [
    *("models", "training", "parity", "kernels", "importers", "test_reach.py"),
    *("backends/test_compiled.py", "backends/test_eager.py", "backends/test_triton.py"),
    *(
        "backends/test_cuda_slots.py",
        "graph/test_architectures.py",
        "graph/test_operation_kinds.py",
    ),
    *("graph/test_hand_written.py", "graph/test_native_kinds.py"),
]
collect_ignore = []
if find_spec("torch"):
    import torch

    torch.set_num_threads(1)  # tiny tensors: threads only get in each other's way
    if not torch.cuda.is_available():
        # Triton's kernels run in its interpreter. Read where Triton is first imported, which
        # torch.compile does in another test: so it is set before any of them.
        os.environ["TRITON_INTERPRET"] = "1"
else:
    collect_ignore = WITH_TORCH
if not find_spec("av"):
    collect_ignore = [*collect_ignore, "video"]


def pytest_report_header() -> str:
    """Say what is left out."""
    there = [name for name in ("torch", "av") if find_spec(name)]
    said = f"with {' and '.join(there) or 'neither torch nor av'}"
    return f"{said}, left out: {', '.join(collect_ignore)}" if collect_ignore else said


@pytest.fixture(scope="session")
def bundle_of() -> Callable[[ModelSpec], Bundle]:
    """`random_bundle`."""
    return random_bundle


@pytest.fixture(scope="session")
def tiny_bundle() -> Bundle:
    """Two levels, scale 2."""
    return random_bundle(ModelSpec(scale=2, levels=(Level(32), Level(32))))


@pytest.fixture(scope="session")
def tiny_path(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_bundle` as a file."""
    path = tmp_path_factory.mktemp("models") / "sr-x2-test.safetensors"
    save_bundle(tiny_bundle, path)
    return path


@pytest.fixture(scope="session")
def video_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads what it made of the frame before, scale 2."""
    path = tmp_path_factory.mktemp("models") / "video-x2-test.safetensors"
    save_bundle(random_bundle(ModelSpec("temporal", 2, (Level(32, convs=1),))), path)
    return path


@pytest.fixture(scope="session")
def fake_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enlarges twice by repeating pixels: the `fake` backend looks at the spec alone."""
    path = tmp_path_factory.mktemp("models") / "fake-x2.safetensors"
    save_bundle(Bundle(ModelSpec(scale=2, levels=(Level(32),)), {}), path)
    return path


@pytest.fixture(scope="session")
def gpu_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A level of each kind of attention, of which one takes four launches."""
    levels = (Level(32, convs=1), Level(48, convs=1, attention="global"))
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save_bundle(random_bundle(ModelSpec(scale=2, levels=levels, head_dim=16)), path)
    return path


def exported(model: Path, path: Path, **options: Any) -> Any:
    """A model with kernels in fp16, verified; needs Triton."""
    pytest.importorskip("torch", reason="needs PyTorch")
    pytest.importorskip("triton", reason="needs Triton")
    from imagen_fast.export.options import ExportOptions

    from imagen_fast.tasks.export import export

    return export(model, "bundle", path, ExportOptions("fp16", **options))


@pytest.fixture(scope="session")
def gpu_bundle(gpu_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`gpu_model` exported for two architectures."""
    path = tmp_path_factory.mktemp("bundle") / "small.cuda.safetensors"
    return exported(gpu_model, path, arch=(90, 80))


@pytest.fixture(scope="session")
def gpu_features(gpu_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """As `gpu_bundle`, of several outputs: the encoder's levels, the picture, and a map."""
    outputs = ("features.0", "features.1", "picture", "attention.0")
    path = tmp_path_factory.mktemp("bundle") / "features.cuda.safetensors"
    return exported(gpu_model, path, arch=(90,), outputs=outputs)


@pytest.fixture(scope="session")
def gpu_pictures(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """As `gpu_bundle`, of two pictures in, each of a size of its own, and two arrays out."""
    spec = ModelSpec("style", 1, (Level(16, convs=1), Level(32, convs=1, attention="global")))
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("bundle")
    tensors = {
        name: rng.standard_normal(shape, np.float32) / (2 * max(1, np.prod(shape[1:])) ** 0.5)
        for name, shape in network(spec).tensors.items()
    }
    tensors = {name: x.astype(np.float32) for name, x in tensors.items()}
    save_bundle(Bundle(spec, tensors, {"task": "stylize"}), folder / "style.safetensors")
    path = folder / "style.cuda.safetensors"
    return exported(folder / "style.safetensors", path, arch=(90,), outputs=("tokens", "stylized"))


@pytest.fixture(scope="session")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that gives pictures as large as they were, and says that it restores: with random
    weights, so it changes every picture, and all the more where there is a chessboard.
    """
    path = tmp_path_factory.mktemp("models") / "own.safetensors"
    save_bundle(random_bundle(ModelSpec(scale=1, levels=(Level(32),))), path)
    return path


@pytest.fixture(scope="session")
def small_bundle() -> Bundle:
    """One level, one block, scale 2: for tests that only need some network."""
    return random_bundle(ModelSpec(scale=2, levels=(Level(32, convs=1),)))


@pytest.fixture(scope="session")
def build() -> Callable[[Bundle], Any]:
    """`imagen_fast.models.build.build`; skips without PyTorch."""
    pytest.importorskip("torch", reason="needs PyTorch")
    from imagen_fast.models.build import build

    return build


@pytest.fixture(scope="session")
def build_wheel() -> Callable[..., Path]:
    """Build a wheel from a copy of the tree in a folder, with variables of the environment."""

    def build(tree: Path, **environment: str) -> Path:
        ignored = (".*", "__pycache__", "build", "dist", "*.egg-info", "runs", "demo", "tests")
        built = ("*.so", "*.so.*", "*.a")
        copied = shutil.ignore_patterns(*ignored, *built)
        root = Path(__file__).parents[1]
        shutil.copytree(root, tree, ignore=copied)
        if (objects := root / "build" / "objects").is_dir():  # as in the tree: linked, not compiled
            shutil.copytree(objects, tree / "build" / "objects")
        command = ["-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."]
        subprocess.run(
            [sys.executable, *command],
            cwd=tree,
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
            timeout=300,
        )
        (path,) = (tree / "dist").glob("*.whl")
        return path

    return build


@pytest.fixture(scope="session")
def wheel_path(build_wheel: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as it is built here, once for all tests."""
    return build_wheel(tmp_path_factory.mktemp("tree") / "project")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of pictures; skips where it is absent."""
    folder = Path(os.environ.get("IMAGEN_FAST_DATA", Path(__file__).parents[2] / "shared/data"))
    if not folder.is_dir():
        pytest.skip(f"no pictures at {folder}: set IMAGEN_FAST_DATA")
    return folder
