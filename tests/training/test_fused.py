"""Networks train by the engine's kernels only where their gradients are right."""

import pytest
import torch

from imagen_fast.models.generator import Generator
from imagen_fast.spec import Level, ModelSpec
from imagen_fast.training import fastest, fused
from imagen_fast.training.config_file import parse_config
from imagen_fast.training.gradients import difference
from imagen_fast.training.trainer import train

trainable = pytest.importorskip("imagen_fast._native").trainable

if not trainable():
    pytest.skip("this processor has no kernels for training", allow_module_level=True)

LEVELS = {
    "one level": (Level(32, depth=2, convs=1),),
    "global attention below": (Level(32, convs=1), Level(64, convs=1, attention="global")),
}


def generator_of(levels):
    torch.manual_seed(0)
    return Generator(ModelSpec(scale=2, levels=levels)).to(memory_format=torch.channels_last)


def never(*_, **__):
    raise AssertionError("nothing is to be compiled here")


@pytest.mark.parametrize("levels", LEVELS)
def test_a_networks_gradients_are_right(levels):
    generator, low = generator_of(LEVELS[levels]), torch.rand(2, 3, 20, 20)
    native = fused.native_training()
    fast = fused.fused(generator.progressive, generator, native)
    assert fast is not None
    parameters = list(generator.parameters())
    assert difference(generator.progressive, fast, parameters, low, native.precision) is None


def test_the_network_itself_stays_as_it_was():
    generator, low = generator_of(LEVELS["one level"]), torch.rand(1, 3, 9, 9)
    before = generator.progressive(low)
    fast = fused.fused(generator.progressive, generator, fused.native_training())
    with torch.autocast("cpu", torch.bfloat16):
        fast(low)
    assert all(map(torch.equal, generator.progressive(low), before))


def test_a_network_without_such_layers_is_none():
    generator = generator_of((Level(32, convs=0, attention="global"),))
    layers = generator.encoder.stages  # without its convolutions' and the heads'
    assert fused.fused(generator.progressive, layers, fused.native_training()) is None


def test_auto_takes_the_kernels_and_says_so(tables, monkeypatch, capsys):
    monkeypatch.setattr(fastest, "compiled", never)
    tables["run"] |= {"steps": 1, "compile": "auto"}
    assert train(parse_config(tables)).finished
    assert "train by the engine's kernels" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_precision_is_trained_in_by_its_own_kernels(precision):
    native = fused.native_training(precision)
    names = trainable(precision)
    assert (native.isa, native.precision) == (names[0], precision) if names else native is None


def test_an_instruction_set_without_kernels_leaves_them_out(monkeypatch):
    monkeypatch.setenv("IMAGEN_FAST_ISA", "generic")
    assert fused.native_training() is None
    monkeypatch.setenv("IMAGEN_FAST_ISA", "avx2")
    assert trainable("bf16") == []
    assert fused.native_training().isa == "avx2"


def test_wrong_gradients_are_a_warning(tables, monkeypatch):
    monkeypatch.setattr(fastest, "difference", lambda *_: "wrong gradients: by much")
    monkeypatch.setattr(fastest, "compiled", lambda network, *_: network)
    tables["run"] |= {"steps": 1, "compile": "auto"}
    with pytest.warns(UserWarning, match="the engine's kernels give wrong gradients: by much"):
        assert train(parse_config(tables)).finished


def test_kernels_or_the_network_itself(tables, monkeypatch):
    monkeypatch.setattr(fastest, "compiled", never)
    monkeypatch.setattr(fastest, "native_training", lambda _: None)
    tables["run"] |= {"steps": 1, "compile": "kernels"}
    assert train(parse_config(tables)).finished
