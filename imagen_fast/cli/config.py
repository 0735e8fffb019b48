"""`imagen-fast config`: what programs in C and C++ need to be built with the library."""

from __future__ import annotations

from collections.abc import Callable

import click

from imagen_fast import c_library
from imagen_fast._version import __version__
from imagen_fast.errors import BackendError

# Option → what it prints, given whether the static library is wanted.
FACTS: dict[str, Callable[[bool], str]] = {
    "version": lambda static: __version__,
    "includedir": lambda static: str(c_library.INCLUDE),
    "libdir": lambda static: str(c_library.LIBRARY),
    "cmakedir": lambda static: str(c_library.CMAKE),
    "pkgconfigdir": lambda static: str(c_library.PKG_CONFIG),
    "cflags": lambda static: c_library.compile_flags(),
    "libs": c_library.link_flags,
}


@click.command(name="config")
@click.option("--includedir", is_flag=True, help="Folder of imagen_fast.h and imagen_fast.hpp.")
@click.option("--libdir", is_flag=True, help="Folder of the libraries.")
@click.option("--cmakedir", is_flag=True, help="For cmake: -Dimagen_fast_DIR=...")
@click.option("--pkgconfigdir", is_flag=True, help="For the variable PKG_CONFIG_PATH.")
@click.option("--cflags", is_flag=True, help="For the compiler.")
@click.option("--libs", is_flag=True, help="For the linker.")
@click.option("--static", is_flag=True, help="--libs name the static library.")
def command(static: bool, **wanted: bool) -> None:
    """Show what C and C++ programs need to use imagen-fast; docs/embed.md says how.

    \b
    cc program.c $(imagen-fast config --cflags --libs) -o program
    cmake -Dimagen_fast_DIR=$(imagen-fast config --cmakedir) ..

    Options print what they name, in one line; without options, everything is shown.
    """
    missing = c_library.missing()
    asked = [name for name, yes in wanted.items() if yes]
    if asked or static:
        if missing:
            raise BackendError(missing)
        click.echo(" ".join(FACTS[name](static) for name in FACTS if name in (asked or ["libs"])))
        return
    width = max(map(len, FACTS))
    for name, fact in FACTS.items():
        click.echo(f"{name:{width}}  {fact(static)}")
    click.echo(f"{'libraries':{width}}  {missing or 'shared and static'}")
