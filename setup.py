"""Where the packages lie, and how the native engine and the C library are built.

`kernels/` and `export/` are installed inside `imagen_fast`. The list of packages is computed,
because a list that forgets one works in editable mode and fails from the wheel. Everything else
about the distribution is in pyproject.toml.

Every C++ file is compiled once, into `imagen_fast/lib/libimagen_fast.a`; the shared library and
Python's extension are linked from it. The objects stay in `build/objects`, for the next build with
the same compiler and flags.
"""

import hashlib
import os
import platform
import re
import shutil
import sys
from pathlib import Path

import pybind11
from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext, has_flag
from setuptools import find_packages, setup
from setuptools.errors import BaseError
from setuptools.modified import newer_group

PLACES = {"imagen_fast.kernels": "kernels", "imagen_fast.export": "export"}

FOLDERS = ("imagen_fast/runtime", "kernels/cpu")
TRAINING = ("imagen_fast/runtime/training", "kernels/training")  # not in the C library
BINDING = "imagen_fast/runtime/binding.cc"
PYTHON = [BINDING, *sorted(str(p) for where in TRAINING for p in Path(where).glob("*.cc"))]
SOURCES = sorted({*PYTHON, *(str(p) for where in FOLDERS for p in Path(where).glob("*.cc"))})
HEADERS = sorted(
    str(p)
    for where in (*FOLDERS, *TRAINING, "imagen_fast/include")
    for p in Path(where).glob("*.h*")
)
EXPORTS = "imagen_fast/runtime/exports.map"

# The kernels of an instruction set are one file, compiled for it; which of them runs is decided
# when the engine starts, so that one build serves every processor.
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"]
ISA_FLAGS = {
    "set_avx2": ["-mavx2", "-mfma"],
    "set_avx512": AVX512,
    "set_avx512_widened": AVX512,
    "set_avx512_bf16": [*AVX512, "-mavx512bf16"],
    "set_amx_bf16": [*AVX512, "-mavx512bf16", "-mavx512vbmi", "-mamx-tile", "-mamx-bf16"],
}
TRAINED = ("avx2", "avx512_widened", "avx512_bf16", "amx_bf16")
ISA_FLAGS |= {f"training_{isa}": ISA_FLAGS[f"set_{isa}"] for isa in TRAINED}
# Tiles blend, and colours are bounded, as NumPy computes it, which rounds a product before it is
# added.
OTHER_FLAGS = {name: ["-ffp-contract=off"] for name in ("color_bounds", "tiling")}
ON_X86 = platform.machine().lower() in ("x86_64", "amd64")
ON_LINUX = platform.system() == "Linux"

# pip shows nothing of a build that succeeds, so one without the engine has to be asked for.
WITHOUT = "IMAGEN_FAST_WITHOUT_NATIVE"
NOT_BUILT = f"""the native engine could not be built: {{}}

imagen-fast was NOT installed. Its engine is C++ and needs a C++17 compiler and Python's headers:

    Debian, Ubuntu:  apt install g++ python3-dev
    Fedora:          dnf install gcc-c++ python3-devel
    Alpine:          apk add g++ python3-dev

Then install it again. To do without the engine, on PyTorch, which is several times slower:

    {WITHOUT}=1 pip install '.[torch]'
"""


