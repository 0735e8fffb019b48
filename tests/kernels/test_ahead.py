"""Launches described ahead of time: the same that the network makes, number for number."""

import pytest
import torch

pytest.importorskip("triton")

from imagen_fast.kernels.ahead.expression import Size, cdiv, evaluate, least, most, tree_of
from imagen_fast.kernels.ahead.launch import Weight
from imagen_fast.kernels.ahead.program import program_of
from imagen_fast.kernels.triton import conv_block, down, head, stem, up, window_attention
from imagen_fast.kernels.triton.network import Network
from imagen_fast.kernels.triton.packed import pack_generator
from triton.runtime.interpreter import InterpretedFunction

from imagen_fast.errors import WeightsError
from imagen_fast.models.build import build
from imagen_fast.spec import Level, ModelSpec, preset

MIXED = ModelSpec(
    scale=2,
    levels=(Level(20, depth=2, convs=1), Level(30, attention="global"), Level(10, convs=0)),
    head_dim=5,
    window=6,
)
WIDE = ModelSpec(scale=3, levels=(Level(160, convs=1), Level(64, depth=2)), window=8)
CASES = {
    "tiny": (preset("tiny"), torch.float16),
    "tiny fp32": (preset("tiny", scale=1), torch.float32),
    "base": (preset("base"), torch.float16),
    "mixed": (MIXED, torch.float16),
    "wide, two launches": (WIDE, torch.float16),
    "large windows": (ModelSpec(levels=(Level(32),), window=10), torch.float16),
}
MULTIPROCESSORS = 7


class Recorder:
    """Launches of kernels in the interpreter, which are written down and not made."""

    def __init__(self, monkeypatch, arch):
        self.launches = []

        def run(kernel, *args, grid, warmup, **named):
            given = dict(zip(kernel.arg_names, args, strict=False)) | named
            self.launches.append((kernel, grid, given))

        monkeypatch.setattr(InterpretedFunction, "run", run)
        for module in (conv_block, down, head, stem, up, window_attention):
            monkeypatch.setattr(module, "architecture", lambda device: arch)
            if hasattr(module, "multiprocessors"):
                monkeypatch.setattr(module, "multiprocessors", lambda device: MULTIPROCESSORS)


@pytest.mark.parametrize("arch", [80, 86, 90, 100, 120])
@pytest.mark.parametrize("case", CASES)
def test_the_launches_are_the_networks(case, arch, monkeypatch, bundle_of):
    if (arch in (86, 100) and case != "tiny") or (arch != 90 and case == "base"):
        pytest.skip("differs from its neighbours in nothing else")
    spec, dtype = CASES[case]
    weights = pack_generator(build(bundle_of(spec)), dtype, "cpu")
    program = program_of(weights, arch)
    recorder = Recorder(monkeypatch, arch)
    for samples, shape in (("u8", (1, 1, 1)), ("fp32", (3, 37, 150)), ("u8", (2, 130, 8))):
        network = Network(weights)
        image = torch.zeros(*shape, 3, dtype=torch.uint8 if samples == "u8" else torch.float32)
        plan = network.plan(image.shape)
        place = plan.place(torch.zeros(plan.size, dtype=torch.uint8))
        out = torch.zeros(network.output_shape(image.shape), dtype=image.dtype)
        flag = torch.zeros(1, dtype=torch.int32)
        recorder.launches.clear()
        network.run(image, place, out=out, not_finite=flag)

        values = dict(zip("NHWP", (*shape, MULTIPROCESSORS), strict=True))
        for name, size in program.sizes.items():
            values[name] = evaluate(size.tree, values)
        parts = {"image": image, "picture": out, "not_finite": flag, "stem": place.kept(0)}
        parts |= {f"features{i}": place.kept(1 + i) for i in range(len(spec.levels))}
        parts |= {f"work{i}": place._work[i][0] for i in range(2)}
        parts["scratch"] = place.scratch
        addresses = {name: part.data_ptr() for name, part in parts.items()}
        for name, (_, elements) in program.buffers.items():
            if not name.startswith("work"):
                assert evaluate(tree_of(elements), values) == parts[name].numel(), name
        planned = [x for x in program.launches if x.samples in ("", samples)]
        assert len(planned) == len(recorder.launches)
        for launch, (kernel, grid, given) in zip(planned, recorder.launches, strict=True):
            assert kernel is launch.variant.kernel
            assert tuple(evaluate(tree_of(x), values) for x in launch.grid) == grid
            assert given["num_warps"] == launch.variant.num_warps
            assert given["num_stages"] == launch.variant.num_stages
            for name in kernel.arg_names:
                value = given[name]
                if name in launch.variant.constants:
                    assert value == launch.variant.constants[name]
                    continue
                argument = launch.arguments[name]
                if not isinstance(value, torch.Tensor):
                    assert evaluate(tree_of(argument), values) == value, name
                    continue
                offset = evaluate(tree_of(argument.offset), values) * value.element_size()
                if isinstance(argument, Weight):
                    start = program.weights[argument.name].data_ptr()
                else:
                    start = addresses[argument.name]
                assert value.data_ptr() == start + offset, (launch.variant.name, name)
                if name in launch.variant.divisible:
                    assert offset % 16 == 0


def test_expressions():
    n, p = Size("N"), Size("P")
    values = {"N": 13, "P": 4}
    for size, value in (
        (n + 2, 15), (n - 3, 10), (3 * n, 39), (n // p, 3), (cdiv(n, p), 4), (least(n, p), 4),
        (most(n, p), 13), (cdiv(n * 0 + 8, 8), 1),
    ):  # fmt: skip
        assert evaluate(tree_of(size), values) == value
    assert (n * 1).tree == (n + 0).tree == "N"
    assert Size(3).tree == (Size(1) + 2).tree


@pytest.mark.parametrize(
    "tree",
    [
        -1, 2**62 + 1, True, 1.5, None, "M", [], ["add", 1], ["pow", 2, 3], ["div", 1, 0],
        ["cdiv", "N", 0], ["sub", 1, 2], ["mul", 2**61, 3], ["add", 1, 2, 3], ["add", 1, True],
        {"add": 1}, ["add", ["sub", 1, 2], 5],
    ],
)  # fmt: skip
def test_what_is_no_expression(tree):
    with pytest.raises(WeightsError):
        evaluate(tree, {"N": 5})
