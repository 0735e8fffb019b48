"""Who takes part: backends, precisions, other runtimes and other networks, in order of interest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imagen_fast.backends import backend_class
from imagen_fast.bench import peer_networks
from imagen_fast.bench.contestant import Contestant
from imagen_fast.bench.peer_networks import PEER_NETWORKS
from imagen_fast.bench.runtimes import CANNOT, OURS, PEERS, find
from imagen_fast.errors import BenchmarkError

PRECISIONS = ("fp32", "bf16", "fp16")
NOT_BY_DEFAULT = ("fake",)
# What tells a user most comes first: time may not reach for the rest.
ORDER = (
    *("triton", "native", "openvino", "onnxruntime", "tensorrt", "openvino-throughput"),
    *("span", "compact", "torch", "eager", "torch-compile"),
    *("safmn", "swinir-light", "compiled", "rrdb"),
)


@dataclass(frozen=True)
class Options:
    """What is to be measured.

    Attributes:
        model: the bundle's path.
        name: what it is called.
        scale: how many times it enlarges.
        backends, peers: names; None for all that work here. Peers are runtimes and networks.
        precisions: None for fp32 and what `auto` takes.
        device: cpu, cuda, or auto for a GPU if there is one.
    """

    model: str
    name: str
    scale: int
    threads: int
    device: str = "cpu"
    backends: tuple[str, ...] | None = None
    peers: tuple[str, ...] | None = None
    precisions: tuple[str, ...] | None = None


def entrants(
    options: Options, works: Mapping[str, str | None]
) -> tuple[list[Contestant], dict[str, str]]:
    """The contestants, the most interesting first, and what is missing for the others.

    `works` says of each backend what is missing for it.

    Raises:
        BenchmarkError: something that was asked for by name is missing.
    """
    names = options.backends or tuple(n for n in works if n not in NOT_BY_DEFAULT)
    peers = (*PEERS, *PEER_NETWORKS) if options.peers is None else options.peers
    missing = {name: why for name in names if (why := works[name])}
    for peer in peers:
        why = PEERS[peer].missing() if peer in PEERS else peer_networks.missing()
        if why:
            missing[peer] = why
    for name in (*(options.backends or ()), *(options.peers or ())):
        if name in missing:
            raise BenchmarkError(f"{name} cannot run here: {missing[name]}")
    if options.peers is None:
        missing |= CANNOT
    found: list[Contestant] = []
    for name in sorted(
        (n for n in (*names, *peers) if n not in missing),
        key=lambda n: ORDER.index(n) if n in ORDER else len(ORDER),
    ):
        if name not in PEER_NETWORKS:
            found += _of(name, options.model, options.name, options)
        elif runner := _runner(options, missing):
            found += _of(runner, f"{name}@{options.scale}", name, options)[:1]
        else:
            missing[name] = "no runtime for it is installed here: OpenVINO, ONNX Runtime or PyTorch"
    return found, missing


def check_names(options: Options) -> None:
    """Raises BenchmarkError for a name that is nobody's."""
    for kind, given, known in (
        ("backend", options.backends, OURS),
        ("peer", options.peers, (*PEERS, *PEER_NETWORKS)),
        ("precision", options.precisions, PRECISIONS),
    ):
        for name in given or ():
            if name in CANNOT:
                raise BenchmarkError(f"{name} {CANNOT[name]}")
            if name not in known:
                raise BenchmarkError(f"no {kind} {name!r}; choose from {', '.join(known)}")


def _of(runtime: str, network: str, name: str, options: Options) -> list[Contestant]:
    """A runtime in each precision that it has of those that are wanted."""
    served = find(runtime).precisions.get(options.device, ())
    wanted = options.precisions or default_precisions(options.device)
    return [
        Contestant(runtime, network, name, precision, options.threads, options.device)
        for precision in wanted
        if precision in served
    ]


def _runner(options: Options, missing: Mapping[str, str]) -> str | None:
    """What runs other people's networks: what is fastest for a user of them."""
    on_cpu = ("openvino", "onnxruntime", "torch")
    for name in on_cpu if options.device == "cpu" else ("tensorrt", "torch"):
        if name not in missing and PEERS[name].missing() is None:
            return name
    return None


def default_precisions(device: str) -> tuple[str, ...]:
    """bf16 and fp32; the first is the one that the engine would choose by itself."""
    if device != "cpu" or backend_class("native").missing():
        return ("bf16", "fp32") if device != "cpu" else ("fp32", "bf16")
    from imagen_fast._native import preferred_precision

    first: str = preferred_precision()
    return (first, *(p for p in ("bf16", "fp32") if p != first))
