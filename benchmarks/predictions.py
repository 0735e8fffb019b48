"""What each kernel of `sr-x4-tiny` must move and compute, and the time that takes at least.

    python benchmarks/predictions.py

writes the tables of docs/triton.md between their markers. No time here is measured: bytes that must
cross memory once and FLOPs are counted, and divided by the ceilings that NVIDIA publishes. What the
compiled kernels take is read from benchmarks/results/kernels-aot.json. `--check` only says whether
the page is what would be written.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

import kernel_resources
from on_gpu import cases
from on_gpu.layers import Layer, layers

from imagen_fast.spec import preset

PAGE = Path(__file__).parents[1] / "docs" / "triton.md"
# Compiled forms of the kernels of `sr-x4-tiny`, whatever form an architecture takes.
FORMS = re.compile(
    r"(stem_c64_i3_u8|conv_block_\w+_c(64|96)|window_attention_c(64|96)_d32_window8(_cross)?(_also)?"
    r"|down_c64_c96|up_c96_c64_skip|head_\w+_x4_c64_i3_u8_u8)_bf16"
)
SIDES = (512, 1024)
ITEM = 2  # bytes of a feature in bf16


@dataclass(frozen=True)
class Gpu:
    """Published ceilings: https://www.nvidia.com/en-us/data-center/h100/ and …/h200/ (SXM).

    Attributes:
        bandwidth: bytes a second.
        rate: FLOP/s of dense bf16 products on the matrix units.
    """

    name: str
    bandwidth: float
    rate: float


GPUS = (Gpu("H100", 3.35e12, 989e12), Gpu("H200", 4.8e12, 989e12))


def floor(moved: int, flops: int, gpu: Gpu) -> float:
    """Microseconds that neither memory nor matrix units can go below."""
    return 1e6 * max(moved / gpu.bandwidth, flops / gpu.rate)


def costs(layer: Layer) -> tuple[int, int]:
    """Bytes and FLOPs of one run in bf16, pictures in bytes."""
    small = Layer(**{**vars(layer), "size": (1, 2, 2)})  # whose weights are the same
    case = cases.make(small, torch.bfloat16, torch.device("cpu"))
    return cases.cost(layer, case.weights, ITEM)


def table(side: int) -> Iterator[str]:
    """A line a kernel, and their sum."""
    names = " | ".join(f"{gpu.name}: floor, µs" for gpu in GPUS)
    yield f"### {side} × {side}"
    yield ""
    yield f"| kernel | runs | MB | GFLOP | FLOP a byte | {names} | measured |"
    yield "|---" + "|---:" * (5 + len(GPUS)) + "|"
    sums = [0.0] * (2 + len(GPUS))
    for layer, count in layers(preset("tiny", 4), 1, side, side).items():
        moved, flops = costs(layer)
        floors = [floor(moved, flops, gpu) for gpu in GPUS]
        sums = [a + count * b for a, b in zip(sums, (moved, flops, *floors), strict=True)]
        yield _line(layer.name, str(count), moved, flops, floors)
    yield _line("**all, one after another**", "", *sums[:2], sums[2:])
    yield ""


def _line(name: str, count: str, moved: float, flops: float, floors: list[float]) -> str:
    times = " | ".join(f"{x:.1f}" for x in floors)
    return (
        f"| {name} | {count} | {moved / 1e6:.1f} | {flops / 1e9:.2f} | {flops / moved:.0f} | "
        f"{times} | not measured |"
    )


def resources() -> Iterator[str]:
    """A line a compiled form, a column an architecture."""
    kernels = json.loads(kernel_resources.RESULT.read_text())["kernels"]
    yield from kernel_resources.table(x for x in kernels if FORMS.fullmatch(x["name"]))


def page(text: str) -> str:
    """The page with new tables between its markers."""
    text = between("predictions", [line for side in SIDES for line in table(side)][:-1], text)
    return between("resources", list(resources()), text)


def between(name: str, lines: list[str], text: str) -> str:
    """The text with these lines between the markers called `name`."""
    start, end = f"<!-- {name}: benchmarks/predictions.py -->", f"<!-- /{name} -->"
    body = "\n".join([start, "", *lines, "", end])
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    found, number = pattern.subn(lambda _: body, text)
    if number != 1:
        raise SystemExit(f"{PAGE}: expected one place between {start} and {end}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    before = PAGE.read_text()
    after = page(before)
    if options.check:
        if before != after:
            print(f"{PAGE} is not what would be written: python benchmarks/predictions.py")
        return int(before != after)
    PAGE.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
