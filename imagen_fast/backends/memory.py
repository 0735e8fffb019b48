"""How much memory this process may still take."""

from __future__ import annotations

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def available() -> int:
    """Bytes of main memory, by the kernel's estimate and within the limits of the container.

    The limits are those of the control group that this process is in and of the groups above
    it, as far as they can be seen from here. Cached files count as available, in the
    estimate as in the groups: the kernel drops them when their memory is needed.
    """
    return min([_kernel_estimate(), *_within_groups()])


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
