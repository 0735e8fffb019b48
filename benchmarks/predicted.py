"""Microseconds that pictures should take on GPUs, by counted bytes and operations: no measurement.

    python benchmarks/predicted.py > benchmarks/results/gpu-predicted.md

For shipped models that read one picture, in bf16, batch 1, from and to bytes, on an H100 and an
H200 (SXM):

- floor: every launch reads its arrays from device memory once and writes them once, or computes
  what the definition needs, whichever takes longer, at the data sheets' rates.
- expected: `SHARE` of these rates; what kernels compute and fetch from L2 in vain is counted (rows
  that runs share, taps read anew, weights of every program, multiprocessors without work in the
  last turn); and `GAP` for each launch.
- torch.compile: the definitions traced. Convolutions, products and attention move their arrays, as
  libraries' kernels do; all that lies between two of them is one kernel, and padding none. Same
  share and gap.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from imagen_fast.kernels.triton.launch import DTYPES, Array, Launch
from imagen_fast.kernels.triton.program import Target, Weights, program_of
from on_gpu.layers import Layer, layers
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import flop_registry

from imagen_fast.catalogue import shipped
from imagen_fast.graph import Graph
from imagen_fast.graph.cost import flops
from imagen_fast.graph.passes import needed
from imagen_fast.models.operations import run_graph

SIDES = (256, 512, 1024)
KIND = "bf16"
SHARE = 0.6  # of products and of copies, of what data sheets say
GAP = 1.5e-6  # seconds between two launches of a recorded graph, and until all multiprocessors work


@dataclass(frozen=True)
class Gpu:
    """Rates a second: products in bf16, device memory, L2 (microbenchmarks: 5.5 to 7 TB/s)."""

    name: str
    flops: float
    memory: float
    l2: float = 5.5e12
    processors: int = 132


GPUS = (Gpu("H100", 989e12, 3.35e12), Gpu("H200", 989e12, 4.8e12))


@dataclass(frozen=True)
class Cost:
    """Of one launch: operations and bytes that there must be, operations and bytes from L2 that
    there are, and programs."""

    name: str
    flops: float
    bytes: float
    work: float = 0
    l2: float = 0
    programs: int = 0

    def floor(self, gpu: Gpu) -> float:
        """Seconds."""
        return max(self.flops / gpu.flops, self.bytes / gpu.memory)

    def expected(self, gpu: Gpu) -> float:
        """Seconds."""
        turns = -(-self.programs // gpu.processors) or 1
        idle = turns * gpu.processors / self.programs if self.programs else 1
        busy = max(idle * max(self.flops, self.work) / gpu.flops, idle * self.l2 / gpu.l2)
        return max(busy, self.bytes / gpu.memory) / SHARE + GAP


@cache
def ours(layer: Layer) -> tuple[Cost, ...]:
    """The launches of a layer; the first has all operations."""
    tensors = {n: np.ones(shape, np.float32) for n, shape in layer.graph.tensors.items()}
    n, h, w = layer.size
    sizes: Any = {
        name: (n, *layer.graph.values[name].grid.size(h, w)) for name in layer.graph.inputs
    }
    weights = Weights(tensors, KIND, "cpu")
    target = Target(90, GPUS[0].processors, "u8", inner=True)
    launches = program_of(layer.graph, weights, sizes, target).launches
    needed = [n * flops(layer.graph, h, w), *[0] * (len(launches) - 1)]
    return tuple(_cost(x, count, weights.packed) for x, count in zip(launches, needed, strict=True))


def _cost(launch: Launch, count: float, packed: dict[str, torch.Tensor]) -> Cost:
    arrays = [x for x in launch.passed.values() if isinstance(x, Array)]
    maps = sum(_bytes(x) for x in arrays if x.shape)
    weights = sum(packed[x.of].nbytes for x in arrays if isinstance(x.of, str))
    (programs,) = launch.grid
    c, passed = launch.constants, launch.passed
    work, l2, blocks = count, 0.0, 1
    if "ROWS" in c:  # turns that are not full; two of three readings of a row come from L1
        run, rows = passed["run"], c["ROWS"]
        again = -(-(run + 2) // rows) * rows / run
        blocks = c["COLUMNS"] // c["BLOCK_N"]
        work, l2 = count * again, blocks * again * _bytes(passed["x"])
    elif "BLOCK_H" in c:  # asynchronous copies pass L1 by
        l2 = 9 * _bytes(passed["x"])
    l2 += maps + programs * weights / blocks
    return Cost(launch.name, count, maps + weights, work, l2, programs)


def _bytes(x: Any) -> int:
    count: int = math.prod(x.shape) * DTYPES[x.kind].itemsize
    return count


def traced(graph: Graph, side: int) -> Iterator[Cost]:
    """The kernels of torch.compile, by name."""
    kind = DTYPES[KIND]
    tensors = {n: torch.zeros(shape, dtype=kind) for n, shape in graph.tensors.items()}
    (first,) = graph.inputs
    x = torch.zeros(1, graph.inputs[first].channels, side, side, dtype=kind)

    def run(tensors: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        (y,) = run_graph(graph, tensors, {first: x}, list(graph.outputs)).values()
        return y

    group: list[Any] = []
    for node in make_fx(run, tracing_mode="fake")(tensors, x).graph.nodes:
        packet = getattr(node.target, "overloadpacket", None)
        if packet in flop_registry:
            yield from _fused(group)
            group = []
            given = torch.fx.map_arg((node.args, node.kwargs), lambda x: x.meta["val"])
            count = flop_registry[packet](*given[0], **given[1], out_val=node.meta["val"])
            read = (min(_size(x), _size(_base(x))) for x in node.all_input_nodes)
            moved = sum(read) + _size(node)
            yield Cost(str(packet), count, moved)
        elif node.op == "call_function" and not _is_view(node):
            group.append(node)
    yield from _fused(group)


def _fused(group: list[Any]) -> Iterator[Cost]:
    inside = set(group)
    read = {_base(x) for node in group for x in node.all_input_nodes} - inside
    kept = [x for x in group if not inside.issuperset(_readers(x))]
    if moved := sum(map(_size, [*read, *kept])):
        yield Cost("fused", 0, moved)


def _is_view(node: Any) -> bool:
    """Padding counts as one, which a library's convolution does by itself."""
    if node.target is torch.ops.aten.constant_pad_nd.default:
        return True
    returns = getattr(getattr(node.target, "_schema", None), "returns", ())
    return any(x.alias_info is not None for x in returns)


