"""Each kind's kernels against its definition in float64, one operation at a time."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("triton")

from imagen_fast.kernels.triton.kinds import ROWS
from imagen_fast.kernels.triton.program import Target, Weights, program_of
from triton_launches import KINDS, assert_parity, program, run

from imagen_fast.errors import OperationError
from imagen_fast.graph import Graph, Grid, Input, Output
from imagen_fast.graph.builder import Builder
from imagen_fast.graph.kinds import KINDS as ALL

PICTURE = Input(3, picture=True)
HALF = Grid("x", 1)


def graph_of(kind: str, inputs: dict[str, Input], read: list[str], **settings: Any) -> Graph:
    """One operation that reads these inputs, as the output `y`, a picture if `picture`."""
    b = Builder()
    b.inputs |= inputs
    b.outputs["y"] = Output("y", settings.pop("picture", False))
    roles = settings.pop("roles", {"convolution": ["weight", "bias"]}.get(kind.split("_")[-1], []))
    b.add(kind, "y", *read, tensors={role: role for role in roles}, **settings)
    return b.graph()


def features(channels: int, grid: Grid | None = None) -> Input:
    return Input(channels, grid=grid)


def convolution(inner: int, outer: int, added: int = 0, **settings: Any) -> Graph:
    grid = Grid("x", 1 if settings.get("stride") == 2 else 0)
    more = {f"a{i}": features(outer, grid) for i in range(added)}
    prelu = ["slopes"] if settings.get("activation") == "prelu" else []
    given = settings.pop("given", None) or features(inner)
    return graph_of(
        "convolution", {"x": given, **more}, ["x", *more], channels=outer,
        roles=["weight", "bias", *prelu], **settings,
    )  # fmt: skip


def of_wider(inner: int, outer: int, kernel: int = 3, **settings: Any) -> Graph:
    """Of pixels beyond the border alone, or if there is one tap, less those around."""
    b = Builder()
    b.inputs["x"] = features(inner)
    b.add("pad", "wider", "x", margin=2, padding="edge")
    b.add("convolution", "y", "wider", tensors={"weight": "w", "bias": "b"}, padding="valid",
          channels=outer, kernel=kernel, **settings)  # fmt: skip
    last = "y" if kernel > 1 else b.add("crop", "cropped", "y", margin=1)
    b.outputs["y"] = Output(last)
    return b.graph()


def subpixel(inner: int, channels: int, factor: int, base: Input | None = PICTURE) -> Graph:
    more = {} if base is None else {"base": Input(channels, base.picture, Grid("x"))}
    return graph_of(
        "subpixel_convolution", {"x": features(inner), **more}, ["x", *more], channels=channels,
        factor=factor, picture=True,
    )  # fmt: skip


def attention(channels: int, head_dim: int, window: int, read: str = "x", **more: Any) -> Graph:
    """read: names of what it reads among x, c (a context), t (of other tokens), a."""
    like = features(channels, Grid("x"))
    all_ = {"x": features(channels), "c": like, "a": like, "t": features(channels)}
    names = read.split(",")
    roles = ["q", "kv", "proj", "temperature", *(["position"] if window else [])]
    if window:
        more |= {"window": window}
    if more.get("plain"):
        roles = [f"{x}{end}" for x in ("q", "k", "v", "proj") for end in ("", "_bias")]
    kind = "window_attention" if window else "global_attention"
    inputs = {name: all_[name] for name in dict.fromkeys(["x", *names]) if name}
    return graph_of(kind, inputs, names, head_dim=head_dim, roles=roles, **more)


def maps(channels: int, head_dim: int, window: int, read: str = "x", shift: int = 0) -> Graph:
    """The probabilities of attention; read: as `attention` has it."""
    inputs = {"x": features(channels), "c": features(channels, Grid("x"))}
    names = read.split(",")
    return graph_of(
        "attention_map", {name: inputs[name] for name in names}, names, head_dim=head_dim,
        window=window, shift=shift, roles=["q", "kv", "temperature", "position"],
    )  # fmt: skip


def plain(kind: str, *channels: int, **settings: Any) -> Graph:
    names = [f"x{i}" for i in range(1, len(channels))]
    inputs = {"x": features(channels[0])}
    inputs |= {n: features(c, Grid("x")) for n, c in zip(names, channels[1:], strict=True)}
    return graph_of(kind, inputs, ["x", *names], **settings)


def weighed() -> Graph:
    """Channels weighed by what convolutions make of their means: attention to channels."""
    b = Builder()
    b.inputs["x"] = features(20)
    b.add("reduce", "mean", "x", over="picture", function="mean")
    b.add("reduce", "largest", "x", over="channels", function="maximum")
    for name, read, c in (("few", "mean", 4), ("weights", "few", 20)):
        role = {"weight": name}
        b.add("convolution", name, read, tensors=role, kernel=1, channels=c, activation="sigmoid")
    b.add("product", "z", "weights", "x", "largest")
    b.add("sum", "y", "largest", "mean", "z", minus=1)
    b.outputs["y"] = Output("y")
    return b.graph()


# Name, which says why → graph, and the sides of x (N, H, W).
CASES: dict[str, tuple[Graph, tuple[int, int, int]]] = {
    "rows: wider than a strip, taller than a run": (convolution(16, 16, kernel=3), (1, 9, 70)),
    "rows: one pixel in a batch, residual": (
        convolution(16, 16, 1, kernel=3, activation="silu"), (3, 1, 1)),
    "rows: one column, other channels": (convolution(32, 16, 2, kernel=3), (1, 6, 1)),
    "rows: a third of the columns a program": (
        convolution(96, 96, 1, kernel=3, activation="silu"), (2, 5, 3)),
    "rows: columns that fill no block": (convolution(16, 12, 1, kernel=3), (1, 3, 5)),
    "rows: channels and columns that fill no block": (
        convolution(20, 48, 1, kernel=3, activation="silu"), (2, 6, 9)),
    "taps: no multiple of a tile, batch": (
        convolution(96, 32, 1, kernel=3, activation="silu"), (2, 9, 18)),
    "taps: a tail, as 96 channels have": (convolution(16, 96, 2, kernel=3), (1, 3, 9)),
    "taps: channels that fill no tile": (
        convolution(72, 12, 1, kernel=3, activation="prelu", scale=0.5), (1, 3, 9)),
    "stem: a picture": (convolution(3, 32, given=PICTURE, kernel=3), (2, 9, 11)),
    "stem: more samples than 32 around a pixel": (
        convolution(4, 48, 1, kernel=3, activation="relu"), (1, 4, 5)),
    "stem: each channel by itself": (
        convolution(3, 3, kernel=3, depthwise=True, given=PICTURE), (2, 3, 5)),
    "one tap: each channel by itself": (
        convolution(3, 3, kernel=1, depthwise=True, given=PICTURE), (2, 3, 5)),
    "stem: mirrored": (convolution(3, 16, given=PICTURE, kernel=3, padding="reflect"), (2, 2, 5)),
    "stem: of a wider picture": (of_wider(3, 16), (2, 2, 70)),
    "rows: of a wider picture, batch": (
        of_wider(16, 32, activation="leaky_relu"), (2, 7, 70)),
    "rows: one pixel, the outermost around": (
        convolution(16, 16, 1, kernel=3, padding="edge"), (2, 1, 1)),
    "taps: of a wider picture, batch": (of_wider(96, 32), (2, 9, 18)),
    "taps: mirrored": (convolution(96, 32, 1, kernel=3, padding="reflect"), (1, 3, 17)),
    "each by itself: a wide kernel, several blocks": (
        convolution(70, 70, 1, kernel=7, depthwise=True, padding="edge", activation="gelu"),
        (2, 3, 5)),
    "each by itself: stride 2, odd sides": (
        convolution(5, 5, kernel=4, stride=2, depthwise=True, padding="reflect"), (2, 5, 7)),
    "each by itself: of a wider picture": (of_wider(5, 5, depthwise=True), (1, 5, 4)),
    "stem: several blocks of channels": (convolution(1, 192, kernel=3), (1, 3, 5)),
    "one tap": (convolution(20, 12, 2, kernel=1, activation="leaky_relu", slope=0.3), (2, 5, 7)),
    "one tap: several blocks": (convolution(64, 96, kernel=1, activation="gelu"), (1, 12, 12)),
    "down: odd sides, blocks that cross images": (
        convolution(16, 32, kernel=2, stride=2), (3, 7, 9)),
    "down: one pixel, what follows": (
        convolution(20, 12, 1, kernel=2, stride=2, activation="sigmoid"), (1, 1, 1)),
    "down: several blocks of channels": (convolution(96, 192, kernel=2, stride=2), (1, 3, 4)),
    "up: odd sides are cropped": (
        graph_of("transposed_convolution", {"x": features(20), "c": features(36, HALF)}, ["c", "x"],
                 channels=20), (3, 7, 9)),
    "up, 4×4: zeros around": (
        graph_of("transposed_convolution", {"x": features(24)}, ["x"], channels=3, kernel=4),
        (2, 3, 5)),
    "up, 4×4: odd sides are cropped": (
        graph_of("transposed_convolution", {"x": features(6), "c": features(20, HALF)}, ["c", "x"],
                 channels=6, kernel=4), (2, 5, 7)),
    "up: without a skip": (
        graph_of("transposed_convolution", {"x": features(48)}, ["x"], channels=32), (2, 3, 5)),
    "head: rows": (subpixel(16, 3, 4), (1, 9, 70)),
    "head: one channel, no enlargement": (subpixel(32, 1, 1), (2, 3, 1)),
    "head: two blocks of columns": (subpixel(48, 3, 4), (1, 3, 7)),
    "head: a side of 3, taps": (subpixel(72, 3, 3), (2, 5, 11)),
    "head: as many columns as a tile": (subpixel(16, 4, 4), (1, 1, 17)),
    "head: a base of features, channels that fill no tile": (
        subpixel(20, 2, 2, features(2)), (1, 6, 3)),
    "head: more columns than a tile, no base": (subpixel(16, 40, 2, None), (1, 3, 4)),
    "windows": (attention(64, 32, 8), (1, 8, 16)),
    "windows: odd sides, shifted": (attention(32, 32, 8, shift=4), (2, 9, 13)),
    "windows: smaller than one, across, an addend": (attention(64, 32, 8, "x,c,a"), (1, 3, 5)),
    "windows: three chunks": (attention(96, 32, 8, "x,,a"), (1, 8, 9)),
    "windows: most channels of one launch": (attention(128, 32, 8, shift=4), (1, 5, 8)),
    "windows: two launches": (attention(160, 32, 8, "x,c,a", shift=4), (1, 8, 5)),
    "windows: heads that fill no tile": (attention(20, 5, 6, "x,c"), (1, 9, 7)),
    "windows: more pixels than rows": (attention(32, 32, 10, "x,c,a", shift=5), (1, 11, 13)),
    "windows: a wide head": (attention(64, 64, 8), (1, 5, 8)),
    "everything: several blocks of queries and keys": (attention(64, 32, 0), (1, 9, 17)),
    "everything: one pixel": (attention(32, 32, 0, "x,,a"), (2, 1, 1)),
    "everything: other tokens": (attention(20, 5, 0, "x,t,a"), (2, 3, 5)),
    "everything: heads whose columns fill no block": (attention(48, 16, 0), (1, 3, 9)),
    "everything: the widest head": (attention(128, 128, 0, "x,t"), (1, 3, 5)),
    "the listing's": (attention(64, 64, 0, plain=True), (2, 1, 70)),
    "the listing's: no tile is filled": (attention(24, 24, 0, plain=True), (2, 1, 9)),
    "maps: odd sides, shifted": (maps(64, 32, 8, shift=4), (2, 9, 13)),
    "maps: across, heads and windows that fill no tile": (maps(20, 5, 6, "x,c"), (1, 9, 7)),
    "maps: several blocks of queries": (maps(32, 32, 10, shift=5), (1, 11, 13)),
    "maps: few keys, one pixel": (maps(16, 16, 2), (1, 1, 1)),
    "sum of one": (plain("sum", 5, activation="gelu", scale=2.0, offset=-1.0), (2, 3, 5)),
    "sum of four": (
        plain("sum", 5, 5, 5, 5, activation="prelu", roles=["slopes"]), (1, 7, 6)),
    "sum of three, two subtracted": (plain("sum", 5, 5, 5, minus=2), (1, 7, 6)),
    "product of three": (plain("product", 130, 130, 130), (1, 3, 5)),
    "one pixel for all, and one channel": (weighed(), (3, 5, 7)),
    **{
        f"{function} of a picture in several parts": (
            plain("reduce", 70, over="picture", function=function), (2, 11, 19))
        for function in ("mean", "variance", "deviation", "maximum")
    },
    "mean of a picture of one pixel": (
        plain("reduce", 3, over="picture", function="mean"), (2, 1, 1)),
    "deviation of the channels": (plain("reduce", 20, over="channels", function="deviation"),
                                  (2, 3, 5)),
    "maximum of the channels": (plain("reduce", 20, over="channels", function="maximum"),
                                (2, 3, 5)),
    "layer norm": (plain("layer_norm", 20, roles=["weight", "bias"]), (2, 3, 5)),
    "maximum of neighbours": (plain("max_pool", 9, kernel=3, stride=2), (2, 5, 7)),
    "padded, mirrored again and again": (
        plain("pad", 5, padding="reflect", margin=4, halvings=2), (2, 3, 5)),
    "padded with zeros": (plain("pad", 5, margin=1), (1, 3, 5)),
    "cropped all around": (of_wider(5, 5, kernel=1), (2, 3, 4)),
    "pixel unshuffle, odd sides": (plain("pixel_unshuffle", 5, factor=2), (2, 3, 5)),
    "concatenate": (plain("concatenate", 5, 1, 8), (2, 3, 5)),
    "slice": (plain("slice", 9, first=3, channels=5), (1, 5, 3)),
    "pixel shuffle": (plain("pixel_shuffle", 18, factor=3), (2, 3, 2)),
    "nearest": (plain("nearest", 5, factor=4), (1, 2, 3)),
    "bilinear": (plain("bilinear", 5, factor=3), (2, 3, 4)),
    "crop to odd sides": (
        graph_of("crop", {"x": features(5), "e": features(5, Grid("x", 1, 2))}, ["e", "x"]),
        (1, 3, 5)),
    "halve": (graph_of("halve", {"x": PICTURE}, ["x"], picture=True), (2, 5, 7)),
}  # fmt: skip


def arrays(graph: Graph, sides: tuple[int, int, int], bytes_: bool = False) -> dict[str, Any]:
    """Random inputs; those of other tokens have 67 pixels."""
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for name, x in graph.inputs.items():
        n, h, w = (sides[0], 1, 67) if name == "t" else sides
        shape = (n, *graph.values[name].grid.size(h, w), x.channels)
        found[name] = rng.standard_normal(shape, np.float32)
        if x.picture:
            found[name] = rng.integers(0, 256, shape, np.uint8)
            found[name] = found[name] if bytes_ else found[name] / np.float32(255)
    return found


def tensors(graph: Graph, temperature: float = 1.5) -> dict[str, Any]:
    """Random weights, with which everything shows."""
    rng = np.random.default_rng(1)
    found = {}
    for name, shape in graph.tensors.items():
        fan_in = shape[0] if graph.operations[0].kind.startswith("tran") else np.prod(shape[1:])
        x = rng.standard_normal(shape) * (fan_in**-0.5 if len(shape) > 1 else 0.3)
        found[name] = x.astype(np.float32)
    if "temperature" in found:
        found["temperature"] = np.linspace(-temperature, temperature, len(found["temperature"]))
        found["temperature"] = found["temperature"].astype(np.float32)
        found["temperature"][0] = temperature
    return found


def test_every_kind_has_a_case():
    assert {graph.operations[0].kind for graph, _ in CASES.values()} == set(ROWS)


# In the interpreter fp32 stands for bf16, where exponents have another bound than in fp16.
@pytest.mark.parametrize(
    ("case", "kind"),
    [
        (case, kind) for case, (graph, _) in CASES.items() for kind in KINDS
        if kind != "fp32" or "attention" in graph.operations[0].kind
    ],
)  # fmt: skip
def test_parity(case, kind):
    graph, sides = CASES[case]
    assert_parity(graph, tensors(graph), arrays(graph, sides), ["y"], kind)


# Forms that only some architectures take.
@pytest.mark.parametrize(
    ("arch", "case"),
    [
        (80, "head: as many columns as a tile"), (120, "head: as many columns as a tile"),
        (100, "head: as many columns as a tile"), (80, "windows"),
    ],
)  # fmt: skip
def test_parity_as_other_architectures_compute(arch, case):
    graph, sides = CASES[case]
    assert_parity(graph, tensors(graph), arrays(graph, sides), ["y"], "fp16", arch=arch)


BYTES = [
    case for case, (graph, _) in CASES.items() if any(x.picture for x in graph.inputs.values())
]


@pytest.mark.parametrize("case", BYTES)
def test_bytes(case):
    graph, sides = CASES[case]
    assert_parity(graph, tensors(graph), arrays(graph, sides, bytes_=True), ["y"], "fp16")


@pytest.mark.parametrize("case", [c for c in CASES if "more pixels than rows" in c or "odd" in c
                                  or "several blocks of queries" in c])  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_logits_beyond_any_float_exponential(case, kind):
    """A temperature of 40 gives logits up to ±226: e^226 is no float, the softmax is one-hot."""
    graph, sides = CASES[case]
    assert_parity(graph, tensors(graph, 40.0), arrays(graph, sides), ["y"], kind)


@pytest.mark.parametrize("factor", [1, 3])
def test_bytes_come_back_where_nothing_is_added(factor):
    """And halves go to the even side: 2.5 / 255 to 2, 3.5 / 255 to 4."""
    graph = subpixel(16, 1, factor)
    zeros = {name: np.zeros(shape, np.float32) for name, shape in graph.tensors.items()}
    same = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    x = np.ones((1, 16, 16, 16), np.float32)

    def enlarged(image: np.ndarray) -> np.ndarray:
        return image.repeat(factor, 1).repeat(factor, 2)

    (out,) = run(graph, zeros, {"x": x, "base": same}, ["y"], "fp16")[0].values()
    assert np.array_equal(out.cpu().numpy(), enlarged(same))


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
@pytest.mark.parametrize("case", ["head: rows", "head: a side of 3, taps", "halve", "one tap"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_told(case, value):
    """In the last value of the last pixel, though the clamp would hide it."""
    graph, sides = CASES[case]
    given = arrays(graph, sides)
    assert run(graph, tensors(graph), given, ["y"], "fp16")[1]
    given["x"][-1, -1, -1, -1] = value
    assert not run(graph, tensors(graph), given, ["y"], "fp16")[1]


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("maximum")])
@pytest.mark.parametrize("pixel", [0, -1])
def test_a_maximum_of_what_is_no_number_is_none(case, pixel):
    graph, sides = CASES[case]
    given = arrays(graph, sides)
    given["x"][-1, pixel, pixel, 0] = np.nan
    assert not run(graph, tensors(graph), given, ["y"], "fp16")[1]


@pytest.mark.parametrize("size", [(100_000, 8, 9), (1, 3, 1 << 20), (1, 1 << 20, 3)])
def test_grids_that_a_gpu_has(size):
    """Of large batches and long pictures: the second axis holds 65535 programs at most."""
    for name, (graph, _) in CASES.items():
        weights = Weights(tensors(graph), "fp16", "cpu")
        sizes = dict.fromkeys(graph.inputs, size)
        for launch in program_of(graph, weights, sizes, Target(90, 132, "u8")).launches:
            for programs, most in zip(launch.grid, (2**31 - 1, 65535), strict=False):
                assert 1 <= programs <= most, (name, launch.grid)


def refused(graph: Graph, sides: tuple[int, int, int] = (1, 4, 4)) -> str:
    with pytest.raises(OperationError) as error:
        program(graph, tensors(graph), arrays(graph, sides), ["y"], "fp16")
    return str(error.value)


def test_what_has_no_kernel_is_refused_by_its_name():
    for graph, said in (
        (convolution(8, 8, 3, kernel=3), "'y' (convolution): 3 addends; expected 2 at most"),
        (
            convolution(8, 8, kernel=3, activation="clamp"),
            "activation 'clamp'; expected one of none",
        ),
        (attention(160, 160, 0), "head_dim is 160; the kernels take up to 128"),
        (maps(32, 32, 18), "a window has 324 pixels; the kernel takes up to 256"),
        (attention(32, 32, 8, "x,,a,a"), "2 addends; expected 1 at most"),
    ):
        assert said in refused(graph)
        assert "choose backend native or eager" in refused(graph)


def test_attributes_that_are_not_heeded_are_refused():
    for kind, row in ROWS.items():
        assert row.attributes <= ALL[kind].attributes.keys()