class Build(build_ext):
    """Adds each file's own flags, and links the libraries. A set whose flags the compiler does not
    know stays empty."""

    def run(self):
        try:
            super().run()
        except Exception as error:  # compilers', archivers' and linkers' have no base in common
            raise BaseError(NOT_BUILT.format(error)) from error

    def build_extension(self, extension):
        static = self.library_folder() / "libimagen_fast.a"
        place = self.objects_folder(extension)
        own = self.compiler.object_filenames(PYTHON, output_dir=place)
        if self.force or newer_group(extension.depends, str(static), "newer"):
            self.give_files_their_flags()
            objects = self.compiler.compile(
                SOURCES,
                output_dir=place,
                include_dirs=extension.include_dirs,
                extra_postargs=extension.extra_compile_args,
            )
            objects = [path for path in objects if path not in own]
            static.parent.mkdir(parents=True, exist_ok=True)
            if ON_LINUX:
                self.link_shared(objects, static.with_name(f"libimagen_fast.so.{abi()}"))
            static.unlink(missing_ok=True)  # or else the archiver adds to it
            self.compiler.create_static_lib(objects, "imagen_fast", str(static.parent))
        # Compiled above, at the same time as the rest: only linked here.
        extension.sources, extension.extra_objects = [], [*own, str(static)]
        super().build_extension(extension)

    def copy_extensions_to_source(self):
        """For an editable install."""
        super().copy_extensions_to_source()
        for built in self.library_folder().glob("libimagen_fast.*"):
            shutil.copy(built, Path("imagen_fast/lib", built.name))

    def give_files_their_flags(self):
        compile_one = self.compiler._compile
        wanted = {flag for flags in ISA_FLAGS.values() for flag in flags} if ON_X86 else set()
        known = {flag for flag in wanted if has_flag(self.compiler, flag)}

        def with_flags(target, source, suffix, arguments, extra, options):
            own = ISA_FLAGS.get(Path(source).stem, [])
            own = own if known.issuperset(own) else []
            own = [*own, *OTHER_FLAGS.get(Path(source).stem, [])]
            compile_one(f"{target}.part", source, suffix, arguments, [*extra, *own], options)
            Path(f"{target}.part").replace(target)  # whole, whatever ends this build

        self.compiler._compile = with_flags

    def objects_folder(self, extension):
        """Where objects of this compiler and these flags are."""
        commands = [getattr(self.compiler, name) for name in sorted(self.compiler.executables)]
        versions = [sys.version, pybind11.__version__]
        kind = repr([commands, extension.extra_compile_args, *versions])
        return str(Path("build", "objects", hashlib.sha256(kind.encode()).hexdigest()[:12]))

    def library_folder(self):
        return Path(self.build_lib, "imagen_fast", "lib")

    def link_shared(self, objects, path):
        """Linkers look for libimagen_fast.so, programs for the name with the ABI's number. Wheels
        hold no links, so the former is a line that names the latter."""
        self.compiler.link_shared_object(
            objects,
            str(path),
            extra_postargs=[
                f"-Wl,-soname,{path.name}",
                f"-Wl,--version-script={EXPORTS}",
                "-Wl,--no-undefined",
                "-Wl,--strip-all",
                "-pthread",
                "-ldl",
            ],
            target_lang="c++",
        )
        path.with_suffix("").write_text(f"INPUT({path.name})\n")


def outdated(target, source):
    """Whether an object has to be compiled anew."""
    return newer_group([source, *HEADERS, "setup.py"], target)


def abi():
    """The number that changes when programs must be compiled anew."""
    header = Path("imagen_fast/include/imagen_fast.h").read_text("utf-8")
    return re.search(r"^#define IMAGEN_FAST_ABI (\d+)$", header, re.MULTILINE)[1]


packages = find_packages(include=["imagen_fast", "imagen_fast.*"])
for package, folder in PLACES.items():
    packages.append(package)
    packages.extend(f"{package}.{name}" for name in find_packages(folder))

native = Pybind11Extension(
    "imagen_fast._native",
    [BINDING],
    depends=[*SOURCES, *HEADERS, EXPORTS],
    cxx_std=17,
    # gcc warns of its own intrinsics' undefined operands
    extra_compile_args=[
        "-O3",
        "-Wall",
        "-Wextra",
        "-Wno-maybe-uninitialized",
        "-Wno-uninitialized",
    ],
    libraries=["dl"] if ON_LINUX else [],  # part of libc from glibc 2.34 on
)

# A file for each core; each takes up to 0.4 GB.
ParallelCompile(max=8, needs_recompile=outdated).install()

setup(
    packages=packages,
    package_dir={"imagen_fast": "imagen_fast", **PLACES},
    ext_modules=[] if os.environ.get(WITHOUT) else [native],
    cmdclass={"build_ext": Build},
)
