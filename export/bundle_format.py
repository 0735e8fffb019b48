"""The format `bundle`, as `imagen-fast export` sees it: a model with GPU kernels in one file."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from imagen_fast.bundle import Bundle
from imagen_fast.errors import ExportError
from imagen_fast.extras import install
from imagen_fast.graph import Graph

from .bundle_file import render
from .bundle_plan import PRECISIONS
from .formats import Format, Say
from .options import ExportOptions, chosen
from .verify import Arrays, Run

# That the kernels' default block sizes are for → KiB of shared memory that a block may have there.
ARCHITECTURES = {80: 163, 86: 99, 89: 99, 90: 227, 100: 227, 103: 227, 120: 99}
USUAL = (80, 90, 100, 120)


class KernelBundle(Format):
    """See `bundle_file`. Verified by its plan in Triton's interpreter, on the CPU."""

    name: ClassVar[str] = "bundle"
    suffix: ClassVar[str] = ".cuda.safetensors"
    suffixes: ClassVar[tuple[str, ...]] = (".safetensors",)
    libraries: ClassVar[tuple[str, ...]] = ("triton", "torch", "numpy")
    precision: ClassVar[str] = "bf16"
    # Thousands of times slower than a GPU: as little as has an odd side at every level, and two
    # pictures.
    shapes: ClassVar[tuple[tuple[int, int, int], ...] | None] = ((1, 9, 13), (2, 5, 3))

    @classmethod
    def missing(cls, *, verify: bool) -> str | None:
        """PyTorch and Triton; no GPU."""
        lacking = [name for name in ("torch", "triton") if find_spec(name) is None]
        if lacking:
            return f"{' and '.join(lacking)} not installed; {install('triton')} (Linux)"
        return None

    def check(self, options: ExportOptions, graph: Graph) -> None:
        """Any sizes, inputs and outputs; architectures that there are."""
        if options.precision not in PRECISIONS:
            raise ExportError(f"precision {options.precision!r}; expected {', '.join(PRECISIONS)}")
        kept = {x: getattr(options, x) for x in ("precision", "arch", "inputs", "outputs")}
        if options != ExportOptions(**kept):
            raise ExportError(
                "a bundle takes pictures of any size and number, of bytes or floats: leave out "
                "--shape, --batch, --opset, --io, --largest and --refit"
            )
        chosen(graph, options)  # refuses names that there are not
        if wrong := [x for x in options.arch if x not in ARCHITECTURES]:
            known = ", ".join(f"sm_{x}" for x in ARCHITECTURES)
            raise ExportError(f"no architecture sm_{wrong[0]}; choose from {known}")

    def make(self, bundle: Bundle, options: ExportOptions, *, checksum: str, say: Say) -> bytes:
        """The file's content."""
        from imagen_fast.kernels.ahead.bundled import made_ready

        architectures = sorted(set(options.arch or USUAL))
        say(f"packing weights, and planning for {_listed(architectures)}")
        graph = chosen(bundle.graph, options)
        plan, tensors = made_ready(
            bundle,
            graph,
            options.precision,
            architectures,
            lambda done, all_: say(f"compiled {done} of {all_} kernels"),
        )
        check_shared(plan)
        return render(Bundle(graph, {}, {**bundle.metadata, "source": checksum}), plan, tensors)

    def runner(self, data: bytes, graph: Graph, options: ExportOptions) -> tuple[Run, str]:
        """The plans of all architectures, which have to agree."""
        from .bundle_interpreted import outputs

        architectures = sorted(set(options.arch or USUAL))

        def run(given: Arrays) -> Arrays:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "bundle.safetensors")
                path.write_bytes(data)
                found = [outputs(path, arch, given) for arch in architectures]
            near = AGREE[options.precision]
            for arch, arrays in zip(architectures, found, strict=True):
                for name, one in found[0].items():
                    if not np.allclose(one, arrays[name], rtol=near, atol=near):
                        raise ExportError(
                            f"the plans for sm_{architectures[0]} and sm_{arch} give different "
                            f"arrays for {name!r}"
                        )
            return found[0]

        place = "Triton's interpreter, which ran the plan and not the machine code"
        return run, f"{place}{', in fp32' if options.precision == 'bf16' else ''}"

    def facts(self, graph: Graph, options: ExportOptions) -> dict[str, Any]:
        """What it is for."""
        return {"architectures": [f"sm_{x}" for x in sorted(set(options.arch or USUAL))]}


def check_shared(plan: dict[str, Any]) -> None:
    """Raise ExportError if a kernel asks for more shared memory than its architecture has."""
    for arch, program in plan["programs"].items():
        for kernel in program["kernels"]:
            if kernel["shared"] > ARCHITECTURES[int(arch)] << 10:
                raise ExportError(
                    f"{kernel['name']} takes {kernel['shared']} bytes of shared memory; sm_{arch} "
                    f"has {ARCHITECTURES[int(arch)]} KiB. Leave this architecture out"
                )


# Sums in another order: of float32, of float16.
AGREE = {"bf16": 1e-5, "fp32": 1e-5, "fp16": 1e-2}


def _listed(architectures: list[int]) -> str:
    return ", ".join(f"sm_{x}" for x in architectures)
