"""The kernels as PyTorch operations: registration, the reference's twins, one node each."""

from collections import Counter

import pytest
import torch
from torch import nn

pytest.importorskip("triton")

from attention_block import random_block
from imagen_fast.kernels.triton import ops
from imagen_fast.kernels.triton.attention_weights import pack_attention, pack_listing
from imagen_fast.kernels.triton.conv_block import pack_conv_block
from imagen_fast.kernels.triton.down import pack_down
from imagen_fast.kernels.triton.head import pack_head
from imagen_fast.kernels.triton.linear import pack_linear
from imagen_fast.kernels.triton.network import Network
from imagen_fast.kernels.triton.ops import dispatch
from imagen_fast.kernels.triton.packed import pack_generator
from imagen_fast.kernels.triton.stem import pack_stem
from imagen_fast.kernels.triton.up import pack_up
from tolerance import DEVICE

from imagen_fast.models.build import build
from imagen_fast.models.listing import SelfAttention
from imagen_fast.spec import Level, ModelSpec

SIZE = (2, 5, 7)  # N, H, W: odd sides, no multiple of a window or a tile


def features(channels, n=SIZE[0], h=SIZE[1], w=SIZE[2]):
    return torch.randn(n, h, w, channels, device=DEVICE)


def random(*shape):
    return torch.randn(shape) * 0.2


def attention_weights(channels, head_dim, window):
    block = random_block(channels, head_dim, window, 0).requires_grad_(False)
    position = block.position if window else None
    return pack_attention(
        block.q.weight, block.kv.weight, block.proj.weight, block.temperature, position,
        dtype=torch.float32, device=DEVICE,
    )  # fmt: skip


def listing_weights(d_model):
    layer = SelfAttention(d_model).requires_grad_(False)
    each = ((x.weight, x.bias) for x in (layer.q, layer.k, layer.v, layer.out))
    return pack_listing(*each, dtype=torch.float32, device=DEVICE)


def call(name):
    """A PyTorch operation and arguments for it, in fp32, of widths that fill no tile."""
    torch.manual_seed(0)
    full, image = (torch.float32, DEVICE), torch.rand(*SIZE, 3, device=DEVICE)
    as_bytes = (image * 255).round().to(torch.uint8)
    x, context, also = features(20), features(20), features(20)
    rows = torch.randn(2, 9, 24, device=DEVICE)
    head = pack_head(random(12, 20, 3, 3), random(12), 2, *full)
    window, whole = attention_weights(20, 5, 6), attention_weights(20, 5, 0)
    up = pack_up(random(36, 20, 2, 2), random(20), *full)
    coarse = features(36, h=3, w=4)
    arguments = {
        "stem": (image, *pack_stem(random(20, 3, 3, 3), random(20), *full)),
        "stem of bytes": (as_bytes, *pack_stem(random(20, 3, 3, 3), random(20), *full)),
        "conv_block": (x, *pack_conv_block(random(20, 20, 3, 3), random(20), *full)),
        "conv_block of 32": (
            features(32),
            *pack_conv_block(random(32, 32, 3, 3), random(32), *full),
        ),
        "down": (x, *pack_down(random(36, 20, 2, 2), random(36), *full)),
        "up": (coarse, x, *up),
        "up without a skip": (coarse, None, *up),
        "head": (x, image, False, *head),
        "head to bytes": (x, as_bytes, True, *head),
        "head without a base": (x, None, False, *head),
        "linear": (x, *pack_linear(random(36, 20, 1, 1), random(36), *full)),
        "window_attention": (x, None, None, 0, *window),
        "window_attention across, shifted": (x, context, also, 3, *window),
        "global_attention": (x, None, None, *whole),
        "global_attention of tokens": (x, torch.randn(2, 11, 20, device=DEVICE), also, *whole),
        "global_attention of the listing": (rows, None, None, *listing_weights(24)),
    }
    return getattr(torch.ops.imagen_fast, name.split()[0]).default, arguments[name]


CALLS = [
    *("stem", "stem of bytes", "conv_block", "conv_block of 32", "down", "up"),
    *("up without a skip", "head", "head to bytes", "head without a base", "linear"),
    *("window_attention", "window_attention across, shifted", "global_attention"),
    *("global_attention of tokens", "global_attention of the listing"),
]


@pytest.mark.parametrize("name", CALLS)
def test_registration(name):
    """Schema, fake implementation and real one agree, for sizes known and unknown."""
    op, arguments = call(name)
    assert set(torch.library.opcheck(op, arguments).values()) == {"SUCCESS"}


