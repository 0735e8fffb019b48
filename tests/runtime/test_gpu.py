"""The C API on a GPU, played by a driver double that writes every call down."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest
from c_interface import INVALID, NOT_FINITE, UNSUPPORTED
from gpu_log import balanced, fetched, launches, numbers, program_of

from imagen_fast import c_library

MULTIPROCESSORS = 132

pytestmark = [
    pytest.mark.skipif(c_library.missing() is not None, reason="the C library is not built"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]


def samples_of(count):
    """What the program's pictures hold."""
    return np.random.default_rng(0).integers(0, 256, count, np.uint8)


def test_what_is_launched_is_what_the_plan_says(run, gpu_bundle):
    """Every argument of every launch, against the plan as Python evaluates it."""
    facts, log = run("twice")
    assert facts["precision"] == "fp16"
    assert (facts["isa"], facts["scale"]) == ("sm_90", 2)
    assert facts["filled"] == [True] * 4
    program = program_of(gpu_bundle.path)
    functions = [int(x[1]) for x in log if x[0] == "cuModuleGetFunction"]
    entries = [x[2] for x in log if x[0] == "cuModuleGetFunction"]
    assert entries == [kernel.entry for kernel in program.kernels]
    large = {
        (function, kernel.shared)
        for function, kernel in zip(functions, program.kernels, strict=True)
        if kernel.shared > 48 << 10
    }
    assert {(int(x[1]), int(x[3])) for x in log if x[0] == "cuFuncSetAttribute"} == large
    assert {x[2] for x in log if x[0] == "cuFuncSetAttribute"} <= {"8"}

    # The first slot: memory for weights, feature maps, picture in, picture out, flag.
    places = [int(x[1]) for x in log if x[0] == "memory"]
    arena, image, picture, flag = places[1:5]
    values = {"N": 1, "H0": 9, "W0": 13, "P": MULTIPROCESSORS}
    addresses = {0: image, 1: picture, 2: flag}
    at = arena
    for number, elements in enumerate(program.elements(values)):
        if number not in addresses:
            addresses[number] = at
            at += -(-elements * 2 // 256) * 256
    weights_copied, _ = at_code(log)
    copies = [numbers(x[1:3]) for x in weights_copied if x[0] == "cuMemcpyHtoDAsync_v2"]
    assert weights_copied[-1][0] == "cuStreamDestroy_v2"  # its own stream, waited for
    assert weights_copied[-2] == ["cuStreamSynchronize", weights_copied[-1][1]]
    header = gpu_bundle.path.read_bytes()
    names = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])
    weights = sorted(name for name in names if names[name].get("dtype") in ("F16", "F32"))
    assert [size for _, size in copies] == [
        int(np.prod(names[x]["shape"])) * (2 if names[x]["dtype"] == "F16" else 4) for x in weights
    ]
    addresses |= {name: place for name, (place, _) in zip(weights, copies, strict=True)}

    calls = program.calls("u8", values)
    made = launches(log)
    for recorded in (0, 1):  # a first run, then the recording
        for call, (function, grid, threads, shared, _, mode, given) in zip(
            calls, made[recorded * len(calls) :], strict=False
        ):
            kernel = call.kernel
            assert functions.index(function) == program.kernels.index(kernel)
            assert (grid, threads, shared) == (call.grid, kernel.threads, kernel.shared)
            assert mode == recorded
            expected = []
            items = {"*u8": 1, "*fp16": 2, "*fp32": 4, "*i32": 4}
            for (where, value), (_, kind, alignment) in zip(
                call.arguments, kernel.parameters, strict=True
            ):
                if where is None:
                    expected.append((4, value))
                else:
                    address = addresses[where] + value * items[kind]
                    assert address % alignment == 0
                    expected.append((8, address))
            assert given == [*expected, (8, 0), (8, 0)], kernel.name


def test_numbers_for_other_shapes(run, gpu_bundle):
    """What C++ evaluates of grids and sizes is what Python does: floats, and a large picture."""
    program = program_of(gpu_bundle.path)
    _, log = run("twice")
    made = [x for x in launches(log) if x[5]]  # the recordings: one, one, and two of a shape
    for samples, shape in (("u8", (1, 9, 13)), ("fp32", (2, 5, 3)), ("u8", (1, 400, 600))):
        values = dict(zip(("N", "H0", "W0", "P"), (*shape, MULTIPROCESSORS), strict=True))
        calls = program.calls(samples, values)
        mine, made = made[: len(calls)], made[len(calls) :]
        assert_numbers(mine, calls)
    assert len(made) == len(calls)


def assert_numbers(made, calls):
    """Grids and numbers are what the plan says."""
    for (_, grid, _, _, _, _, given), call in zip(made, calls, strict=True):
        assert grid == call.grid
        sizes = [value for where, value in call.arguments if where is None]
        assert [value for width, value in given if width == 4] == sizes


