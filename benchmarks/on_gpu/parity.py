"""Every kernel and whole networks against float64: at most twice PyTorch's error.

    python -m on_gpu.parity --out OUT --dtype bf16 [--watched]

Memory that is to be written is filled before, once with NaN and once with zeros: what differs
between the two was not written, or was read before it was. Exit code 1 if anything errs by more,
fails, or is not told apart from what is finite. --watched is for compute-sanitizer: kernels alone,
over a small odd shape, compared with nothing. Here every tensor has memory of its own, whose end is
seen; the program in C++ has one for all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch

from imagen_fast.backends import triton as triton_backend
from imagen_fast.backends.base import NonFiniteError
from imagen_fast.backends.triton import Triton
from imagen_fast.bundle import Bundle, load_bundle
from imagen_fast.catalogue import shipped
from imagen_fast.graph import network
from imagen_fast.graph.passes import needed
from imagen_fast.models.build import build
from imagen_fast.models.generator import Generator
from imagen_fast.models.listing import ListingGenerator
from imagen_fast.models.operations import run_steps, steps
from imagen_fast.spec import Level, ModelSpec, preset
from on_gpu import cases, timing
from on_gpu.layers import Layer, layers
from on_gpu.part import DTYPES, Part

# Whole windows and tiles; a batch of odd sides; long and thin; one pixel.
SIZES = ((1, 64, 64), (2, 37, 75), (1, 3, 517), (1, 1, 1))
# No width fills a tile; attention over everything; an odd window; a latent.
MIXED = ModelSpec(
    scale=3,
    levels=(Level(20, depth=2, convs=1), Level(30, attention="global"), Level(10, convs=0)),
    head_dim=5,
    window=6,
    latent_channels=3,
)
NARROW = ModelSpec(scale=2, levels=(Level(32, convs=1),))
POISON = (0xFF, 0x00)  # NaN in every float type, and zero


def networks(dry: bool) -> dict[str, Bundle]:
    """Shipped ones with their weights, others with random ones."""
    specs = {"narrow x2": NARROW}
    if dry:
        return {name: network_bundle(spec) for name, spec in specs.items()}
    specs |= {f"tiny x{scale}": preset("tiny", scale) for scale in (4, 1)}
    specs |= {"small x4": preset("small", 4), "base x2": preset("base", 2), "mixed x3": MIXED}
    pictures = [x for x in shipped() if x.header.task.inputs == ("image",)]
    found = {x.header.metadata["name"]: load_bundle(x.path) for x in pictures}
    return {**found, **{name: network_bundle(spec) for name, spec in specs.items()}}


def kernel_rows(part: Part, name: str) -> None:
    graphs = [x.graph for x in networks(part.dry).values()]
    sizes = ((1, 2, 3),) if part.dry else SIZES
    if "watched" in part.flags and not part.dry:
        graphs, sizes = [network(preset("tiny", 4)), network(MIXED)], ((2, 11, 71),)
    done: set[tuple[Layer, bool]] = set()
    for layer in (x for size in sizes for graph in graphs for x in layers(graph, *size)):
        pictures = any(x.picture for x in layer.graph.inputs.values())
        for as_bytes in (True, False) if pictures else (True,):
            if (layer, as_bytes) not in done:
                done.add((layer, as_bytes))
                facts = {"kernel": layer.name, "size": layer.size, "bytes": as_bytes}
                work = partial(kernel_errors, layer, name, part, as_bytes)
                part.attempt(work, what="kernel", dtype=name, **facts)


def kernel_errors(layer: Layer, name: str, part: Part, as_bytes: bool = True) -> dict[str, Any]:
    case = cases.make(layer, name, part.device, as_bytes)
    outputs = []
    for byte in POISON:
        poison(case.written, byte)
        outputs.append(case.ours().clone())
    if part.compiles:
        return {}
    if "watched" in part.flags:
        return {"ok": torch.equal(*outputs)}
    found = timing.errors(outputs[0], case.theirs(DTYPES[name])(), case.theirs(torch.float64)())
    found["written"] = torch.equal(*outputs)
    found["ok"] &= found["written"]
    return found


def poison(tensors: Iterable[torch.Tensor], byte: int) -> None:
    """Fill memory that is to be written."""
    for x in tensors:
        x.view(-1).view(torch.uint8).fill_(byte)
        if x.is_cuda:
            torch.cuda.synchronize()  # before other streams write there


def network_bundle(spec: ModelSpec) -> Bundle:
    """Random weights under which every block shows in the output."""
    torch.manual_seed(0)
    network: Any = (ListingGenerator if spec.architecture == "listing" else Generator)(spec)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            gain = 10 if "proj" in name or ".ups." in name else 1
            weight.mul_(1.5 if spec.architecture == "listing" else gain)
    return Bundle(spec, {name: x.detach().numpy() for name, x in network.state_dict().items()})


def definition(
    bundle: Bundle, given: dict[str, Any], output: str, dtype: torch.dtype, part: Part
) -> torch.Tensor:
    """An output in a dtype, by `models/operations.py`; (N, H, W, C), on the CPU."""
    graph = needed(bundle.graph.given(list(given)), [output])
    weights, inputs = (
        {key: torch.from_numpy(x).to(part.device, dtype) for key, x in found.items()}
        for found in (bundle.tensors, given)
    )
    planes = {key: x.movedim(3, 1) for key, x in inputs.items()}
    y = run_steps(steps(graph), weights, planes)[output].movedim(1, 3)
    return (y.clamp(0, 1) if graph.outputs[output].picture else y).cpu()


def output_errors(
    bundle: Bundle, given: dict[str, Any], output: str, name: str, part: Part
) -> dict[str, Any]:
    """One output of the backend, from these inputs."""
    backend = Triton(bundle, precision=name, device=part.device.type)
    ours = torch.from_numpy(backend.run(given, [output])[output])
    backend.close()
    if part.compiles:
        return {}
    kinds = (DTYPES[name], torch.float64)
    return timing.errors(ours, *(definition(bundle, given, output, kind, part) for kind in kinds))


def network_errors(bundle: Bundle, name: str, part: Part) -> dict[str, Any]:
    """A batch through the backend, in bytes and floats, in chunks and one by one, all levels."""
    side = (2, 3, 2) if part.dry else (3, 45, 83)
    tiles = np.random.default_rng(0).integers(0, 256, (*side, 3), np.uint8)
    floats = tiles.astype(np.float32) / np.float32(255)
    backend = Triton(bundle, precision=name, device=part.device.type)
    with torch.inference_mode():
        ours, in_bytes = backend.run(floats), backend.run(tiles)
        again = []
        for byte in POISON:
            poison(memory_of(backend), byte)
            again.append(backend.run(floats))
        alone = [backend.run(floats[i : i + 1])[0] for i in range(len(floats))]
        with mock.patch.object(triton_backend, "CHUNK_PIXELS", 1):  # one by one, through two slots
            chunks = backend.run(floats)
        backend.close()
        coarsest = [x for x in bundle.graph.outputs if x.startswith("picture")][-1]
        coarse = output_errors(bundle, {"image": floats}, coarsest, name, part)
        if part.compiles:
            return {}
        kinds = (DTYPES[name], torch.float64)
        theirs, truth = (definition(bundle, {"image": floats}, "picture", k, part) for k in kinds)
    found = timing.errors(torch.from_numpy(ours), theirs, truth)
    most = 0.51 + 255 * 2 * float(np.abs(ours - truth.numpy()).max())
    checks = {
        "bytes": bool(np.abs(in_bytes - 255 * truth.numpy()).max() <= most),
        "written": all(np.array_equal(x, ours) for x in again),
        "alone": np.array_equal(alone, ours),
        "chunks": np.array_equal(chunks, ours),
    }
    found["ok"] &= coarse["ok"] and all(checks.values())
    return found | checks | {"coarsest": coarse}


def memory_of(backend: Triton) -> Iterable[torch.Tensor]:
    """What a run of the backend writes: features, and the results of the shapes that are ready."""
    slots = backend._open()
    yield slots._memory
    for ready in slots._ready.values():
        for slot in ready:
            yield from slot.results.values()


def latent_errors(name: str, part: Part) -> dict[str, Any]:
    """From a latent, with another picture's features as context."""
    bundle = network_bundle(MIXED)
    backend = Triton(bundle, precision=name, device=part.device.type)
    names = [x for x in bundle.graph.outputs if x.startswith("features")]
    features = backend.run({"image": torch.rand(1, 12, 16, 3).numpy()}, names)
    backend.close()
    given = {f"latent.context.{i}": x for i, x in enumerate(features.values())}
    latent = torch.randn(1, 3, 4, 3).numpy()
    return output_errors(bundle, {"latent": latent, **given}, "sample", name, part)


