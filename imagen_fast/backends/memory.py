"""How much memory this process may still take, and how many pixels fit."""

from __future__ import annotations

import os
from pathlib import Path

from imagen_fast.graph import Graph
from imagen_fast.graph.passes import needed

# A larger tile is no faster per pixel on a CPU, and costs memory that someone else may want.
CPU_BUDGET = 1 << 30
# Input pixels: smaller tiles are mostly halo, and readings of free memory are sometimes too low.
LEAST_PIXELS = 192**2
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def available() -> int:
    """Bytes of main memory, by the kernel's estimate and within the limits of the container.

    The limits are those of the control group that this process is in and of the groups above
    it, as far as they can be seen from here. Cached files count as available, in the
    estimate as in the groups: the kernel drops them when their memory is needed.
    """
    return min([_kernel_estimate(), *_within_groups()])


def budget() -> int:
    """Bytes of main memory that a run may take: a part, since others use it too."""
    return min(available() // 4, CPU_BUDGET)


def pixels(graph: Graph, bytes_: int, bytes_per_channel: int) -> int:
    """How many input pixels fit into so many bytes, of which a pixel of each channel takes some.

    The channels are those of the widest value between first input and first output, a finer
    grid's counting as often as it has pixels.
    """
    optional = [name for name, x in graph.inputs.items() if x.optional]
    graph = needed(graph.without(optional), [next(iter(graph.outputs))])
    widest = max(x.channels * x.grid.factor**2 / 4**x.grid.halvings for x in graph.values.values())
    return max(int(bytes_ / (widest * bytes_per_channel)), LEAST_PIXELS)


def _within_groups() -> list[int]:
    try:
        lines = OWN_CGROUPS.read_text("utf-8").splitlines()
    except OSError:  # no Linux
        return []
    found = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":  # version 2
            top, limit, used, cached = CGROUPS, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):  # version 1
            top, cached = CGROUPS / "memory", "total_inactive_file"
            limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = top / name.lstrip("/")
        # In a container the name may be the host's and lead nowhere; its own group is the top.
        for folder in (group, *group.parents):
            if not folder.is_relative_to(top):
                break
            most, now = _number(folder / limit), _number(folder / used)
            if most is not None and now is not None:
                found.append(max(0, most - now + _statistic(folder / "memory.stat", cached)))
    return found


def _kernel_estimate() -> int:
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return _statistic(Path("/proc/meminfo"), "MemAvailable:") * 1024 or half  # half if no Linux


def _statistic(path: Path, name: str) -> int:
    """The number in the line that begins with `name`; 0 if there is none."""
    try:
        lines = path.read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), 0)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return None
