"""Where the packages lie, and how the native engine is built.

`kernels/` and `export/` are installed inside `imagen_fast`. The list of packages is computed,
because a list that forgets one works in editable mode and fails from the wheel. Everything else
about the distribution is in pyproject.toml.
"""

import os
import platform
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension, build_ext, has_flag
from setuptools import find_packages, setup

PLACES = {"imagen_fast.kernels": "kernels", "imagen_fast.export": "export"}

# The kernels of an instruction set are one file, compiled for it; which of them runs is decided
# when the engine starts, so that one build serves every processor.
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"]
FLAGS = {
    "set_avx2": ["-mavx2", "-mfma"],
    "set_avx512": AVX512,
    "set_avx512_bf16": [*AVX512, "-mavx512bf16"],
    "set_amx_bf16": [*AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"],
}
# For tests: the AMX kernels on an emulated tile unit (amx_emulated.h).
EMULATED = [("IMAGEN_FAST_EMULATE_AMX", None)] if os.environ.get("IMAGEN_FAST_EMULATE_AMX") else []
ON_X86 = platform.machine().lower() in ("x86_64", "amd64")


class Build(build_ext):
    """Adds each file's own flags. A set whose flags the compiler does not know stays empty."""

    def build_extension(self, extension):
        compile_one = self.compiler._compile
        wanted = {flag for flags in FLAGS.values() for flag in flags} if ON_X86 else set()
        known = {flag for flag in wanted if has_flag(self.compiler, flag)}

        def with_flags(target, source, suffix, arguments, extra, options):
            own = FLAGS.get(Path(source).stem, [])
            own = own if known.issuperset(own) else []
            compile_one(target, source, suffix, arguments, [*extra, *own], options)

        self.compiler._compile = with_flags
        super().build_extension(extension)


packages = find_packages(include=["imagen_fast", "imagen_fast.*"])
for package, folder in PLACES.items():
    packages.append(package)
    packages.extend(f"{package}.{name}" for name in find_packages(folder))

native = Pybind11Extension(
    "imagen_fast._native",
    sorted(
        str(p) for where in ("imagen_fast/runtime", "kernels/cpu") for p in Path(where).glob("*.cc")
    ),
    depends=sorted(
        str(p) for where in ("imagen_fast/runtime", "kernels/cpu") for p in Path(where).glob("*.h")
    ),
    define_macros=EMULATED,
    cxx_std=17,
    # gcc warns of its own intrinsics' undefined operands
    extra_compile_args=[
        "-O3",
        "-Wall",
        "-Wextra",
        "-Wno-maybe-uninitialized",
        "-Wno-uninitialized",
    ],
    optional=True,  # without a compiler the install succeeds, and `imagen-fast doctor` says so
)

setup(
    packages=packages,
    package_dir={"imagen_fast": "imagen_fast", **PLACES},
    ext_modules=[native],
    cmdclass={"build_ext": Build},
)
