"""Networks of tests, and models with random weights."""

import numpy as np

from imagen_fast.bundle import Bundle
from imagen_fast.graph import network
from imagen_fast.spec import Level, ModelSpec

TWO_LEVELS = ModelSpec(levels=(Level(64), Level(96)))

# By part of a name.
GAINS = {
    ".proj.weight": 4,
    "heads.": 0.4,
    "decoder.ups.": 0.4,
    "latent.": 1.5,
    ".steers.": 0.5,
}


def random_bundle(spec: ModelSpec, seed: int = 0) -> Bundle:
    """Random weights, strong enough that every block's reach shows in the output.

    What a fresh network draws, written without PyTorch so that an install without it can be
    tested; but what starts near the identity there (projections, ups, heads) is scaled up, so that
    a missing halo changes the picture visibly.
    """
    rng, tensors = np.random.default_rng(seed), dict[str, np.ndarray]()
    bound = 0.0  # of the latest layer's weights, and of its bias, which follows them
    for name, shape in network(spec).tensors.items():
        if name.endswith(".temperature"):
            values = np.full(shape, 6)
        elif name.endswith(".position"):
            values = 0.02 * rng.standard_normal(shape)
        elif name.endswith(".weight"):
            bound = int(np.prod(shape[1:])) ** -0.5
            gain = next((gain for part, gain in GAINS.items() if part in name), 1)
            values = gain * rng.uniform(-bound, bound, shape)
        else:
            values = rng.uniform(-bound, bound, shape) * (not name.startswith("heads."))
        tensors[name] = values.astype(np.float32)
    task = "upscale" if spec.scale > 1 else "restore"
    if spec.architecture == "temporal":
        task = "video"
    return Bundle(spec, tensors, {"name": f"sr-x{spec.scale}", "size": "test", "task": task})
