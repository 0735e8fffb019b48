"""A compiled network trains only if its gradients are those of the network itself."""

import math
import warnings

import numpy as np
import pytest
import torch

from imagen_fast.bundle import load_bundle
from imagen_fast.errors import TrainingError
from imagen_fast.models.blocks import AttentionBlock
from imagen_fast.models.generator import Generator
from imagen_fast.spec import Level, ModelSpec
from imagen_fast.training import fastest
from imagen_fast.training.compiled import compiled
from imagen_fast.training.config_file import parse_config
from imagen_fast.training.trainer import train


class Scaled(torch.autograd.Function):
    """Pictures as they are, gradients times a factor."""

    @staticmethod
    def forward(ctx, picture, factor):
        ctx.factor = factor
        return picture.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.factor, None


def stand_in(factor):
    """A compiler whose pictures are right and whose gradients are `factor` times too large."""
    return lambda network, options: lambda low: [Scaled.apply(p, factor) for p in network(low)]


def refusing(low):
    raise RuntimeError("no C++ compiler\nand a long log")


def arguments(precision):
    torch.manual_seed(0)
    generator = Generator(ModelSpec(scale=2, levels=(Level(32, convs=1),)))
    return generator.progressive, list(generator.parameters()), torch.rand(2, 3, 16, 16), precision


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("factor", [math.nan, math.inf, 0.0, 1.3, -1.0])
def test_wrong_gradients_are_an_error_or_a_warning(monkeypatch, precision, factor):
    monkeypatch.setattr(torch, "compile", stand_in(factor))
    network, *rest = arguments(precision)
    with pytest.raises(TrainingError, match=r"wrong gradients.*set run.compile to false"):
        compiled(network, *rest, True)
    with pytest.warns(UserWarning, match="wrong gradients.*training without compiling"):
        assert compiled(network, *rest, "auto") == network


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_right_gradients_are_believed_and_the_random_state_stays(monkeypatch, precision):
    monkeypatch.setattr(torch, "compile", stand_in(1.01))  # as far off as rounding goes
    network, *rest = arguments(precision)
    state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled(network, *rest, True) != network
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in rest[0])


def test_code_that_is_wrong_in_wide_vectors_is_tried_in_narrow_ones(monkeypatch):
    tried = []

    def wrong_when_wide(network, options):
        tried.append(options)
        return stand_in(1.0 if options.get("cpp.simdlen") == 256 else math.nan)(network, options)

    monkeypatch.setattr(torch, "compile", wrong_when_wide)
    network, *rest = arguments("bf16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled(network, *rest, True) != network
    assert tried == [{}, {"cpp.simdlen": 256}]


def test_a_compiler_that_fails_is_an_error_or_a_warning(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda network, options: refusing)
    network, *rest = arguments("fp32")
    with pytest.raises(TrainingError, match=r"cannot be compiled \(no C\+\+ compiler\)"):
        compiled(network, *rest, True)
    with pytest.warns(UserWarning, match="cannot be compiled"):
        assert compiled(network, *rest, "auto") == network


@pytest.mark.parametrize("adversarial", [False, True])
def test_a_run_without_a_compiler_is_the_run_that_never_asked_for_one(
    tables, tmp_path, monkeypatch, adversarial, capsys
):
    if adversarial:
        tables["adversarial"] = {"depth": 1}
    tables["run"] |= {"steps": 2, "compile": False}
    expected = load_bundle(train(parse_config(tables)).bundle).tensors
    capsys.readouterr()
    monkeypatch.setattr(torch, "compile", stand_in(math.nan))
    monkeypatch.setattr(fastest, "native_training", lambda _: None)
    tables["run"] |= {"compile": "auto", "output": str(tmp_path / "auto")}
    with pytest.warns(UserWarning, match="training without compiling"):
        bundle = train(parse_config(tables)).bundle
    assert "compiling the network: the first step can take" in capsys.readouterr().err
    for name, tensor in load_bundle(bundle).tensors.items():
        np.testing.assert_array_equal(tensor, expected[name])


def test_one_head_in_bf16_is_right_with_the_compiler_that_is_here():
    """GCC 12 gives nan on processors with AVX-512: see `imagen_fast.training.compiled`."""
    torch.manual_seed(0)
    block, low = AttentionBlock(32, 32, window=8, shift=0), torch.randn(2, 32, 8, 8)
    parameters, noise = list(block.parameters()), torch.randn(2, 32, 8, 8)

    def network(x):
        return [block(x)]

    def gradients(run):
        with torch.autocast("cpu", torch.bfloat16):
            (picture,) = run(low)
        return torch.autograd.grad((picture.float() * noise).mean(), parameters)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fast = compiled(network, parameters, low, "bf16", "auto")
    for found, expected in zip(gradients(fast), gradients(network), strict=True):
        assert (found - expected).norm() <= 0.05 * expected.norm()