@pytest.mark.parametrize("name", CALLS)
def test_kernel_and_reference_agree(name, monkeypatch):
    op, arguments = call(name)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)

    def run():
        given = op(*arguments)
        return given if isinstance(given, tuple) else (given,)

    with torch.inference_mode():
        by_kernel = run()
        for module in vars(ops).values():  # every operation has its own name for it
            if (namespace := getattr(module, "__globals__", None)) is not None:
                monkeypatch.setitem(namespace, "by_kernel", lambda x: False)
        by_reference = run()
    for ours, theirs in zip(by_kernel, by_reference, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.is_contiguous()
        assert (ours.double() - theirs.double()).abs().max() <= (
            1 if ours.dtype == torch.uint8 else 2e-5
        )
    assert by_kernel[0].double().std() > 0.05


class Exported(nn.Module):
    """A network as a module, for PyTorch's exporter and compiler."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        return self.network.run(image)[0]


LEVELS = (Level(32, convs=2), Level(48, convs=0, attention="global"))
SPEC = ModelSpec(scale=2, levels=LEVELS, head_dim=16)
NODES = {"stem": 1, "conv_block": 4, "window_attention": 2, "down": 1, "global_attention": 2}
NODES |= {"up": 1, "head": 1}


@pytest.fixture
def module(bundle_of):
    return Exported(Network(pack_generator(build(bundle_of(SPEC)), torch.float32, DEVICE)))


def test_export_sees_one_node_an_operation(module):
    """And one program for every size."""
    sizes = {1: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO}
    image = torch.rand(1, 12, 10, 3, device=DEVICE)
    program = torch.export.export(module, (image,), dynamic_shapes=(sizes,))
    targets = [str(n.target) for n in program.graph.nodes if n.op == "call_function"]
    found = Counter(t.split(".")[1] for t in targets if t.startswith("imagen_fast."))
    assert found == NODES
    other = torch.rand(1, 9, 11, 3, device=DEVICE)
    with torch.inference_mode():
        for given in (image, other):
            torch.testing.assert_close(program.module()(given), module(given), rtol=0, atol=0)


def test_compile_takes_it_whole(module):
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    image = torch.rand(1, 5, 7, 3, device=DEVICE)
    with torch.inference_mode():
        expected = module(image)
        got = torch.compile(module, backend=backend, fullgraph=True)(image)
    assert torch.equal(got, expected)
    (graph,) = graphs
    assert sum("imagen_fast" in str(n.target) for n in graph.graph.nodes) >= sum(NODES.values())
    torch._dynamo.reset()


def weights_of(name, of):
    """The packed weights among an operation's arguments."""
    _, arguments = call(name)
    return of(*arguments[-len(of._fields) :])


def test_what_is_refused():
    from imagen_fast.kernels.triton.attention_weights import AttentionWeights
    from imagen_fast.kernels.triton.conv_block import ConvBlockWeights
    from imagen_fast.kernels.triton.head import HeadWeights
    from imagen_fast.kernels.triton.up import UpWeights

    conv, head = weights_of("conv_block", ConvBlockWeights), weights_of("head", HeadWeights)
    x = features(20)
    with pytest.raises(ValueError, match=r"x has shape \(2, 5, 7, 21\); expected \(any, any, any"):
        ops.conv_block(features(21), conv)
    with pytest.raises(ValueError, match=r"x has shape \(0, 5, 7, 20\)"):
        ops.conv_block(x[:0], conv)
    with pytest.raises(ValueError, match=r"x is torch.float16; expected float32"):
        ops.conv_block(x.half(), conv)
    with pytest.raises(ValueError, match="x is not contiguous"):
        ops.conv_block(x.transpose(1, 2), conv)
    with pytest.raises(ValueError, match=r"x is on meta and the weights on"):
        ops.conv_block(x.to("meta"), conv, out=x)
    with pytest.raises(ValueError, match="out shares memory with an input"):
        ops.conv_block(x, conv, out=x)
    memory = torch.empty(2 * x.numel(), device=DEVICE)  # one piece, two parts of it
    first, second = (part.view(x.shape) for part in memory.chunk(2))
    ops.conv_block(first.copy_(x), conv, out=second)
    with pytest.raises(ValueError, match="give both or none"):
        ops.head(x, head, out=torch.empty(2, 10, 14, 3, device=DEVICE))
    with pytest.raises(ValueError, match=r"the image is torch.float16; expected uint8 or float32"):
        ops.head(x, head, torch.rand(2, 5, 7, 3, device=DEVICE).half())
    with pytest.raises(ValueError, match=r"the skip has sides \(7, 7\); expected twice"):
        ops.up(features(36, h=3, w=4), weights_of("up", UpWeights), features(20, h=7))
    window = weights_of("window_attention", AttentionWeights)
    with pytest.raises(ValueError, match="shift is 6 and the weights' window 6"):
        ops.window_attention(x, window, shift=6)
    with pytest.raises(ValueError, match="these weights are for windows of 6"):
        ops.global_attention(x, window)


def test_bf16_is_computed_by_the_reference_in_the_interpreter():
    x = torch.zeros(1)
    assert dispatch.by_kernel(x) == (dispatch.INTERPRETED or x.is_cuda)
    assert not dispatch.by_kernel(x.bfloat16())
