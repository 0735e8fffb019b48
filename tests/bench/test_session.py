"""Whole runs of a few seconds: processes, checks, turns and the box of time."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagen_fast.bench import gpu, session
from imagen_fast.bench.check import check
from imagen_fast.bench.picture import pictures
from imagen_fast.bench.runtimes import PEERS, Contestant, find
from imagen_fast.bench.worker import Worker
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.errors import BenchmarkError

SIZE = 24  # whole windows at the finest level, not at the coarse one


@pytest.fixture
def options(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> session.BenchOptions:
    """One thread, no peers, the native engine, one picture of 16², few rounds."""
    monkeypatch.setattr(session, "ROUNDS", 3)
    return session.BenchOptions(
        tiny_path, 1, 25, "cpu", ("native",), (), precisions=("fp32",), sizes=(16,)
    )


def test_right_ones_are_timed_and_wrong_ones_are_not(options):
    made = session.run(replace(options, backends=("native", "fake")))
    right, wrong = made["rows"]
    assert (right["runtime"], wrong["runtime"]) == ("native", "fake")
    assert right["psnr"] is None or right["psnr"] > 100
    assert len(right["samples_ms"]) >= 3
    assert right["times"] == 1
    assert right["start_s"] > 0
    assert right["peak_bytes"] > 20e6
    assert right["reference"] in ("eager fp32", "native fp32")
    assert "samples_ms" not in wrong
    assert "expected 80 dB or more" in wrong["why"]


def test_the_answer_is_that_of_the_model_s_own_weights(options, tiny_bundle, tmp_path):
    name = "encoder.stages.0.0.convs.0.conv.weight"
    tensors = {**tiny_bundle.tensors, name: tiny_bundle.tensors[name] * np.float32(1.1)}
    save_bundle(Bundle(tiny_bundle.spec, tensors, tiny_bundle.metadata), tmp_path / "x.safetensors")
    images = pictures(1, SIZE)
    with Worker(Contestant("native", "fp32", 1)) as worker:
        truth = worker.prepare(images, options.model, 60).output
        other = worker.prepare(images, tmp_path / "x.safetensors", 60).output
    assert "expected 80 dB or more" in check(other, truth, "fp32")[1]


def test_who_has_no_time_is_left_out(options):
    made = session.run(replace(options, precisions=("fp32", "bf16"), seconds=0))
    assert [row["precision"] for row in made["rows"]] == ["fp32"]  # someone has to be
    assert made["left_out"] == {"16², no time was left": ["native bf16"]}


def test_who_cannot_run_fails_alone(options, tmp_path):
    one = Contestant("native", "fp16", 1)  # which the native engine has not
    with session.Contest(options, tmp_path, lambda text: None) as contest:
        found = [one, replace(one, precision="fp32")]
        for _ in range(2):
            contest.measure(found, 16, 1, time.monotonic() + 60)
    timed, failed, again = contest.rows
    assert "has no fp16" in failed["why"]
    assert timed["samples_ms"]
    assert again["precision"] == "fp32"  # who failed has no other turn


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backends": ("nativ",)}, "no backend 'nativ'; choose from native, triton, eager"),
        ({"peers": ("tensorflow",)}, "no peer 'tensorflow'; choose from openvino"),
        ({"precisions": ("int8",)}, "no precision 'int8'; choose from fp32"),
    ],
    ids=str,
)
def test_unknown_names(options, change, message):
    with pytest.raises(BenchmarkError, match=message):
        session.run(replace(options, **change))


def test_what_is_asked_for_and_missing_is_an_error(options, monkeypatch):
    has = "imagen_fast.bench.runtimes.find_spec"
    monkeypatch.setattr(has, lambda name: None if name in PEERS else name)
    for runtime in PEERS.values():
        assert "is not installed; in the folder of its source: pip install" in runtime.missing()
    with pytest.raises(BenchmarkError, match="openvino cannot run here: openvino is not installed"):
        session.run(replace(options, peers=("openvino",)))


@pytest.fixture(scope="module")
def asked(tiny_path, tmp_path_factory):
    """Batch → its pictures in a file, and the network's answer."""
    options, found = session.BenchOptions(tiny_path, 1, 0), {}
    with session.Contest(options, tmp_path_factory.mktemp("asked"), lambda text: None) as contest:
        for batch in (1, 3):
            images = pictures(batch, SIZE)
            found[batch] = images, contest._truth(images)
    return found


@pytest.mark.parametrize(
    ("runtime", "precision"),
    [("native", "fp32"), ("eager", "bf16"), ("openvino", "fp32"), ("openvino", "bf16"),
     ("onnxruntime", "fp32")],
)  # fmt: skip
def test_answers(options, asked, tmp_path, runtime, precision):
    pytest.importorskip(find(runtime).library, reason="the runtime is not installed")
    with session.Contest(options, tmp_path, lambda text: None) as contest:
        for batch, (images, truth) in asked.items():
            row = {"size": SIZE, "batch": batch}
            contest._prepared(Contestant(runtime, precision, 1), row, images, truth, 60)
            assert "why" not in row
            assert row["megapixels"] == batch * (2 * SIZE) ** 2 / 1e6
    # The pictures of a batch differ, so that a runtime which mixes them up is caught.
    _, (three, _) = asked[3]
    assert check(three[:1], three[1:2], "bf16")[0] < 30


def test_nvidia_smi_s_answers(tmp_path, monkeypatch):
    """Its output as its manual shows it: no GPU has been here yet."""
    assert gpu.names() == [] or Path("/proc/driver/nvidia").exists()
    script = tmp_path / "nvidia-smi"
    script.write_text(
        "#!/bin/sh\ncase $1 in\n"
        '--query-gpu=name) printf "NVIDIA H100\\nNVIDIA H100\\n" ;;\n'
        '*) printf "11, 512\\n12, 100\\n11, 8\\n13, [N/A]\\n" ;;\nesac\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert gpu.names() == ["NVIDIA H100", "NVIDIA H100"]
    assert gpu.memory(11) == 520 << 20
    assert gpu.memory(13) is None
    script.write_text("#!/bin/sh\necho driver not loaded; exit 9\n")
    assert (gpu.names(), gpu.memory(11)) == ([], None)
