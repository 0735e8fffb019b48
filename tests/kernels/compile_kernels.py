"""Compiles the kernels for one architecture and prints what each takes, as JSON lines.

A program of its own: Triton's interpreter, once chosen, is there for the whole process.
`python compile_kernels.py 90 bf16 unbounded`
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
import triton
from imagen_fast.kernels.triton import conv_block, global_attention, window_attention
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def compiled(variant, arch):
    names = variant.kernel.arg_names
    signature = {n: variant.signature.get(n, "constexpr") for n in names}
    constants = {(names.index(n),): value for n, value in variant.constants.items()}
    attributes = {(names.index(n),): [["tt.divisibility", 16]] for n in variant.divisible}
    return triton.compile(
        ASTSource(variant.kernel, signature, constants, attributes),
        target=GPUTarget("cuda", arch, 32),
        options={
            "num_warps": variant.num_warps,
            "num_stages": variant.num_stages,
            "enable_fp_fusion": True,
        },
    )


def resources(kernel):
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        usage, sass = (
            subprocess.run(
                [CUOBJDUMP, option, file.name], check=True, capture_output=True, text=True
            ).stdout
            for option in ("-res-usage", "-sass")
        )
    opcodes = Counter(re.findall(r"\*/\s+(?:@!?U?P\w+\s+)?([A-Z]\w*)[. ]", sass))
    return {
        "registers": int(re.search(r"REG:(\d+)", usage)[1]),
        "stack": int(re.search(r"STACK:(\d+)", usage)[1]),
        "shared": kernel.metadata.shared,
        "HGMMA": opcodes["HGMMA"],
        "HMMA": opcodes["HMMA"],
        "FFMA": opcodes["FFMA"],
        "UTCMMA": sum(opcodes[o] for o in opcodes if re.match("UTC.*MMA", o)),
        "spills": opcodes["LDL"] + opcodes["STL"],
    }


def main(arch, dtype, bounded):
    options = {"bounded": bounded == "bounded"}
    # Channels of every form; the channels left out take the forms of those that are here.
    done = set()
    for variant in [
        *window_attention.variants(DTYPES[dtype], arch, (64, 96, 128, 192), **options),
        *global_attention.variants(DTYPES[dtype], (96,), **options),
        *conv_block.variants(DTYPES[dtype], arch),
    ]:
        if variant.name not in done:
            done.add(variant.name)
            used = resources(compiled(variant, arch))
            print(json.dumps({"name": variant.name, "wgmma": variant.wgmma, **used}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
