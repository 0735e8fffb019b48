"""What is installed only when it is asked for, and how to get it."""


def install(extra: str) -> str:
    """How to install one of the extras of pyproject.toml, said alike wherever one is missing."""
    return f"in the folder of its source: pip install '.[{extra}]'"
