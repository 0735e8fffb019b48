"""Small models with random weights for the C++ tests: python bundles.py FOLDER."""

import struct
import sys
from pathlib import Path

import torch

from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.models.generator import Generator
from imagen_fast.models.listing import ListingGenerator
from imagen_fast.spec import Level, ModelSpec

SPECS = {
    "windows": ModelSpec(scale=2, levels=(Level(20, depth=2, convs=1),), head_dim=5, window=6),
    "levels": ModelSpec(
        scale=3, levels=(Level(8, convs=1), Level(16, convs=0, attention="global")), head_dim=8,
        latent_channels=2,
    ),
    "listing": ModelSpec(
        architecture="listing", scale=1, levels=(Level(24, 1, 0, "global"),), head_dim=24
    ),
}  # fmt: skip


def with_kernels(bundle: Bundle) -> bytes:
    """A bundle with GPU kernels, but for their code, which takes long to compile."""
    import imagen_fast.kernels.ahead.bundled as bundled
    from imagen_fast.export.bundle_file import render

    bundled.compile_all = lambda programs, told: {
        bundled.key_of(x.variant, program.arch): bundled.Code(
            *(x.variant, "stem.stem_kernel", CODE, "stem_kernel", 128, 1024, 0, 0)
        )
        for program in programs
        for x in program.launches
    }
    plan, tensors = bundled.made_ready(bundle, "bf16", (90,))
    return render(bundle.spec, bundle.metadata, plan, tensors)


# What is looked at of a file of code: ELF's header, a section of names, one of parameters.
NAMES = b"\0.shstrtab\0.nv.info.stem_kernel\0"
PARAMETERS = b"".join(struct.pack("<BBHIHHI", 4, 0x17, 12, 0, i, 8 * i, 8 << 18) for i in range(3))
SECTIONS = (
    (0, 0, 0),
    (1, 64, len(NAMES)),
    (11, 64 + len(NAMES), len(PARAMETERS)),
)
CODE = (
    struct.pack("<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 2, 190, 1, 0, 0,
                64 + len(NAMES) + len(PARAMETERS), 0, 64, 56, 0, 64, 3, 1)
    + NAMES
    + PARAMETERS
    + b"".join(struct.pack("<IIQQQQ24x", name, 3, 0, 0, at, size) for name, at, size in SECTIONS)
)  # fmt: skip


def main() -> None:
    """Write one file for each of `SPECS`, and one with GPU kernels."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, spec in SPECS.items():
        torch.manual_seed(0)
        network = (ListingGenerator if spec.architecture == "listing" else Generator)(spec)
        tensors = {key: value.numpy() for key, value in network.state_dict().items()}
        bundle = Bundle(spec, tensors, {"name": name})
        save_bundle(bundle, folder / f"{name}.safetensors")
        if name == "levels":
            (folder / "kernels.bundle").write_bytes(with_kernels(bundle))


if __name__ == "__main__":
    main()
