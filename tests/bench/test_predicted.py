"""What benchmarks/predicted.py counts, against a convolution counted by hand."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from imagen_fast.graph import Input, Output  # noqa: E402
from imagen_fast.graph.builder import Builder  # noqa: E402

SIDE, C = 40, 64
MAP, WEIGHTS = 2 * SIDE**2 * C, 2 * 9 * C**2
FLOPS = 2 * SIDE**2 * 9 * C**2


@pytest.fixture
def predicted(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import predicted

    return predicted


@pytest.fixture
def graph():
    """A convolution with SiLU, its input added."""
    b = Builder()
    b.inputs = {"x": Input(C)}
    how = {"channels": C, "kernel": 3, "activation": "silu"}
    b.convolution("convolution", "y", "x", "x", module="y", **how)
    b.outputs = {"out": Output("y")}
    return b.graph()


def test_a_launch(predicted, graph):
    (layer,) = predicted.layers(graph, 1, SIDE, SIDE)
    (cost,) = predicted.ours(layer)
    assert cost.flops == FLOPS
    assert cost.bytes == 3 * MAP + WEIGHTS + 4 * C  # read, added, written; the bias is fp32
    # Runs of four rows, each of which takes two turns of three.
    assert cost.programs == SIDE // 4
    assert cost.work == FLOPS * 6 / 4
    for gpu in predicted.GPUS:
        assert cost.expected(gpu) > cost.floor(gpu) >= cost.bytes / gpu.memory


def test_kernels_of_torch_compile(predicted, graph):
    """The convolution by a library, then one kernel: its result and the addend in, the sum out."""
    product, rest = predicted.traced(graph, SIDE)
    assert (product.flops, rest.flops) == (FLOPS, 0)
    assert product.bytes == 2 * MAP + WEIGHTS + 2 * C
    assert rest.bytes == 3 * MAP
