"""The graph of a spec, whichever architecture it names."""

from __future__ import annotations

from functools import lru_cache

from imagen_fast.graph.graph import Graph
from imagen_fast.graph.hierarchical import hierarchical
from imagen_fast.graph.listing import listing
from imagen_fast.graph.plain import plain
from imagen_fast.graph.style import style
from imagen_fast.spec import ModelSpec

ARCHITECTURES = {
    "hierarchical": hierarchical,
    "temporal": hierarchical,
    "plain": plain,
    "style": style,
    "listing": listing,
}


@lru_cache(maxsize=16)  # a file is compared with its spec's network, and then is that
def network(spec: ModelSpec) -> Graph:
    """The network that `models/` builds for a spec, as a graph; tensors have its names."""
    return ARCHITECTURES[spec.architecture](spec)
