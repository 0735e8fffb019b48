"""A run's result in lines of text: what failed, and each figure beside the ceiling it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from imagen_fast.bench.timing import Summary

NAMES = ("kernel", "network", "operation", "key", "size", "batch", "side", "dtype")


def summary(result: dict[str, Any]) -> Iterator[str]:
    """Of the dictionary that is saved."""
    rows = [row for part in result["parts"].values() for row in part.get("rows", ())]
    for name, part in result["parts"].items():
        yield f"{name}: {ending(part)}"
    ceilings = next((row for row in rows if "bandwidth" in row), {})
    for row in rows:
        place = ", ".join(f"{name} {row[name]}" for name in NAMES if name in row)
        if row.get("ok") is False:
            yield f"not right: {row['what']} {place} {row.get('failed', '')}".rstrip()
        for where in ("on the device", "from memory to memory", ""):
            samples = (row.get(where, {}) if where else row).get("samples_us")
            if medians := {name: Summary.of(x).p50 for name, x in (samples or {}).items()}:
                said = f"{row['what']} {place} {where}: {_beside(medians)}"
                cold = f"; whole process {min(row['cold_ms']):.0f} ms" if "cold_ms" in row else ""
                floor, ours = roofline(row, ceilings), medians.get("triton")
                roof = f"; {floor / ours:.0%} of the roofline" if floor and ours else ""
                yield f"{said}{cold}{roof}"


def _beside(medians: dict[str, float]) -> str:
    ours = medians.get("triton")
    return "; ".join(
        f"{name} {value:.1f} µs" + (f" ({value / ours:.2f}x)" if ours and name != "triton" else "")
        for name, value in medians.items()
    )


def roofline(row: dict[str, Any], ceilings: dict[str, Any]) -> float | None:
    """Microseconds that a kernel takes at least, by ceilings measured in the same run."""
    rate = ceilings.get("gflops", {}).get(row["dtype"])
    if not rate or not ceilings.get("bandwidth") or "flops" not in row:
        return None
    return max(row["flops"] / rate, row["bytes"] / ceilings["bandwidth"]) / 1e3


def whole(part: dict[str, Any]) -> bool:
    """Whether a part did all that it was to do, and nothing of it was wrong."""
    return "left_out" not in part and not any(part["exit_codes"]) and _finished(part)


def ending(part: dict[str, Any]) -> str:
    """How a part ended, in a line."""
    if "left_out" in part:
        return f"left out: {part['left_out']}"
    rows = part["rows"]
    checked = sum("ok" in row for row in rows)
    wrong = sum(row.get("ok") is False for row in rows)
    ended = "" if _finished(part) else ", not finished within its time"
    ended += f", {part['seconds']} s{', FAILED' if part['failed'] else ''}"
    return f"{len(rows)} rows, {checked} checked, {wrong} not right{ended}"


def _finished(part: dict[str, Any]) -> bool:
    return None not in part["exit_codes"] and not any("left_out" in row for row in part["rows"])
