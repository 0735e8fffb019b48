"""Kernels compiled ahead of time: no GPU and no driver, for any architecture that Triton knows."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime import JITFunction

from imagen_fast.errors import BackendError

from .launch import Launch

CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"


@dataclass(frozen=True)
class CompiledKernel:
    """One kernel's machine code, and what a launcher needs beside it.

    What is passed at run time comes in order, then always two pointers more: to global and to
    profile scratch memory, of so many bytes a program; null where that is 0.

    Attributes:
        arch: of the target; code for 90 and 100 (sm_90a, sm_100a) runs on no later chip.
        entry: the function's name in the cubin.
        cubin: ELF file for the driver's module loader.
        ptx: what the cubin was assembled from, text.
        shared: bytes of dynamic shared memory; above 48 KiB the function must be allowed it.
        num_warps: of a program, read back; threads of a block are 32 times as many.
        global_scratch, profile_scratch: bytes that each program needs.
    """

    arch: int
    entry: str
    cubin: bytes
    ptx: str
    shared: int
    num_warps: int
    global_scratch: int
    profile_scratch: int


def compile_launch(launch: Launch, arch: int) -> CompiledKernel:
    """Machine code for sm_`arch` (80, 90, 100, 120, …) of what a launch runs.

    Raises:
        BackendError: Triton's interpreter, which compiles nothing, is on in this process; or
            the code has not the parameters that were asked for.
    """
    return compile_form(
        launch.kernel, launch.signature, launch.fixed, launch.divisible,
        {"num_warps": launch.num_warps, "num_stages": launch.num_stages}, arch,
    )  # fmt: skip


def compile_form(
    kernel: Any,
    signature: Mapping[str, str],
    constants: Mapping[str, Any],
    divisible: Sequence[str],
    options: Mapping[str, int],
    arch: int,
) -> CompiledKernel:
    """As `compile_launch`, of what stands in a launch, whose sizes do not matter."""
    if not isinstance(kernel, JITFunction):
        raise BackendError(
            "Triton's interpreter is on (TRITON_INTERPRET=1), which compiles nothing; compile in a "
            "process that starts without it"
        )
    names = kernel.arg_names
    done = triton.compile(
        ASTSource(
            kernel,
            {name: signature.get(name, "constexpr") for name in names},
            {(names.index(name),): value for name, value in constants.items()},
            {(names.index(name),): [["tt.divisibility", 16]] for name in divisible},
        ),
        target=GPUTarget("cuda", arch, 32),
        options={**options, "enable_fp_fusion": True},
    )
    meta, ptx = done.metadata, done.asm["ptx"]
    found = len(re.findall(r"\.param \.\w+", ptx.partition(".entry")[2].partition(")")[0]))
    if found != len(signature) + 2:
        raise BackendError(
            f"{meta.name} has {found} parameters in Triton {triton.__version__}'s code; "
            f"expected {len(signature)} and two for scratch memory"
        )
    return CompiledKernel(
        arch=arch,
        entry=meta.name,
        cubin=done.asm["cubin"],
        ptx=ptx,
        shared=meta.shared,
        num_warps=meta.num_warps,
        global_scratch=meta.global_scratch_size * meta.num_ctas,
        profile_scratch=meta.profile_scratch_size * meta.num_ctas,
    )


def resources(kernel: CompiledKernel) -> dict[str, int]:
    """What a program takes and which instructions it has, read from the machine code.

    registers of a thread; stack bytes and spills (loads and stores of local memory); shared
    bytes; numbers of HGMMA (warpgroups' matrix products, sm_90), HMMA (warps'), UTCMMA (sm_100's,
    in tensor memory) and FFMA (of one or two numbers) instructions; waits for warpgroups' products.
    """
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.cubin)
        file.flush()
        usage, sass = (
            subprocess.run(
                [CUOBJDUMP, option, file.name], check=True, capture_output=True, text=True
            ).stdout
            for option in ("-res-usage", "-sass")
        )
    opcodes = Counter(re.findall(r"\*/\s+(?:@!?U?P\w+\s+)?([A-Z]\w*)[. ]", sass))

    def used(what: str) -> int:
        (number,) = re.findall(rf" {what}:(\d+)", usage)
        return int(number)

    return {
        "registers": used("REG"),
        "stack": used("STACK"),
        "spills": opcodes["LDL"] + opcodes["STL"],
        "shared": kernel.shared,
        "HGMMA": opcodes["HGMMA"],
        "waits": sass.count("WARPGROUP.DEPBAR"),
        "HMMA": opcodes["HMMA"],
        "UTCMMA": sum(opcodes[o] for o in opcodes if re.match("UTC.*MMA", o)),
        "FFMA": opcodes["FFMA"] + opcodes["FFMA2"],
    }
