"""The door for state dictionaries, of .pth and of .safetensors."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from checkpoints import RRDB, Compact, Span, old_names
from running import defined
from safetensors.torch import save_file
from torch import nn

from imagen_fast import importers, model_file
from imagen_fast.errors import WeightsError
from imagen_fast.importers import checkpoint_file

CASES = {
    "compact": Compact(),
    "compact x2": Compact(scale=2),
    "esrgan": RRDB(),
    "esrgan x2": RRDB(scale=2),
    "esrgan x1": RRDB(scale=1),
    "span": Span(),
}


def check(path: Path, module: nn.Module, scale: int) -> None:
    bundle = importers.load(path)
    assert bundle.graph.scale == scale
    image = torch.rand(1, 3, 20, 28, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = module.eval()(image)
    error = (defined(bundle, image) - expected).square().mean().sqrt()
    assert error <= 5e-6 * expected.square().mean().sqrt()


@pytest.mark.parametrize("name", CASES)
def test_architectures_are_known_by_their_names(name: str, tmp_path: Path) -> None:
    module = CASES[name]
    scale = {"compact": 4, "esrgan": 4}.get(name, 1 if "x1" in name else 2)
    torch.save({"params_ema": module.state_dict(), "params": {}}, tmp_path / "a.pth")
    check(tmp_path / "a.pth", module, scale)
    save_file(module.state_dict(), tmp_path / "a.safetensors")
    assert importers.is_foreign(tmp_path / "a.safetensors")
    save_file(module.state_dict(), tmp_path / "a.safetensors", {"format": "pt"})
    assert importers.is_foreign(tmp_path / "a.safetensors")
    check(tmp_path / "a.safetensors", module, scale)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_other_precisions_are_read(dtype: torch.dtype, tmp_path: Path) -> None:
    state = {name: x.to(dtype) for name, x in Compact().state_dict().items()}
    state |= {"one": torch.tensor(1.5, dtype=dtype), "none": torch.zeros(0, 3, dtype=dtype)}
    state["step"] = torch.tensor(7)  # no weight: left out
    save_file(state, tmp_path / "a.safetensors")
    del state["step"]
    found = checkpoint_file.read(tmp_path / "a.safetensors")
    assert found.keys() == state.keys()
    for name, x in state.items():
        assert torch.equal(torch.from_numpy(found[name]), x.float())


def test_weights_of_8_bits_are_refused(tmp_path: Path) -> None:
    state = Compact().state_dict()
    state["body.2.bias"] = state["body.2.bias"].to(torch.float8_e4m3fn)
    save_file(state, tmp_path / "a.safetensors")
    said = r"a\.safetensors: tensor 'body\.2\.bias' is F8_E4M3; expected F64, F32, F16, BF16$"
    with pytest.raises(WeightsError, match=said):
        model_file.load_model(tmp_path / "a.safetensors")


def test_weights_are_found_wherever_trainers_keep_them(tmp_path: Path) -> None:
    right, other = Compact().state_dict(), Compact().state_dict()
    in_itself: dict[str, object] = {"params": right}
    in_itself["model"] = in_itself
    for found in (
        {"model": {"params_ema": right, "params": other}},
        {"params": right, "params_ema": {}},
        {"params": other, "params_ema": right},
        {"state_dict": {"model": {"params_ema": {}, "net_g": right}}, "params_ema": None},
        {**right, "generator": {"step": 7}},
        in_itself,
    ):
        torch.save(found, tmp_path / "a.pth")
        state = checkpoint_file.read(tmp_path / "a.pth")
        assert state.keys() == right.keys()
        assert all((state[name] == x.numpy()).all() for name, x in right.items())


def test_old_names_of_esrgan(tmp_path: Path) -> None:
    module = RRDB()
    torch.save(old_names(module.state_dict()), tmp_path / "a.pth")
    check(tmp_path / "a.pth", module, 4)


def test_dense_blocks_have_no_operation_but_convolutions_and_joins(tmp_path: Path) -> None:
    torch.save(RRDB().state_dict(), tmp_path / "a.pth")
    operations = importers.load(tmp_path / "a.pth").graph.operations
    kinds = [x.kind for x in operations]
    assert set(kinds) == {"convolution", "concatenate", "sum", "nearest"}
    assert kinds.count("convolution") == 2 * 15 + 6
    assert kinds.count("sum") == 2 * 2  # 0.2 · (0.2 · conv + x) + y


def test_a_published_span_is_the_same_through_both_doors(published: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = published / "span-c28-x4.onnx"
    weights = {
        x.name: torch.from_numpy(onnx.numpy_helper.to_array(x).copy())
        for x in onnx.load(path).graph.initializer
    }
    save_file(weights, tmp_path / "span.safetensors")
    image = torch.rand(1, 3, 20, 28, generator=torch.Generator().manual_seed(1))
    one, other = importers.load(path), importers.load(tmp_path / "span.safetensors")
    assert torch.allclose(defined(one, image), defined(other, image), atol=1e-4)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("open('/tmp/harmful', 'w')",)


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(pickle.dumps({"body.0.weight": Harmful()}))
    torch.save({"body.0.weight": Harmful()}, tmp_path / "b.pth")
    refused = (("a.pth", "not a file of PyTorch"), ("b.pth", r"holds more than weights \(eval\)"))
    for name, said in refused:
        with pytest.raises(WeightsError, match=said) as caught:
            model_file.load_model(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"hi", b"PK\x03\x04" + bytes(40), b"\x89PNG" + bytes(99)])
def test_what_is_no_file_of_weights_is_told_without_pytorchs_text(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"a\.pth: not a file of PyTorch's weights, or damaged$"):
        model_file.load_model(tmp_path / "a.pth")


def test_unknown_weights_are_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.zeros(3), "b": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="known"):
        model_file.load_model(tmp_path / "a.pth")
    state = Compact().state_dict()
    del state["body.2.weight"]
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(Exception, match=r"'body.2.weight' is missing"):
        model_file.load_model(tmp_path / "a.safetensors")