def listing_errors(name: str, part: Part) -> dict[str, Any]:
    bundle = network_bundle(preset("listing", 1))
    ((first, value),) = bundle.graph.inputs.items()
    x = torch.randn(2, 1, 30 if part.dry else 1030, value.channels).numpy()
    return output_errors(bundle, {first: x}, next(iter(bundle.graph.outputs)), name, part)


def overflow(name: str, part: Part, weight: float) -> dict[str, Any]:
    """What is not finite is told, though a clamp would hide it, and what is finite is not.

    weight: each of the head's, which add up features of some tens. With 3e38 the picture is beyond
    every dtype's range, with 1e5 beyond fp16's alone.
    """
    bundle = network_bundle(NARROW)
    bundle.tensors["encoder.stem.weight"] *= 100
    bundle.tensors["heads.0.conv.weight"][:] = weight
    white = np.full((1, 9, 9, 3), 255, np.uint8)
    x = torch.ones(1, 3, 9, 9, dtype=DTYPES[name], device=part.device)
    with torch.inference_mode():
        y = build(bundle).to(part.device, DTYPES[name])(x)
    finite = bool(torch.isfinite(y).all())
    backend = Triton(bundle, precision=name, device=part.device.type)
    try:
        backend.run(white)
    except NonFiniteError:
        return {"finite": finite, "ok": not finite}
    return {"finite": finite, "ok": finite}


def main() -> int:
    part = Part(__doc__, exact=True, flags=("watched",))
    with torch.inference_mode():
        for name in part.dtypes:
            if "watched" not in part.flags:
                network_rows(part, name)
            kernel_rows(part, name)
    return part.finish()


def network_rows(part: Part, name: str) -> None:
    for network_name, bundle in networks(part.dry).items():
        work = partial(network_errors, bundle, name, part)
        part.attempt(work, what="network", dtype=name, network=network_name)
    if not part.dry:
        part.attempt(partial(latent_errors, name, part), what="latent with context", dtype=name)
    part.attempt(partial(listing_errors, name, part), what="listing", dtype=name)
    for weight in () if part.compiles else (3e38, 1e5):
        work = partial(overflow, name, part, weight)
        part.attempt(work, what="overflow", dtype=name, weight=weight)


if __name__ == "__main__":
    sys.exit(main())
