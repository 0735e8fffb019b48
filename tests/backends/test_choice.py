"""Which backend is taken, and that an explicit choice is an order."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imagen_fast import backends
from imagen_fast.backends import BACKENDS, backend_class, choose
from imagen_fast.backends.eager import Eager
from imagen_fast.backends.fake import Fake
from imagen_fast.backends.native import Native
from imagen_fast.backends.triton import Triton
from imagen_fast.bundle import Bundle
from imagen_fast.errors import BackendError


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_is_called_as_it_is_registered(name: str) -> None:
    assert backend_class(name).name == name


def test_auto_says_why() -> None:
    found, why = choose("auto", "cpu")
    assert found is Native
    assert why.startswith("auto: the fastest that works here for device 'cpu'")


@pytest.fixture
def no_gpu_for_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where the interpreter is off, too."""
    monkeypatch.setattr(Triton, "missing", lambda: "no GPU here")


@pytest.mark.usefixtures("no_gpu_for_triton")
def test_auto_takes_what_serves_the_device() -> None:
    pytest.importorskip("torch", reason="needs PyTorch")
    found, why = choose("auto", "cuda")
    assert found is Eager
    assert "; triton: no GPU here; native: runs on the cpu only" in why


def test_auto_prefers_triton_on_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Triton, "missing", lambda: None)
    monkeypatch.setattr(backends, "NVIDIA", tmp_path / "none")
    assert choose("auto", "cuda:1")[0] is Triton
    assert choose("auto")[0] is Native
    assert choose("auto", "cpu")[0] is Native
    monkeypatch.setattr(backends, "NVIDIA", tmp_path)  # which exists: there is a driver
    assert choose("auto")[0] is Triton
    assert choose("auto", "cpu")[0] is Native


@pytest.mark.usefixtures("no_gpu_for_triton")
def test_a_gpu_that_nothing_can_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As with a driver and without PyTorch: the cpu serves, and the reasons are told."""
    monkeypatch.setattr(backends, "NVIDIA", tmp_path)
    monkeypatch.setattr(Eager, "missing", lambda: "no PyTorch")
    found, why = choose("auto")
    assert found is Native
    assert "triton: no GPU here" in why
    assert "eager: no PyTorch" in why


def test_an_unknown_backend_names_those_there_are() -> None:
    with pytest.raises(BackendError, match="choose auto or one of native, triton, eager"):
        choose("tensor")


def test_compiled_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="needs PyTorch")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BackendError, match=r"'compiled' cannot run here: .*install g\+\+"):
        choose("compiled")


def test_without_torch_the_native_engine_works_and_torchs_backends_say_what_to_do() -> None:
    code = """
import sys
sys.modules["torch"] = None  # as if it were not installed
from imagen_fast.backends import choose
from imagen_fast.errors import BackendError
choose("fake")
assert choose("auto")[0].name == "native"
for name in ("eager", "compiled", "triton"):
    try:
        choose(name)
    except BackendError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line, extra in zip(lines, ("torch", "torch", "triton"), strict=True):
        assert f"pip install '.[{extra}]'" in line


def test_fake_is_for_the_cpu(small_bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="'fake' runs on the cpu only, not on 'cuda'"):
        Fake(small_bundle, device="cuda")


def test_a_broken_torch_is_named(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise OSError('libcudart.so: no such file')")
    code = """
from imagen_fast.backends import choose
from imagen_fast.cli.doctor import examine
from imagen_fast.errors import BackendError
try:
    choose("eager")
except BackendError as error:
    print(error)
facts = examine()
print(facts["backends"]["eager"])
print(facts["torch"]["missing"])
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, check=True, capture_output=True, text=True, env=environment)
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for text in lines:
        assert "does not load (libcudart.so: no such file); install it anew" in text