def test_recorded_once_and_replayed(run):
    _, log = run("twice")
    names = [name for name, *_ in log]
    count = Counter(names)
    # Three shapes, of which the last one takes two slots: three chunks of one picture each.
    assert count["cuGraphInstantiateWithFlags"] == count["cuStreamBeginCapture_v2"] == 4
    assert count["cuGraphLaunch"] == 2 + 1 + 3
    made = launches(log)
    each = sum(1 for x in made if x[5]) // 4
    assert sum(1 for x in made if not x[5]) == 2 * each  # first runs: of bytes, of floats
    begin = [x for x in log if x[0] == "cuStreamBeginCapture_v2"]
    assert {x[2] for x in begin} == {"1"}  # this thread's alone
    # All weights and code at once, and never again.
    first = names.index("cuStreamBeginCapture_v2")
    assert "cuModuleLoadData" not in names[first:]
    assert balanced(log)
    assert names[-1] == "cuDevicePrimaryCtxRelease_v2"


def at_code(log):
    """The log while weights are copied, and from where code is loaded."""
    first = [x[0] for x in log].index("cuModuleLoadData")
    return log[:first], log[first:]


def test_a_run_in_three_streams(run):
    """In, the recording, out: each waits for the one before."""
    _, log = run("plain")
    _, log = at_code(log)
    load, compute, store = (x[1] for x in log if x[0] == "cuStreamCreate")
    assert {x[2] for x in log if x[0] == "cuStreamCreate"} == {"1"}  # not the default's slaves
    start = next(i for i, x in enumerate(log) if x[0] == "cuMemcpyHtoDAsync_v2")
    events = [x[1] for x in log if x[0] == "cuEventCreate"]
    steps = [(x[0], x[-1] if x[0] != "cuStreamWaitEvent" else x[1]) for x in log[start:]]
    steps = [x for x in steps if x[0] not in ("pinned", "cuMemHostAlloc", "cuEventCreate")][:12]
    assert steps == [
        ("cuMemcpyHtoDAsync_v2", load),
        ("cuEventRecord", load),
        ("cuStreamWaitEvent", compute),
        ("cuGraphLaunch", compute),
        ("cuEventRecord", compute),
        ("cuStreamWaitEvent", store),
        ("cuMemcpyDtoHAsync_v2", store),
        ("cuEventRecord", store),
        ("cuMemcpyDtoHAsync_v2", store),
        ("cuEventRecord", store),
        ("cuEventSynchronize", events[3]),  # of the picture, then of the flag
        ("cuEventSynchronize", events[2]),
    ]
    assert log[start + 1][1] == log[start + 2][2] == events[0]
    assert log[start + 4][1] == log[start + 5][2] == events[1]
    launched = {str(x[4]) for x in launches(log)}
    assert launched == {compute}


def test_a_batch_in_chunks(run):
    """One chunk is waited for before its slot takes another, and no sooner."""
    _, log = run("twice")
    tail = [x[0] for x in log]
    tail = tail[len(tail) - tail[::-1].index("cuGraphInstantiateWithFlags") :]
    kept = [x for x in tail if x in ("cuGraphLaunch", "cuEventSynchronize")]
    waits = 2 * ["cuEventSynchronize"]  # for the picture, and for the flag
    assert kept == ["cuGraphLaunch", "cuGraphLaunch", *waits, "cuGraphLaunch", *waits, *waits]


