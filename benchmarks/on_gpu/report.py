"""A run's result in lines of text: what failed, and each figure beside the ceiling it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

NETWORKS = ("end to end", "compiled")  # parts that time whole networks


def summary(result: dict[str, Any]) -> Iterator[str]:
    """Of the dictionary that is saved."""
    parts = result["parts"]
    for name, part in parts.items():
        yield f"{name}: {ending(part)}"
        for row in part.get("rows", ()):
            if row.get("ok") is False:
                yield f"  not right: {_place(row)} {row.get('failed', '')}".rstrip()
    ceilings = next(iter(parts.get("ceilings", {}).get("rows", ())), {})
    for row in parts.get("kernels", {}).get("rows", ()):
        if row.get("median_us"):
            yield f"{_place(row)}: {_medians(row['median_us'])}{_roof(row, ceilings)}"
    for row in parts.get("embedded", {}).get("rows", ()):
        if row.get("median_us"):
            cold = min(row["cold_ms"])
            yield f"{_place(row)}, C++: {_medians(row['median_us'])}; whole process {cold:.0f} ms"
    for row in (row for name in NETWORKS for row in parts.get(name, {}).get("rows", ())):
        for place in ("on the device", "from memory to memory"):
            if place in row:
                yield f"{_place(row)}, {place}: {_medians(row[place]['median_us'])}"


def roofline(row: dict[str, Any], ceilings: dict[str, Any]) -> float | None:
    """Microseconds that a kernel takes at least, by ceilings measured in the same run."""
    rate = ceilings.get("gflops", {}).get(row["dtype"])
    if not rate or not ceilings.get("bandwidth"):
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
    return (
        f"{len(rows)} rows, {checked} checked, {wrong} not right{ended}, {part['seconds']} s"
        f"{', FAILED' if part['failed'] else ''}"
    )


def _finished(part: dict[str, Any]) -> bool:
    return None not in part["exit_codes"] and not any("left_out" in row for row in part["rows"])


def _place(row: dict[str, Any]) -> str:
    names = ("kernel", "network", "key", "size", "batch", "side", "dtype")
    return ", ".join(f"{name} {row[name]}" for name in names if name in row)


def _medians(medians: dict[str, float]) -> str:
    ours = medians.get("triton")
    parts = []
    for name, value in medians.items():
        times = f" ({value / ours:.2f}x)" if ours and name != "triton" else ""
        parts.append(f"{name} {value:.1f} µs{times}")
    return "; ".join(parts)


def _roof(row: dict[str, Any], ceilings: dict[str, Any]) -> str:
    floor, ours = roofline(row, ceilings), row["median_us"].get("triton")
    return f"; {floor / ours:.0%} of the roofline" if floor and ours else ""
