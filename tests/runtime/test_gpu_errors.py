"""What goes wrong on a GPU is told, and all is given back; no driver, and other models."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from c_interface import BAD_MODEL, DEVICE_FAILED, INVALID, NO_MEMORY, UNSUPPORTED
from gpu_log import balanced

from imagen_fast import c_library

HERE = Path(__file__).parent

pytestmark = [
    pytest.mark.skipif(c_library.missing() is not None, reason="the C library is not built"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]


CASES = {
    "no such gpu": ("cuda:1", {}, UNSUPPORTED, "there is no cuda:1: the driver finds 1 GPU"),
    "no gpu": ("plain", {"GPUS": 0}, UNSUPPORTED, "the driver finds 0 GPUs"),
    "another name": ("cuda:x", {}, INVALID, 'device is "cuda:x"; expected "cpu", "cuda" or'),
    "another precision": ("fp32", {}, UNSUPPORTED, "computes in fp16, not in fp32; leave"),
    "an isa": ("isa", {}, INVALID, "isa is for the processor"),
    "on the cpu": ("cpu", {}, BAD_MODEL, "it holds GPU kernels, and weights for them alone"),
    "an old gpu": (
        "plain", {"CAPABILITY": 75}, UNSUPPORTED,
        "cuda:0, Double 0 (sm_75) cannot run this file, whose kernels are for sm_80, sm_90; "
        "export the model with --arch sm_75",
    ),
    "a new gpu": ("plain", {"CAPABILITY": 100}, UNSUPPORTED, "--arch sm_100"),
    "little shared memory": (
        "plain", {"SHARED": 1024}, UNSUPPORTED, "has 1024 bytes of shared memory for a block"
    ),
    "no context": (
        "plain", {"FAIL": "cuDevicePrimaryCtxRetain:2"}, NO_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY (2)"
    ),
    "no memory for weights": (
        "plain", {"FAIL": "cuMemAlloc_v2:2:1"}, NO_MEMORY,
        "bytes for weights: CUDA_ERROR_OUT_OF_MEMORY (2); choose a smaller tile",
    ),
    "no memory for maps": (
        "plain", {"FAIL": "cuMemAlloc_v2:2:2"}, NO_MEMORY, "bytes for feature maps"
    ),
    "no pinned memory": (
        "plain", {"FAIL": "cuMemHostAlloc:2:2"}, NO_MEMORY, "bytes of pinned main memory"
    ),
    "code of another chip": (
        "plain", {"FAIL": "cuModuleLoadData:209:3"}, DEVICE_FAILED,
        "CUDA_ERROR_NO_BINARY_FOR_GPU (209)",
    ),
    "a launch": (
        "plain", {"FAIL": "cuLaunchKernel:700:2"}, DEVICE_FAILED,
        "CUDA_ERROR_ILLEGAL_ADDRESS (700), an illegal memory access was encountered",
    ),
    "a recorded launch": (
        "plain", {"FAIL": "cuLaunchKernel:700:14"}, DEVICE_FAILED, "the GPU failed: launching"
    ),
    "the recording": (
        "plain", {"FAIL": "cuGraphInstantiateWithFlags:999"}, DEVICE_FAILED,
        "instantiating the captured graph: an unknown error (999)",
    ),
    "the replay": (
        "plain", {"FAIL": "cuGraphLaunch:700"}, DEVICE_FAILED, "launching the captured graph"
    ),
    "the end": ("plain", {"FAIL": "cuEventSynchronize:700"}, DEVICE_FAILED, "waiting for a run"),
    "the start": (
        "plain", {"FAIL": "cuInit:100"}, UNSUPPORTED, "the NVIDIA driver does not start: an unknown"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_errors(case, run):
    scenario, variables, status, said = CASES[case]
    facts, log = run(scenario, **variables)
    assert facts.get("status") == status, facts
    assert said in facts["message"]
    assert balanced(log)


def test_damaged_bundles(run):
    """Each is refused with a message, or runs; the process lives on and gives everything back."""
    facts, log = run("damaged")
    seen = {int(status): count for status, count in facts["seen"].items()}
    assert set(seen) <= {0, BAD_MODEL, INVALID, NO_MEMORY, UNSUPPORTED, DEVICE_FAILED}, seen
    assert seen[BAD_MODEL] > 500, seen
    assert seen[0] > 20, seen
    assert balanced(log)


def test_an_engine_lives_on_after_it_ran_out_of_memory(run):
    facts, log = run("after_failure", FAIL="cuMemAlloc_v2:2:3")
    assert facts["first"][0] == NO_MEMORY
    assert sum(x[0] == "cuGraphLaunch" for x in log) == 1
    assert balanced(log)


def test_a_child_process_is_refused_and_touches_nothing(run):
    facts, log = run("forked")
    assert facts["child"][0] == UNSUPPORTED
    assert "does not work in a child process made by fork(); load the model" in facts["child"][1]
    assert balanced(log)


def test_no_driver(run, tmp_path):
    if Path("/usr/lib/x86_64-linux-gnu/libcuda.so.1").exists():
        pytest.skip("there is one")
    facts, _ = run("plain", driver=tmp_path)
    assert facts["status"] == UNSUPPORTED
    assert facts["message"].startswith("no NVIDIA driver is here (libcuda.so.1: cannot open")


def test_an_old_driver(run, tmp_path, double):
    line = ["cc", "-shared", "-fPIC", "-xc", "-", "-o", tmp_path / "libcuda.so.1"]
    subprocess.run(line, input=b"int cuInit(unsigned x) { return (int)x; }", check=True)
    facts, _ = run("plain", driver=tmp_path)
    assert facts["status"] == UNSUPPORTED
    assert (
        "has no function cuDeviceGetCount; expected one for CUDA 11.4 or later"
        in (facts["message"])
    )


def test_a_model_without_kernels(run, gpu_model):
    facts, _ = run("plain", path=gpu_model)
    assert facts["status"] == BAD_MODEL
    assert "has no GPU kernels; expected a file that `imagen-fast export" in facts["message"]


def test_the_driver_function_names_are_the_headers():
    """Each name once, none of them older than what CUDA 11.4 to 13 export."""
    text = (c_library.INCLUDE.parent / "runtime" / "cuda_driver.h").read_text()
    names = re.findall(r"X\((cu[A-Z]\w+),", text)
    assert len(names) == len(set(names)) > 30
    double = (HERE / "libcuda_double.c").read_text()
    assert all(f"API int {name}(" in double for name in names)
