"""The AMX kernels on an emulated tile unit: the parity suite against a build for it.

Needs a processor with AVX512-BF16, which does everything but the tile products. On one with AMX
that suite runs the real kernels.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pybind11
import pytest

from imagen_fast import c_library

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

ROOT = Path(__file__).parents[2]
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mavx512bf16"]


def sources(folder: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / folder).glob("*.cc"))


AMX = [*AVX512, "-mavx512vbmi"]
# What is another with the emulated unit, and what it is called through; the rest is in the library.
SOURCES = {
    **{path: ["-O0"] for path in sources("imagen_fast/runtime/training")},
    **{path: ["-O0"] for path in sources("kernels/training")},
    "kernels/cpu/set_amx_bf16.cc": ["-O1", *AMX],
    "kernels/training/training_amx_bf16.cc": ["-O0", *AMX],
    "kernels/training/training_avx2.cc": ["-O0", "-mavx2", "-mfma"],
    "kernels/training/training_avx512_bf16.cc": ["-O0", *AVX512],
    "kernels/training/training_avx512_widened.cc": ["-O0", *AVX512],
    "imagen_fast/runtime/isa.cc": [],
    "imagen_fast/runtime/binding.cc": ["-O0"],
}

# Whole networks: a tile product takes a thousand times as long here.
SELECTED = "amx and (network or finite or exponential) and not (tiny or latent or level or feature)"

# A process has room for one build of the extension: this one takes the other's place.
RUN = """
import importlib.util, sys
import imagen_fast, pytest

spec = importlib.util.spec_from_file_location("imagen_fast._native", sys.argv[1])
native = importlib.util.module_from_spec(spec)
sys.modules["imagen_fast._native"] = native
spec.loader.exec_module(native)
assert native.available("bf16")[0] == "amx"
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", sys.argv[2], *sys.argv[3:]]))
"""


@pytest.mark.skipif(
    not set(_native.available("bf16")) & {"avx512_bf16"}, reason="no AVX512-BF16 here"
)
def test_parity_on_emulated_tiles(tmp_path: Path) -> None:
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if (missing := c_library.missing()) or not compiler:
        pytest.skip(missing or "needs a C++ compiler")
    includes = [f"-I{folder}" for folder in (sysconfig.get_path("include"), pybind11.get_include())]
    common = [*compiler.split(), "-std=c++17", "-fPIC", "-fvisibility=hidden", "-pthread"]

    def compiled(source: str) -> Path:
        target = tmp_path / f"{source.replace('/', '_')}.o"
        emulated = ["-DIMAGEN_FAST_EMULATE_AMX", *SOURCES[source]]
        line = [*common, *emulated, *includes, "-c", source, "-o", str(target)]
        subprocess.run(line, cwd=ROOT, check=True)
        return target

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        objects = [str(path) for path in pool.map(compiled, SOURCES)]
    built = tmp_path / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
    line = [*common, "-shared", *objects, str(c_library.STATIC), "-ldl", "-o", str(built)]
    subprocess.run(line, check=True)
    suite = [str(ROOT / "tests" / "parity" / f"test_{name}.py") for name in ("parity", "native")]
    command = [sys.executable, "-c", RUN, str(built), SELECTED, *suite]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-4000:]
    assert " passed" in run.stdout
