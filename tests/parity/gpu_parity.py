"""On a GPU: every kernel and whole networks against float64, for benchmarks/gpu.sh.

Memory that is to be written is filled before, once with NaN and once with zeros: what differs
between the two was not written, or was read before it was. Something is not right if it errs by
more than is allowed, fails, or is not told apart from what is finite.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from unittest import mock

import network_cases
import numpy as np
import operation_cases
import torch
from on_gpu.cases import Case, judged
from on_gpu.layers import Layer, layers
from on_gpu.part import Part
from random_bundles import random_bundle
from random_graphs import inputs_for, weights_for
from reference import DTYPES, Reference

from imagen_fast.backends import triton as triton_backend
from imagen_fast.backends.base import NonFiniteError
from imagen_fast.backends.triton import Triton
from imagen_fast.bundle import Bundle, load_bundle
from imagen_fast.catalogue import shipped
from imagen_fast.graph import Graph
from imagen_fast.models.build import build
from imagen_fast.spec import Level, ModelSpec

# Whole windows and tiles; a batch of odd sides; long and thin; one pixel.
SIZES = ((1, 64, 64), (2, 37, 75), (1, 3, 517), (1, 1, 1))
NARROW = ModelSpec(scale=2, levels=(Level(32, convs=1),))
MIXED = "odd channels, heads and windows"
PICTURES = ("x4", "x1, odd sides", "small", "base", MIXED)  # of `network_cases`, beside the shipped
OTHERS = ("a latent", "listing")
# Of other people's networks, the kernels that the shipped ones have not.
KERNELS = (
    *("5×5 by 1, reflect", "depthwise", "transposed 4×4, skip", "pad, mirrored", "max pool 3"),
    *("deviation of picture", "maximum of channels", "layer norm", "pixel unshuffle"),
)
POISON = (0xFF, 0x00)  # NaN in every float type, and zero


def compare(part: Part) -> None:
    """Everything."""
    networks = {"narrow": random_bundle(NARROW)}
    if not part.dry:
        pictures = [x for x in shipped() if x.header.task.inputs == ("image",)]
        networks |= {x.header.metadata["name"]: load_bundle(x.path) for x in pictures}
        networks |= {name: network_cases.made(name)[0] for name in PICTURES}
    for dtype in part.dtypes:
        for name, bundle in networks.items():
            part.attempt(network_errors, bundle, dtype, what="network", dtype=dtype, network=name)
        for name in OTHERS[1:] if part.dry else OTHERS:
            case = network_cases.made(name)
            part.attempt(case_errors, *case, dtype, what="network", dtype=dtype, network=name)
        for weight in () if part.compiles else (3e38, 1e5):
            part.attempt(overflow, dtype, weight, what="overflow", dtype=dtype, weight=weight)
        sizes = ((1, 2, 3),) if part.dry else SIZES
        kernel_rows(part, dtype, [x.graph for x in networks.values()], sizes, kernel_errors)
        # What other people's networks are made of; in fp16 the interpreter has seen it all.
        every = list(operation_cases.GRAPHS) if dtype == "bf16" else ()
        for name in list(operation_cases.GRAPHS)[::12] if part.dry else every:
            case = operation_case(operation_cases.GRAPHS[name])
            part.attempt(case_errors, *case, dtype, what="operation", dtype=dtype, operation=name)


def watched(part: Part) -> None:
    """For compute-sanitizer: kernels alone, over a small odd shape, compared with nothing.

    Here every tensor has memory of its own, whose end is seen; the program in C++ has one for all.
    """
    graphs = [network_cases.made(name)[0].graph for name in ("x4", MIXED)]
    graphs += [operation_cases.GRAPHS[name] for name in KERNELS]
    size = (2, 11, 71)
    if part.dry:
        graphs, size = [random_bundle(NARROW).graph], (1, 2, 3)
    for dtype in part.dtypes:
        kernel_rows(part, dtype, graphs, [size], lambda *x, part: {"ok": written(*x, part=part)[1]})


def kernel_rows(part: Part, dtype: str, graphs: Iterable[Graph], sizes: Any, work: Any) -> None:
    found = dict.fromkeys(x for size in sizes for graph in graphs for x in layers(graph, *size))
    for layer in found:
        pictures = any(x.picture for x in layer.graph.inputs.values())
        for as_bytes in (True, False) if pictures else (True,):
            facts = {"kernel": layer.name, "size": layer.size, "bytes": as_bytes}
            part.attempt(work, layer, dtype, as_bytes, what="kernel", dtype=dtype, **facts)


def written(layer: Layer, dtype: str, as_bytes: bool, part: Part) -> tuple[Case, bool]:
    """The case after a run, and whether it wrote all that it is to write."""
    case, outputs = Case(layer, dtype, part.device, as_bytes), []
    for byte in POISON:
        poison(case.written, byte)
        outputs.append(case.ours().clone())
    return case, torch.equal(*outputs)


def kernel_errors(layer: Layer, dtype: str, as_bytes: bool, part: Part) -> dict[str, Any]:
    case, all_written = written(layer, dtype, as_bytes, part)
    if part.compiles:
        return {}
    found = case.errors(case.written[0])
    return found | {"written": all_written, "ok": found["ok"] and all_written}


def poison(tensors: Iterable[torch.Tensor], byte: int) -> None:
    """Fill memory that is to be written."""
    for x in tensors:
        x.view(-1).view(torch.uint8).fill_(byte)
        if x.is_cuda:
            torch.cuda.synchronize()  # before other streams write there


def operation_case(graph: Graph) -> tuple[Bundle, Any, list[str]]:
    """As `network_cases.made`, of an operation with random weights."""
    rng = np.random.default_rng(0)
    return Bundle(graph, dict(weights_for(graph, rng))), inputs_for(graph, 2, 9, 13, rng), ["y"]


def case_errors(
    bundle: Bundle, given: Any, wanted: Iterable[str], dtype: str, part: Part
) -> dict[str, Any]:
    """Outputs of a case of tests/parity."""
    backend = Triton(bundle, precision=dtype, device=part.device.type)
    found = backend.run(given, list(wanted))
    backend.close()
    return {} if part.compiles else verdict(reference(bundle, given, found, part), found, dtype)


def reference(bundle: Bundle, given: Any, outputs: Iterable[str], part: Part) -> Reference:
    device = part.device.type
    return Reference(bundle.graph, bundle.tensors, given, list(outputs), "kernel", device)


def verdict(reference: Reference, found: dict[str, Any], dtype: str) -> dict[str, Any]:
    """Of each output, and whether all are right."""
    each = {name: judged(reference, name, x, dtype) for name, x in found.items()}
    return {"outputs": each, "ok": all(x["ok"] for x in each.values())}


def network_errors(bundle: Bundle, dtype: str, part: Part) -> dict[str, Any]:
    """A batch through the backend, in bytes and floats, in chunks and one by one, and the coarsest
    level.
    """
    side = (2, 3, 2) if part.dry else (3, 45, 83)
    tiles = np.random.default_rng(0).integers(0, 256, (*side, 3), np.uint8)
    floats = tiles.astype(np.float32) / np.float32(255)
    backend = Triton(bundle, precision=dtype, device=part.device.type)
    ours, in_bytes = backend.run(floats), backend.run(tiles)
    again = []
    for byte in POISON:
        poison(memory_of(backend), byte)
        again.append(backend.run(floats))
    alone = [backend.run(floats[i : i + 1])[0] for i in range(len(floats))]
    with mock.patch.object(triton_backend, "CHUNK_PIXELS", 1):  # one by one, through two slots
        chunks = backend.run(floats)
    coarsest = [x for x in bundle.graph.outputs if x.startswith("picture")][-1]
    outputs = backend.run({"image": floats}, [coarsest]) | {"picture": ours}
    backend.close()
    if part.compiles:
        return {}
    definition = reference(bundle, {"image": floats}, outputs, part)
    found, truth = verdict(definition, outputs, dtype), definition.truth["picture"]
    most = 0.51 + 255 * 2 * float(np.abs(ours - truth).max())
    checks = {
        "bytes": bool(np.abs(in_bytes - 255 * truth).max() <= most),
        "written": all(np.array_equal(x, ours) for x in again),
        "alone": np.array_equal(alone, ours),
        "chunks": np.array_equal(chunks, ours),
    }
    return found | checks | {"ok": found["ok"] and all(checks.values())}


def memory_of(backend: Triton) -> Iterable[torch.Tensor]:
    """What a run of the backend writes: features, and the results of the shapes that are ready."""
    slots = backend._open()
    yield slots._memory
    for ready in slots._ready.values():
        for slot in ready:
            yield from slot.results.values()


def overflow(dtype: str, weight: float, part: Part) -> dict[str, Any]:
    """What is not finite is told, though a clamp would hide it, and what is finite is not.

    weight: each of the head's, which add up features of some tens. With 3e38 the picture is beyond
    every dtype's range, with 1e5 beyond fp16's alone.
    """
    bundle = random_bundle(NARROW)
    bundle.tensors["encoder.stem.weight"] *= 100
    bundle.tensors["heads.0.conv.weight"][:] = weight
    x = torch.ones(1, 3, 9, 9, dtype=DTYPES[dtype], device=part.device)
    y = build(bundle).to(part.device, DTYPES[dtype])(x)
    finite = bool(torch.isfinite(y).all())
    backend = Triton(bundle, precision=dtype, device=part.device.type)
    try:
        backend.run(np.full((1, 9, 9, 3), 255, np.uint8))
    except NonFiniteError:
        return {"finite": finite, "ok": not finite}
    return {"finite": finite, "ok": finite}
