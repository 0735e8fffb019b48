"""A worker measures the package of another tree, with the bench of this one."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

import imagen_fast
from imagen_fast.bench.contestant import Worker
from imagen_fast.bench.picture import pictures

PACKAGE = Path(imagen_fast.__file__).parent


def test_the_other_tree_s_engine_runs(native, tiny_path, tmp_path):
    """The other tree has no bench and no BenchmarkError yet, and repeats pixels in black."""
    tree = tmp_path / "tree"
    leave_out = shutil.ignore_patterns("bench", "weights", "__pycache__", "*.so")
    shutil.copytree(PACKAGE, tree / "imagen_fast", ignore=leave_out)
    fake = tree / "imagen_fast" / "backends" / "fake.py"
    fake.write_text(
        fake.read_text("utf-8").replace("return tiles.repeat(", "return 0 * tiles.repeat(")
    )
    errors = tree / "imagen_fast" / "errors.py"
    errors.write_text(errors.read_text("utf-8").replace("BenchmarkError", "AnotherError"))
    images = tmp_path / "images.npy"
    np.save(images, pictures(1, 16))
    ours = replace(native, runtime="fake")
    for contestant, black in ((ours, False), (replace(ours, tree=str(tree)), True)):
        with Worker(contestant) as worker:
            output = worker.prepare(images, str(tiny_path), 30).output
            assert output.shape == (1, 32, 32, 3)
            assert (output.max() == 0) == black
            assert worker.burst(0.0, 30)["wall"][0] > 0
