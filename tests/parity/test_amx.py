"""The AMX kernels on an emulated tile unit: the suite of test_native.py against a build for it.

Needs a processor with AVX512-BF16, which does everything but the tile products. On one with AMX
test_native.py runs the real kernels.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

ROOT = Path(__file__).parents[2]

# A process has room for one build of the extension: this one takes the other's place.
RUN = """
import importlib.util, sys
import imagen_fast, pytest

spec = importlib.util.spec_from_file_location("imagen_fast._native", sys.argv[1])
native = importlib.util.module_from_spec(spec)
sys.modules["imagen_fast._native"] = native
spec.loader.exec_module(native)
assert native.available("bf16")[0] == "amx"
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", "amx", *sys.argv[2:]]))
"""


@pytest.mark.skipif(
    not set(_native.available("bf16")) & {"avx512", "amx"}, reason="no AVX512-BF16 here"
)
def test_parity_on_emulated_tiles(tmp_path: Path) -> None:
    build = [sys.executable, "setup.py", "-q", "build_ext"]
    environment = {**os.environ, "IMAGEN_FAST_EMULATE_AMX": "1"}
    done = subprocess.run(
        [*build, "--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path / "objects")],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    built = list(tmp_path.glob("lib/imagen_fast/_native*"))
    assert len(built) == 1, done.stderr
    suite = str(ROOT / "tests" / "parity" / "test_native.py")
    command = [sys.executable, "-c", RUN, str(built[0]), suite]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-4000:]
    assert " passed" in run.stdout
