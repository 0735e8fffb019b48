"""The kernels compiled ahead of time: no spills, matrix units used, memory that fits."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("triton")

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "kernel_resources.py"
# Shared memory of a block in KiB; sm_120 has as little as consumer cards of sm_86 and sm_89.
SHARED = {80: 163, 90: 227, 100: 227, 120: 99}

# Each architecture once; the rest is the same code with other conversions.
FORMS = [
    (80, "fp16", "--wide"),
    (90, "bf16", "--wide"),
    (100, "bf16", "--unbounded"),
    (120, "fp16", "--unbounded"),
]


@pytest.fixture(scope="module")
def compilations(tmp_path_factory):
    """The process of each form, which takes half a minute: one for each core at a time."""

    def compiled(form):
        # Of its own: Triton's interpreter, once chosen, is there for the whole process.
        cache = str(tmp_path_factory.mktemp("triton"))
        environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": cache}
        arch, dtype, option = form
        return subprocess.run(
            [sys.executable, PROGRAM, str(arch), dtype, "--wide", option],
            capture_output=True, text=True, env=environment, timeout=600,
        )  # fmt: skip

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield {form: pool.submit(compiled, form) for form in FORMS}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form)))
def test_resources(form, compilations):
    done, arch = compilations[form].result(), form[0]
    assert not done.returncode, done.stderr
    kernels = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(kernels) > 30
    for kernel in kernels:
        assert kernel["stack"] == kernel["spills"] == 0, kernel
        assert kernel["shared"] <= SHARED[arch] * 1024, kernel
        # None at all is what a kernel that traps has: on sm_100, too much tensor memory.
        matrix = kernel["HGMMA"] + kernel["HMMA"] + kernel["UTCMMA"]
        assert matrix, kernel
        if arch == 90:
            assert kernel["HGMMA"], kernel
            assert not kernel["HMMA"], kernel
            # As many waits as products, and C7510 to C7519: ptxas has serialised them.
            assert 0 < kernel["waits"] < kernel["HGMMA"], kernel
            assert not kernel["warnings"], kernel
        assert arch != 100 or kernel["UTCMMA"], kernel


def test_the_interpreter_compiles_nothing():
    from imagen_fast.kernels.triton.compile import compile_launch
    from imagen_fast.kernels.triton.elementwise import launch
    from imagen_fast.kernels.triton.launch import Array
    from triton import knobs

    from imagen_fast.errors import BackendError

    if not knobs.runtime.interpret:
        pytest.skip("Triton's interpreter is off: there is a GPU")
    x, out = (Array(number, "fp16", (1, 2, 3, 4)) for number in range(2))
    with pytest.raises(BackendError, match="compile in a process that starts without it"):
        compile_launch(launch("sum", x, out), 90)
