"""A program on the C API with a driver double, see test_gpu.py: gpu_program.py SCENARIO BUNDLE.

Prints what came of it as JSON. A process of its own, because a driver stays for the whole process.
"""

import json
import os
import random
import sys
from collections import Counter
from pathlib import Path
from threading import Thread

import numpy as np
from c_interface import Engine, Failed, library

LIB = library()
BUNDLE = sys.argv[2]


def picture(n, h, w, dtype=np.uint8):
    # Noise, near whose colours an engine keeps no result.
    image = np.random.default_rng(0).integers(0, 256, (n, h, w, 3), np.uint8)
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


def large():
    """A picture of several bands."""
    with load() as engine:
        found = engine(picture(1, 600, 700, np.float32), untiled=True)
    return {"filled": bool((found.view(np.uint8) == 0xA5).all())}


def threads():
    """Two engines in two threads, whose shapes are captured while the other one works."""

    def work(engine, seed):
        sizes = random.Random(seed)
        for _ in range(12):
            shape = (sizes.randint(1, 3), sizes.randint(1, 40), sizes.randint(1, 40))
            filled.append(bool((engine(picture(*shape), untiled=True) == 0xA5).all()))

    filled = []
    with load() as one, load() as other:
        both = [Thread(target=work, args=x) for x in ((one, 0), (other, 1))]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
    return {"filled": filled}


def outputs():
    """Some of the outputs, in another order, of bytes and in several chunks; then one by itself."""
    with load() as engine:
        wanted = ["picture", "features.1"]
        found = engine.run_graph({"image": picture(3, 400, 600)}, wanted)
        alone = engine.run_graph({"image": picture(1, 9, 13, np.float32)}, ["features.0"])
        try:
            engine.run_graph({"image": picture(1, 9, 13)}, ["picture", "no"])
        except Failed as error:
            refused = str(error)
    return {
        "shapes": {name: [*x.shape, str(x.dtype)] for name, x in {**found, **alone}.items()},
        "filled": [
            bool((x.view(np.uint8) == 0xA5).all()) for x in (*found.values(), *alone.values())
        ],
        "refused": refused,
    }


def pictures():
    """Two pictures of different sizes in, one array of what they give; then too few of them."""
    with load() as engine:
        sizes = {"style": (50, 70), "image": (400, 600)}
        given = {name: picture(3, *size, np.float32) for name, size in sizes.items()}
        found = engine.run_graph(given, ["stylized"])["stylized"]
        refused = []
        for names in ({"image"}, {"style"}):
            try:
                engine.run_graph({name: given[name] for name in names}, ["tokens"])
            except Failed as error:
                refused.append([error.status, str(error)])
    return {"filled": bool((found.view(np.uint8) == 0xA5).all()), "refused": refused}


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


def forked():
    """A run in a child process, which frees the engine as well, then one in the parent."""
    with load() as engine:
        engine(picture(1, 8, 8))
        reading, writing = os.pipe()
        if not os.fork():
            try:
                engine(picture(1, 8, 8))
                told = [0, ""]
            except Failed as error:
                told = [error.status, str(error)]
            engine.close()
            os.write(writing, json.dumps(told).encode())
            os._exit(0)
        os.wait()
        child = json.loads(os.read(reading, 10_000))
        engine(picture(1, 8, 8))
    return {"child": child}


def damaged():
    """Bundles cut off, with bits flipped, and with any value of the plan in place of another:
    refused with a message, or they run."""
    data = Path(BUNDLE).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    plan = header["__metadata__"]["plan"]
    rng = random.Random(0)

    def bundle(text):
        header["__metadata__"]["plan"] = text
        written = json.dumps(header).encode()
        return len(written).to_bytes(8, "little") + written + rest

    def flipped():
        changed = bytearray(data)
        changed[rng.randrange(8 + length)] ^= 1 << rng.randrange(8)
        return bytes(changed)

    seen: Counter[int] = Counter()
    for case in range(900):
        if case < 300:
            wanted = bundle(json.dumps(mutated(json.loads(plan), rng)))
        elif case < 600:
            wanted = flipped()
        elif case < 800:
            at = rng.randrange(len(plan))
            wanted = bundle(plan[:at] + rng.choice(('"', "9", "[", "]", "-", "}", "")) + plan[at:])
        else:
            wanted = data[: rng.randrange(len(data))]
        try:
            with load_bytes(wanted) as engine:
                engine(np.zeros((1, 5, 3, engine.channels), np.uint8), untiled=True)
            seen[0] += 1
        except Failed as error:
            seen[error.status if str(error) else 99] += 1
    return {"seen": {str(status): count for status, count in seen.items()}}


JUNK = (
    *(0, 1, -1, 2, 7, 2**31, 2**62, 2**63 - 1, "", "H0", "image", "u8", [], ["add", 1, 1]),
    *(["mul", "H0", 2**40], ["div", 1, 0], ["sub", "H0", "W0"], {}, None, True, [["add", "N", 1]]),
)


def mutated(plan, rng):
    """One value anywhere in the program that runs is another, or gone."""
    plan["programs"] = {"90": plan["programs"]["90"]}
    place, key, depth = plan, "programs", rng.randrange(1, 9)
    for _ in range(depth):
        inner = place[key]
        if not isinstance(inner, (dict, list)) or not inner:
            break
        place, key = (
            inner,
            rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner))),
        )
    if rng.random() < 0.2:
        del place[key]
    else:
        place[key] = rng.choice(JUNK)
    return plan


def load_bytes(data):
    return Engine(LIB, data, device="cuda")


def options(**wanted):
    def scenario():
        with load(**wanted) as engine:
            engine(picture(1, 8, 8), untiled=True)
            return {"isa": engine.isa}

    return scenario


SCENARIOS = {
    "twice": twice,
    "large": large,
    "threads": threads,
    "outputs": outputs,
    "pictures": pictures,
    "tiles": tiles,
    "shapes": shapes,
    "devices": devices,
    "after_failure": after_failure,
    "forked": forked,
    "damaged": damaged,
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
