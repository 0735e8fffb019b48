"""The C library, and scenarios of its API on a driver double in place of a GPU."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from c_interface import library

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def lib() -> ctypes.CDLL:
    return library()


@pytest.fixture(scope="session")
def double(tmp_path_factory):
    folder = tmp_path_factory.mktemp("driver")
    line = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-pthread"]
    source = HERE / "libcuda_double.c"
    subprocess.run([*line, source, "-o", folder / "libcuda.so.1"], check=True)
    return folder


@pytest.fixture
def run(double, gpu_bundle, tmp_path):
    """A scenario's facts, and the lines of the double's log, each split into words."""

    def run(scenario, path=None, driver=double, **variables):
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        environment = {**os.environ, "LD_LIBRARY_PATH": str(driver), "DOUBLE_LOG": str(log)}
        environment |= {f"DOUBLE_{name}": str(value) for name, value in variables.items()}
        program = [sys.executable, HERE / "gpu_program.py", scenario, path or gpu_bundle.path]
        done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        lines = log.read_text().splitlines() if log.exists() else []
        return json.loads(done.stdout), [line.split() for line in lines]

    return run
