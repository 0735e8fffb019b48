"""Every runtime that is installed gives the reference's answer, for one picture and for several."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagen_fast.bench import peer_networks
from imagen_fast.bench.contestant import Contestant, Worker
from imagen_fast.bench.inputs import Inputs
from imagen_fast.bench.peer_networks import PEER_NETWORKS
from imagen_fast.bench.reference import Reference
from imagen_fast.bench.runtimes import PEERS, find
from imagen_fast.bench.stage import WORST_PSNR
from imagen_fast.metrics import psnr

SIZE = 24  # whole windows at the finest level, not at the coarse one


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    pytest.importorskip("torch", reason="PyTorch gives the answer and the ONNX file")
    with Reference(1) as reference:
        yield Inputs(tmp_path_factory.mktemp("inputs"), reference, 1)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("runtime", "precision"),
    [
        *(("native", "fp32"), ("eager", "fp32"), ("torch", "bf16")),
        *(("openvino", "fp32"), ("openvino-throughput", "fp32"), ("onnxruntime", "fp32")),
    ],
)
def test_answers(inputs, tiny_path, runtime, precision, batch):
    pytest.importorskip(find(runtime).library, reason="the runtime is not installed")
    c = Contestant(runtime, str(tiny_path), "tiny", precision, 1)
    truth, by = inputs.answer(c, SIZE, batch, 60)
    assert by == "PyTorch fp32"
    with Worker(c) as worker:
        ready = worker.prepare(inputs.images(SIZE, batch), inputs.file(c, SIZE, batch, 60), 60)
    assert ready.output.shape == (batch, 2 * SIZE, 2 * SIZE, 3)
    assert psnr(ready.output, truth) > WORST_PSNR[precision]
    # The pictures of a batch differ, so that a runtime which mixes them up is caught.
    assert batch == 1 or psnr(truth[:1], truth[1:2]) < 30


def test_the_native_engine_stands_in_once_it_is_trusted(inputs, tiny_path):
    c = Contestant("native", str(tiny_path), "tiny", "fp32", 1)
    large = 264
    assert inputs.answer(c, SIZE, 1, 60)[1] == "PyTorch fp32"
    inputs.trusted = True
    answer, by = inputs.answer(c, large, 1, 60)
    assert (answer.shape, by) == ((1, 2 * large, 2 * large, 3), "native fp32")
    other = replace(c, network="span@4")
    assert inputs.unknowable(other, SIZE, 1) is None
    assert "known to PyTorch alone" in inputs.unknowable(other, large, 1)


@pytest.mark.parametrize("name", PEER_NETWORKS)
def test_other_networks(name):
    torch = pytest.importorskip("torch", reason="they are PyTorch's")
    pytest.importorskip("onnx", reason="the extra bench is not installed")
    if why := peer_networks.missing():
        pytest.skip(why)
    with torch.inference_mode():
        output = peer_networks.build(f"{name}@4")(torch.zeros(1, 3, 16, 16))
    assert output.shape == (1, 3, 64, 64)


def test_every_peer_says_what_is_missing(monkeypatch):
    monkeypatch.setattr("imagen_fast.bench.runtimes.find_spec", lambda name: None)
    for runtime in PEERS.values():
        assert "is not installed; in the folder of its source: pip install" in runtime.missing()


def test_the_yardstick_is_numpy_s_product():
    from imagen_fast.bench.runtimes import yardstick

    c = Contestant("yardstick", "", "", "fp32", 1)
    run, _ = yardstick.ready(c, np.zeros((1, 1, 1, 3), np.float32), "")
    assert run().shape == (yardstick.SIDE, yardstick.SIDE)
    assert set(yardstick.environment(3).values()) == {"3"}


def test_nvidia_smi_s_answers(tmp_path, monkeypatch):
    """Its output as its manual shows it: no GPU has been here yet."""
    from imagen_fast.bench import gpu

    assert gpu.names() == [] or Path("/proc/driver/nvidia").exists()
    script = tmp_path / "nvidia-smi"
    script.write_text(
        "#!/bin/sh\ncase $1 in\n"
        '--query-gpu=name) printf "NVIDIA H100\\nNVIDIA H100\\n" ;;\n'
        '--query-gpu=power.draw) printf "70.5\\n80.25\\n" ;;\n'
        '*) printf "11, 512\\n12, 100\\n11, 8\\n13, [N/A]\\n" ;;\nesac\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert gpu.names() == ["NVIDIA H100", "NVIDIA H100"]
    assert gpu.power() == 150.75
    assert gpu.memory(11) == 520 << 20
    assert gpu.memory(13) is None
    script.write_text("#!/bin/sh\necho driver not loaded; exit 9\n")
    assert (gpu.names(), gpu.power(), gpu.memory(11)) == ([], None, None)
