"""Small models with random weights for the C++ tests: python bundles.py FOLDER."""

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.graph import Graph
from imagen_fast.graph.passes import needed
from imagen_fast.models.generator import Generator
from imagen_fast.models.listing import ListingGenerator
from imagen_fast.spec import Level, ModelSpec

SPECS = {
    "windows": ModelSpec(scale=2, levels=(Level(20, depth=2, convs=1),), head_dim=5, window=6),
    "levels": ModelSpec(
        scale=3, levels=(Level(8, convs=1), Level(16, convs=0, attention="global")), head_dim=8,
        latent_channels=2,
    ),
    "listing": ModelSpec(
        architecture="listing", scale=1, levels=(Level(24, 1, 0, "global"),), head_dim=24
    ),
}  # fmt: skip


def with_kernels(bundle: Bundle) -> bytes:
    """A bundle with GPU kernels, but without their code, which takes long to compile."""
    import imagen_fast.kernels.ahead.bundled as bundled
    from imagen_fast.export.bundle_file import render
    from imagen_fast.kernels.ahead.cubin import size_of

    def stub(launch: Any) -> bundled.Code:
        entry = launch.kernel.fn.__name__
        sizes = [*map(size_of, launch.signature.values()), 8, 8]
        return bundled.Code(code_of(entry, sizes), entry, 128, 64 << 10, (16, 0))

    bundled.compile_all = lambda launches, told: {
        bundled.key_of(launch, arch): stub(launch) for launch, arch in launches
    }
    graph = needed(bundle.graph.given(["image"]), ["picture"])
    plan, tensors = bundled.made_ready(bundle, graph, "bf16", (90,))
    return render(Bundle(graph, {}, bundle.metadata), plan, tensors)


def code_of(entry: str, sizes: list[int]) -> bytes:
    """What is looked at of a kernel's code: ELF's header, sections of names and of parameters."""
    names = f"\0.shstrtab\0.nv.info.{entry}\0".encode()
    parameters, end = b"", 0
    for number, size in enumerate(sizes):
        end = -(-end // size) * size
        parameters += struct.pack("<BBHIHHI", 4, 0x17, 12, 0, number, end, size << 18)
        end += size
    start = 64 + len(names)
    sections = ((0, 0, 0), (1, 64, len(names)), (11, start, len(parameters)))
    head = (2, 190, 1, 0, 0, start + len(parameters), 0, 64, 56, 0, 64, len(sections), 1)
    return b"".join(
        [
            struct.pack("<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, *head),
            names,
            parameters,
            *(struct.pack("<IIQQQQ24x", name, 3, 0, 0, at, size) for name, at, size in sections),
        ]
    )


def hand_written() -> Bundle:
    """Three branches, two inputs, two outputs."""
    graph = Graph.from_json((Path(__file__).parents[1] / "graph/hand_written.json").read_text())
    rng = np.random.default_rng(0)
    tensors = {
        name: (rng.standard_normal(shape) * np.prod(shape[1:]) ** -0.5).astype(np.float32)
        for name, shape in graph.tensors.items()
    }
    return Bundle(graph, tensors, {"name": "hand-written"})


def main() -> None:
    """Write one file for each of `SPECS`, one of no architecture, and one with GPU kernels."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    save_bundle(hand_written(), folder / "hand.safetensors")
    for name, spec in SPECS.items():
        torch.manual_seed(0)
        network = (ListingGenerator if spec.architecture == "listing" else Generator)(spec)
        tensors = {key: value.numpy() for key, value in network.state_dict().items()}
        bundle = Bundle(spec, tensors, {"name": name})
        save_bundle(bundle, folder / f"{name}.safetensors")
        if name == "levels":
            (folder / "kernels.bundle").write_bytes(with_kernels(bundle))


if __name__ == "__main__":
    main()
