"""What every backend can be asked for, and what is wrong with it on any machine."""

from __future__ import annotations

import operator
import re

from imagen_fast.errors import BackendError

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
# Of the native engine, best first, and what each computes in.
INSTRUCTION_SETS = {
    "amx": ("bf16",),
    "avx512_bf16": ("bf16",),
    "avx512": ("bf16", "fp32"),
    "avx2": ("fp32",),
    "generic": ("fp32",),
}
MOST_THREADS = 1024
_DEVICE = re.compile(r"(auto|cpu|cuda)|(cuda):[0-9]{1,6}")


def check(device: object, precision: object, threads: object, isa: object) -> None:
    """Raise BackendError for what is the name of nothing, or out of range."""
    device_kind(device)
    if precision not in PRECISIONS:
        raise BackendError(f"precision {precision!r}; expected one of {', '.join(PRECISIONS)}")
    thread_count(threads)
    if isa == "":
        return
    if not isinstance(isa, str) or isa not in INSTRUCTION_SETS:
        known = ", ".join(INSTRUCTION_SETS)
        raise BackendError(f"no instruction set {isa!r}; expected one of {known}")
    served = INSTRUCTION_SETS[isa]
    if precision not in ("auto", *served):
        raise BackendError(
            f"instruction set {isa!r} computes in {' or '.join(served)}, not in {precision}; "
            "choose another, or leave one of the two out"
        )


def device_kind(device: object) -> str:
    """ "auto", "cpu" or "cuda", whichever GPU it is. Raises BackendError for another device."""
    found = _DEVICE.fullmatch(device) if isinstance(device, str) else None
    if found is None:
        raise BackendError(f"device {device!r}; expected auto, cpu, cuda or cuda:N")
    return str(found[1] or found[2])


def thread_count(threads: object) -> int | None:
    """The number as an int; None if it is None. Raises BackendError for anything else."""
    if threads is None:
        return None
    count = _integer(threads)
    if count is None or not 1 <= count <= MOST_THREADS:
        raise BackendError(
            f"threads is {threads!r}; expected an integer from 1 to {MOST_THREADS}, or None"
        )
    return count


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None
