"""Can this machine run a bundle with GPU kernels? Answered by its header and the driver."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imagen_fast.errors import BackendError

from .bundle_file import read_header
from .bundle_plan import BundlePlan
from .gpus import Gpu, gpus

# From here on Triton compiles for one chip ("sm_90a"), whose code runs on no later one.
EXACT = 90


def can_run(path: str | Path, found: Sequence[Gpu] | None = None) -> tuple[bool, str]:
    """Whether any of this machine's GPUs runs a bundle, and which one or why none.

    Args:
        path: of the bundle, of which only the header is read.
        found: the GPUs; what the driver tells if None.

    Raises:
        WeightsError: the file is damaged, or no bundle with GPU kernels.
    """
    _, plan, _ = read_header(path)
    try:
        here = gpus() if found is None else found
    except BackendError as error:
        return False, str(error)
    if not here:
        return False, "the NVIDIA driver finds no GPU"
    reasons = []
    for gpu in here:
        why_not = _why_not(plan, gpu)
        about = f"cuda:{gpu.index}, {gpu.name} (sm_{gpu.capability})"
        if why_not is None:
            return True, f"{about} runs its kernels for sm_{program_for(plan, gpu)}"
        reasons.append(f"{about}: {why_not}")
    return False, "; ".join(reasons)


def program_for(plan: BundlePlan, gpu: Gpu) -> int | None:
    """The latest architecture of a plan that a GPU runs; None if it runs none."""
    return max((x for x in plan.programs if _serves(x, gpu.capability)), default=None)


def _serves(arch: int, capability: int) -> bool:
    if arch >= EXACT:
        return arch == capability
    return arch // 10 == capability // 10 and arch <= capability


def _why_not(plan: BundlePlan, gpu: Gpu) -> str | None:
    advice = f"export it with --arch sm_{gpu.capability}"
    arch = program_for(plan, gpu)
    if arch is None:
        there = ", ".join(f"sm_{x}" for x in sorted(plan.programs))
        return f"its kernels are for {there}; {advice}"
    shared = max((x.shared for x in plan.programs[arch].kernels), default=0)
    if shared > gpu.shared:
        return (
            f"its kernels for sm_{arch} take {shared} bytes of shared memory, and a block has at "
            f"most {gpu.shared}; {advice}"
        )
    return None
