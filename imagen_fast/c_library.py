"""The C library that is installed with this package, and what a program needs to use it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from imagen_fast.extras import BUILD_AGAIN

PACKAGE = Path(__file__).parent
INCLUDE = PACKAGE / "include"
LIBRARY = PACKAGE / "lib"
CMAKE = LIBRARY / "cmake" / "imagen_fast"
PKG_CONFIG = LIBRARY / "pkgconfig"
STATIC = LIBRARY / "libimagen_fast.a"


def shared() -> Path:
    """The shared library; its name ends with the number of the ABI."""
    header = (INCLUDE / "imagen_fast.h").read_text("utf-8")
    found = re.search(r"^#define IMAGEN_FAST_ABI (\d+)$", header, re.MULTILINE)
    assert found is not None
    return LIBRARY / f"libimagen_fast.so.{found[1]}"


def missing() -> str | None:
    """What is missing, and how to get it; None if all is there."""
    lacking = [path.name for path in (shared(), STATIC) if not path.is_file()]
    if not lacking:
        return None
    return (
        f"{' and '.join(lacking)}: not built when imagen-fast was installed, into {LIBRARY}; "
        f"{BUILD_AGAIN}"
    )


def compile_flags() -> str:
    """For the compiler's command line, quoted for a shell."""
    return shlex.quote(f"-I{INCLUDE}")


def link_flags(static: bool = False) -> str:
    """For the linker's command line, quoted for a shell.

    The shared library is found where it lies now when the program starts; the static one becomes
    part of the program.
    """
    if static:
        return f"{shlex.quote(str(STATIC))} -lstdc++ -lm -ldl -pthread"
    folder = shlex.quote(str(LIBRARY))
    return f"-L{folder} -Wl,-rpath,{folder} -limagen_fast"
