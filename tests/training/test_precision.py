"""What is trained in where the configuration leaves it open."""

import json
import subprocess
import sys

import pytest
import torch

from imagen_fast.bundle import load_bundle
from imagen_fast.training.config_file import parse_config
from imagen_fast.training.fused import native_training
from imagen_fast.training.precision import faster
from imagen_fast.training.trainer import train

native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_what_is_asked_for_is_taken(precision):
    assert faster(precision, CPU) == precision


def test_a_gpu_multiplies_bf16_faster():
    assert faster("auto", torch.device("cuda")) == "bf16"


@pytest.mark.parametrize("isa", {isa for p in ("bf16", "fp32") for isa in native.available(p)})
def test_pytorch_computes_in_bf16_only_where_that_is_fast(isa):
    """AMX and AMD's AVX512-BF16. IMAGEN_FAST_ISA is read once the engine is asked."""
    code = (
        "import torch; from imagen_fast.training.precision import faster; "
        "print(faster('auto', torch.device('cpu')))"
    )
    made = subprocess.run(
        [sys.executable, "-c", code],
        env={"IMAGEN_FAST_ISA": isa, "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    fast = isa == "amx" or (isa == "avx512_bf16" and native.preferred_precision(isa) == "bf16")
    assert made.stdout.strip() == ("bf16" if fast else "fp32")


@pytest.mark.parametrize("compile", [False, "kernels"])
def test_the_weights_say_what_they_were_trained_in(tables, compile):
    tables["run"] |= {"steps": 1, "compile": compile}
    made = json.loads(load_bundle(train(parse_config(tables)).bundle).metadata["training"])[
        "precision"
    ]
    kernels = native_training() if compile == "kernels" else None
    assert made == (kernels.precision if kernels else faster("auto", CPU))
