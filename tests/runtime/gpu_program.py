"""A program on the C API with a driver double, see test_gpu.py: gpu_program.py SCENARIO BUNDLE.

Prints what came of it as JSON. A process of its own, because a driver stays for the whole process.
"""

import json
import sys

import numpy as np
from c_interface import Engine, Failed, library

LIB = library()
BUNDLE = sys.argv[2]


def picture(n, h, w, dtype=np.uint8):
    values = np.arange(n * h * w * 3) % 251
    image = values.astype(np.uint8).reshape(n, h, w, 3)
    return image if dtype == np.uint8 else (image / 255).astype(dtype)


def load(**options):
    return Engine(LIB, BUNDLE, **{"device": "cuda", **options})


def twice():
    """Two runs of one shape, one of another and of floats, several chunks."""
    with load() as engine:
        facts = {name: getattr(engine, name) for name in ("precision", "isa", "scale", "threads")}
        facts["memory"] = engine.memory(9, 13)
        outputs = [engine(picture(1, 9, 13), untiled=True) for _ in range(2)]
        outputs.append(engine(picture(2, 5, 3, np.float32), untiled=True))
        outputs.append(engine(picture(3, 400, 600), untiled=True))
        facts["filled"] = [bool((x.view(np.uint8) == 0xA5).all()) for x in outputs]
    return facts


def tiles():
    """A picture in tiles, of two sizes at most."""
    with load(tile=64, overlap=16) as engine:
        large = engine(picture(1, 100, 70))
        return {"filled": bool((large == 0xA5).all())}


def shapes():
    """More shapes than are kept ready."""
    with load() as engine:
        for width in range(8, 18):
            engine(picture(1, 8, width), untiled=True)
    return {}


def devices():
    """Two engines on two GPUs."""
    with load(device="cuda:0") as one, load(device="cuda:1") as two:
        one(picture(1, 8, 8))
        two(picture(1, 8, 8))
    return {}


def after_failure():
    """A run that fails for want of memory, and one after it."""
    with load() as engine:
        try:
            engine(picture(1, 8, 8), untiled=True)
        except Failed as error:
            first = [error.status, str(error)]
        engine(picture(1, 8, 8), untiled=True)
    return {"first": first}


def options(**wanted):
    def scenario():
        with load(**wanted) as engine:
            engine(picture(1, 8, 8), untiled=True)
            return {"isa": engine.isa}

    return scenario


SCENARIOS = {
    "twice": twice,
    "tiles": tiles,
    "shapes": shapes,
    "devices": devices,
    "after_failure": after_failure,
    "plain": options(),
    "cuda:1": options(device="cuda:1"),
    "cuda:x": options(device="cuda:x"),
    "fp32": options(precision="fp32"),
    "isa": options(isa="avx2"),
    "cpu": options(device="cpu"),
}

try:
    print(json.dumps(SCENARIOS[sys.argv[1]]()))
except Failed as error:
    print(json.dumps({"status": error.status, "message": str(error)}))