def _base(node: Any) -> Any:
    return _base(node.args[0]) if node.op == "call_function" and _is_view(node) else node


def _readers(node: Any) -> Iterator[Any]:
    for user in node.users:
        yield from _readers(user) if _is_view(user) else (user,)


def _size(node: Any) -> float:
    value = node.meta.get("val")
    return float(value.numel() * value.element_size()) if isinstance(value, torch.Tensor) else 0.0


def table(head: str, rows: list[list[str]]) -> None:
    names = head.split(" | ")
    for cells in (names, ["---"] * len(names), *rows):
        print(f"| {' | '.join(cells)} |")
    print()


def main() -> None:
    """Print both tables."""
    print("# Predicted, not measured: microseconds on GPUs\n")
    print("By `python benchmarks/predicted.py`, which says how. None of it has run on a GPU.\n")
    networks, kernels = [], dict[tuple[str, str, int], Cost]()
    for model in (x.header for x in shipped() if x.header.task.inputs == ("image",)):
        graph = needed(model.graph.given(["image"]), [next(iter(model.graph.outputs))])
        for side in SIDES:
            launches = Counter[Cost]()
            for layer, count in layers(graph, 1, side, side).items():
                launches.update(dict.fromkeys(ours(layer), count))
            kernels |= {(model.metadata["name"], x.name, side): x for x in launches}
            theirs, row = list(traced(graph, side)), [f"`{model.metadata['name']}`", f"{side}²"]
            for gpu in GPUS:
                floor = sum(count * x.floor(gpu) for x, count in launches.items())
                expected = sum(count * x.expected(gpu) for x, count in launches.items())
                compiled = sum(x.expected(gpu) for x in theirs)
                row += [f"{1e6 * x:.0f}" for x in (floor, expected, compiled)]
            networks.append([*row, f"{launches.total()} / {len(theirs)}"])
    each = " | ".join(f"{x.name}: floor | expected | torch.compile" for x in GPUS)
    table(f"network | size | {each} | launches, ours / theirs", networks)
    rows = []
    for title, name in sorted({key[:2] for key in kernels}):
        found = [(gpu, kernels[title, name, side]) for gpu in GPUS for side in SIDES]
        cells = [f"{1e6 * x.floor(gpu):.1f} / {1e6 * x.expected(gpu):.1f}" for gpu, x in found]
        rows.append([f"`{title}`: `{name}`", *cells])
    sizes = " | ".join(f"{gpu.name}, {side}²" for gpu in GPUS for side in SIDES)
    table(f"a launch: floor / expected | {sizes}", rows)


if __name__ == "__main__":
    main()
