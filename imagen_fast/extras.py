"""What is installed only when it is asked for, and how to get it."""

BUILD_AGAIN = (
    "install a C++17 compiler (g++ or clang++) and Python's headers (python3-dev), then, in the "
    "folder of its source: pip install --force-reinstall --no-deps ."
)


def install(extra: str) -> str:
    """How to install one of the extras of pyproject.toml, said alike wherever one is missing."""
    return f"in the folder of its source: pip install '.[{extra}]'"
