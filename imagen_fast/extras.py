"""What is installed only when it is asked for, how to get it, and which version is there."""

from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module

BUILD_AGAIN = (
    "install a C++17 compiler (g++ or clang++) and Python's headers (python3-dev), then, in the "
    "folder of its source: pip install --force-reinstall --no-deps ."
)


def install(extra: str) -> str:
    """How to install one of the extras of pyproject.toml, said alike wherever one is missing."""
    return f"in the folder of its source: pip install '.[{extra}]'"


def missing(package: str, name: str, absent: str) -> str | None:
    """What is wrong with a package, which only importing it tells; None if nothing.

    Args:
        package: as it is imported.
        name: as it is called.
        absent: what is said where it is not installed.
    """
    try:
        import_module(package)
    except Exception as error:  # a broken installation fails in many ways
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            return absent
        reason = " ".join(str(error).split()) or type(error).__name__
        return f"{name} is installed but does not load ({reason}); install it anew"
    return None


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of those that are installed, by name."""
    import importlib.metadata  # takes longer to load than a model

    found = {}
    for name in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