def test_a_large_picture_is_copied_in_bands(run):
    """Each crosses the bus once threads have copied it, and is copied once it is here."""
    facts, log = run("large")
    assert facts["filled"]
    _, log = at_code(log)
    samples = samples_of(600 * 700 * 3)
    band, image = 1 << 20, (samples / 255).astype(np.float32)  # 4 MiB
    copies = [numbers(x[1:]) for x in log if x[0] == "cuMemcpyHtoDAsync_v2"]
    assert [size for _, size, *_ in copies] == [4 * band, 4 * (len(image) - band)]
    assert copies[1][0] - copies[0][0] == 4 * band
    assert [x[2] for x in copies] == [hashed(x.tobytes()) for x in np.split(image, [band])]
    names = [x[0] for x in log if x[0] in ("cuMemcpyDtoHAsync_v2", "cuEventRecord")]
    bands = -(-4 * len(image) // band)
    assert names == [
        *("cuEventRecord", "cuEventRecord"),
        *bands * ["cuMemcpyDtoHAsync_v2", "cuEventRecord"],
        *("cuMemcpyDtoHAsync_v2", "cuEventRecord"),
    ]
    records = [x[1] for x in log if x[0] == "cuEventRecord"]
    assert [x[1] for x in log if x[0] == "cuEventSynchronize"] == records[2:]


def hashed(data):
    """FNV-1a, as the double has it."""
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def test_the_picture_arrives(run):
    _, log = run("twice")
    image = samples_of(9 * 13 * 3)
    floats = (samples_of(2 * 5 * 3 * 3) / 255).astype(np.float32)
    _, log = at_code(log)
    copies = [numbers(x[1:]) for x in log if x[0] == "cuMemcpyHtoDAsync_v2"]
    assert [size for _, size, *_ in copies] == [351, 351, 360, 720000, 720000, 720000]
    assert copies[0][2] == copies[1][2] == hashed(image.tobytes())
    assert copies[2][2] == hashed(floats.tobytes())
    assert copies[0][0] == copies[1][0] != copies[2][0]


@pytest.mark.parametrize("pinned", [0, 1])
def test_pinned_pictures_are_copied_where_they_are(run, pinned):
    facts, log = run("twice", PINNED=pinned)
    assert facts["filled"] == [True] * 4
    own = {x[1] for x in log if x[0] == "pinned"}
    copies = [x for x in log if x[0] == "cuMemcpyDtoHAsync_v2"]
    pictures = [x[3] in own for x in copies if int(x[2]) > 4]
    assert pictures == [not pinned] * 6
    assert all(x[3] in own for x in copies if int(x[2]) == 4)  # the flag


def test_several_outputs(run, gpu_features):
    """What was asked for is copied out, whole, and nothing else."""
    facts, log = run("outputs", gpu_features.path)
    assert facts["shapes"] == {
        "picture": [3, 800, 1200, 3, "uint8"],
        "features.1": [3, 200, 300, 48, "float32"],
        "features.0": [1, 9, 13, 32, "float32"],
    }
    assert facts["filled"] == [True] * 3
    assert facts["refused"].startswith("this model has no output 'no'; it has features.0, feat")
    chunk = [200 * 300 * 48 * 4, 800 * 1200 * 3, 4]
    assert fetched(log) == 3 * chunk + [9 * 13 * 32 * 4, 4]
    assert balanced(log)


def test_two_pictures(run, gpu_pictures):
    """Each is copied in and its size is the kernels'; what is not wanted stays on the GPU."""
    facts, log = run("pictures", gpu_pictures.path)
    assert facts["filled"]
    assert facts["refused"] == [
        [INVALID, "the model's input 'style' is needed and was not given"],
        [UNSUPPORTED, "this file with GPU kernels computes all of its outputs at once, for which "
         "the input 'image' is needed; give it too, or export these outputs by themselves "
         "(--outputs)"],
    ]  # fmt: skip
    assert balanced(log)
    _, log = at_code(log)
    copies = [numbers(x[2:4]) for x in log if x[0] == "cuMemcpyHtoDAsync_v2"]
    image, style = (
        (samples_of(3 * h * w * 3) / 255).astype(np.float32).reshape(3, -1)
        for h, w in ((400, 600), (50, 70))
    )
    expected = [[x[n].nbytes, hashed(x[n].tobytes())] for n in range(3) for x in (image, style)]
    assert copies == expected
    assert fetched(log) == 3 * [400 * 600 * 3 * 4, 4]
    program = program_of(gpu_pictures.path)
    values = {"N": 1, "H0": 400, "W0": 600, "H1": 50, "W1": 70, "P": MULTIPROCESSORS}
    calls = program.calls("fp32", values)
    assert_numbers([x for x in launches(log) if x[5]], 2 * calls)  # two slots


def test_pictures_in_tiles(run):
    facts, log = run("tiles")
    assert facts["filled"]
    count = Counter(name for name, *_ in log)
    assert 4 <= count["cuGraphLaunch"] <= 20
    assert count["cuGraphInstantiateWithFlags"] <= 4  # shapes of tiles
    assert balanced(log)


def test_shapes_that_are_not_used_go(run):
    _, log = run("shapes")
    names = [name for name, *_ in log]
    assert names.count("cuGraphInstantiateWithFlags") == 10
    ended = names.index("cuGraphExecDestroy")
    assert ended < len(names) - 30  # not only at the end
    assert balanced(log)


def test_two_gpus(run):
    _, log = run("devices", GPUS=2)
    assert [x[1] for x in log if x[0] == "cuDevicePrimaryCtxRetain"] == ["0", "1"]
    assert sum(x[0] == "cuInit" for x in log) == 1
    assert balanced(log)


def test_two_engines_in_two_threads(run):
    """Each captures its own launches, in streams of its own."""
    facts, log = run("threads")
    assert facts["filled"] == [True] * 24
    assert not [x for x in log if "refused" in x]
    begun = [x[1] for x in log if x[0] == "cuStreamBeginCapture_v2"]
    assert len(set(begun)) == 2
    assert len(begun) > 16
    recorded = Counter(str(x[4]) for x in launches(log) if x[5])
    kernels = sum(recorded.values()) / len(begun)
    assert recorded == {stream: kernels * count for stream, count in Counter(begun).items()}
    assert balanced(log)


def test_another_architecture_takes_its_own_kernels(run):
    facts, _ = run("plain", CAPABILITY=86)
    assert facts == {"isa": "sm_80"}


def test_not_finite(run):
    facts, log = run("plain", FLAG=1)
    assert facts["status"] == NOT_FINITE
    assert "infinities or NaN in fp16; run the model that it was exported" in facts["message"]
    assert balanced(log)
