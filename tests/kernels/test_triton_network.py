"""Whole networks on the kernels: planned memory against the reference in float64."""

import copy
from dataclasses import replace

import pytest
import torch

pytest.importorskip("triton")

from imagen_fast.kernels.triton.buffers import ALIGNMENT, Plan
from imagen_fast.kernels.triton.network import Network
from imagen_fast.kernels.triton.packed import pack_generator
from tolerance import DEVICE, DTYPES, assert_parity

from imagen_fast.models.build import build
from imagen_fast.spec import Level, ModelSpec, preset

# Both kinds of attention, no width that fills a tile, a level without convolutions.
MIXED = ModelSpec(
    scale=2,
    levels=(Level(20, depth=2, convs=1), Level(30, attention="global"), Level(10, convs=0)),
    head_dim=5,
    window=6,
    latent_channels=3,
)
NARROW = tuple(replace(level, channels=32) for level in preset("tiny").levels)
SMALL = ModelSpec(scale=3, levels=(Level(48), Level(32)), head_dim=16)
CASES = {
    "mixed, odd sides": (MIXED, (1, 7, 5)),
    "a window and less, scale 3": (SMALL, (1, 5, 3)),
    "one pixel, one level": (ModelSpec(scale=1, levels=(Level(32, convs=0),)), (1, 1, 1)),
    "one channel, batch": (ModelSpec(scale=4, levels=NARROW, image_channels=1), (2, 2, 3)),
}


@pytest.fixture(params=CASES)
def case(request, bundle_of):
    spec, (n, h, w) = CASES[request.param]
    image = torch.randint(0, 256, (n, h, w, spec.image_channels), dtype=torch.uint8, device=DEVICE)
    return build(bundle_of(spec)).to(DEVICE), image


def reference(network, image, dtype):
    x = (image.to(dtype) / 255 if image.dtype == torch.uint8 else image.to(dtype)).movedim(3, 1)
    with torch.inference_mode():
        return copy.deepcopy(network).to(dtype)(x).clamp(0, 1).movedim(1, 3).double()


@pytest.mark.parametrize("dtype", DTYPES)
def test_planned_memory(case, dtype):
    """Full of NaN before: nothing is read that was not written."""
    reference_network, image = case
    network = Network(pack_generator(reference_network, dtype, DEVICE))
    plan = network.plan(image.shape)
    memory = torch.full((plan.size,), 255, dtype=torch.uint8, device=DEVICE)
    assert plan.place(memory).scratch.isnan().all()
    out = torch.full(network.output_shape(image.shape), torch.nan, device=DEVICE)
    flag = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    values = image.float() / 255
    got, told = network.run(values, plan.place(memory), out=out, not_finite=flag)
    assert got is out
    assert told is flag
    assert not flag
    truth, theirs = (reference(reference_network, values, kind) for kind in (torch.float64, dtype))
    assert_parity(out, truth, theirs)
    # Allocating gives the same, and bytes what is as close, rounded.
    assert torch.equal(network.run(values)[0], out)
    as_bytes, _ = network.run(image)
    error = 255 * (out - truth).abs().max()
    assert (as_bytes - 255 * truth).abs().max() <= 0.5 + 2 * error


def test_bf16_without_a_gpu_is_the_references(bundle_of):
    spec, _ = CASES["mixed, odd sides"]
    network = build(bundle_of(spec))
    packed = Network(pack_generator(network, torch.bfloat16, "cpu"))
    image = torch.rand(1, 9, 4, 3)
    out, flag = packed.run(image)
    assert not flag
    truth, theirs = (reference(network, image, kind) for kind in (torch.float64, torch.bfloat16))
    assert_parity(out, truth, theirs)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_what_is_not_finite_is_told(bundle_of):
    network = build(bundle_of(MIXED)).to(DEVICE)
    with torch.no_grad():
        network.encoder.stem.weight.mul_(1e8)  # beyond fp16
    packed = Network(pack_generator(network, torch.float16, DEVICE))
    image = torch.rand(1, 8, 8, 3, device=DEVICE)
    assert packed.run(image)[1] == 1
    assert packed.progressive(image)[1] > 0


def test_a_plan_keeps_its_parts_apart():
    plan = Plan(torch.float16, ((2, 3, 5), (1, 1, 7)), ((4, 4), (3, 3)), scratch=11)
    memory = torch.zeros(plan.size, dtype=torch.uint8)
    place = plan.place(memory)
    first, second = place.work(0), place.work(1)
    parts = [place.kept(0), place.kept(1), first, second, place.scratch]
    for value, part in enumerate(parts, start=1):
        part.fill_(value)
        assert part.data_ptr() % 16 == 0
    for value, part in enumerate(parts, start=1):
        assert (part == value).all()
    assert plan.size == 5 * ALIGNMENT
    assert place.work(0).data_ptr() == first.data_ptr()  # the two take turns
    with pytest.raises(ValueError, match="1279 bytes of memory; expected at least 1280"):
        plan.place(memory[:-1])
