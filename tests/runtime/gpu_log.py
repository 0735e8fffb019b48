"""What the driver double writes down, and what a bundle says that it should."""

from collections import Counter


def program_of(path):
    from imagen_fast.export.bundle_file import read_header

    return read_header(path)[1].programs[90]


def numbers(words):
    return [int(x) for x in words]


def launches(log):
    """function, grid, threads, shared, stream, whether recorded, [(bytes, value), …] of each."""
    found = []
    for name, *words in log:
        if name == "cuLaunchKernel":
            function, *grid, threads, shared, stream, recorded = numbers(words[:8])
            values = [tuple(map(int, x.split(":"))) for x in words[8:]]
            found.append((function, tuple(grid), threads, shared, stream, recorded, values))
    return found


def fetched(log):
    """Bytes of each result that was copied out, in one band or several, and of the flag."""
    found, end = [], None
    for name, *words in log:
        if name == "cuMemcpyDtoHAsync_v2":
            address, size = numbers(words[:2])
            if address == end:
                found[-1] += size
            else:
                found.append(size)
            end = address + size
    return found


def balanced(log):
    """Whether all that was taken was given back."""
    count = Counter(name for name, *words in log if words[:1] != ["fails"])
    pairs = (
        ("cuMemAlloc_v2", "cuMemFree_v2"), ("cuMemHostAlloc", "cuMemFreeHost"),
        ("cuStreamCreate", "cuStreamDestroy_v2"), ("cuEventCreate", "cuEventDestroy_v2"),
        ("cuModuleLoadData", "cuModuleUnload"), ("cuStreamEndCapture", "cuGraphDestroy"),
        ("cuGraphInstantiateWithFlags", "cuGraphExecDestroy"),
        ("cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease_v2"),
    )  # fmt: skip
    return all(count[taken] == count[given] for taken, given in pairs)
