"""What NVIDIA's driver says of the GPUs, through its command `nvidia-smi`. Not yet run on one."""

from __future__ import annotations

import shutil
import subprocess

STATE = (
    *("name", "driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "temperature.gpu"),
    *("power.draw", "power.limit", "memory.used"),
)


def names() -> list[str]:
    """The GPUs' names; none where there is no driver."""
    return _ask("--query-gpu=name")


def memory(pid: int) -> int | None:
    """Bytes that a process holds on the GPUs; None if it holds none, or nobody says."""
    lines = [line.split(",") for line in _ask("--query-compute-apps=pid,used_memory")]
    held = [int(size) << 20 for who, size in lines if int(who) == pid and size.strip().isdecimal()]
    return sum(held) or None


def state() -> list[dict[str, str]]:
    """Each GPU's driver, clocks in MHz, temperature and power now, in the driver's words."""
    lines = _ask(f"--query-gpu={','.join(STATE)}")
    return [dict(zip(STATE, (x.strip() for x in line.split(",")), strict=True)) for line in lines]


def _ask(query: str) -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return []
    return done.stdout.strip().splitlines() if done.returncode == 0 else []
