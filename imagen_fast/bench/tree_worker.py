"""A worker that measures the package of another checkout, with the bench of this one.

python imagen_fast/bench/tree_worker.py TREE '{"runtime": "native", ...}'
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def main() -> None:
    """Take `imagen_fast` from TREE and `imagen_fast.bench` from here; then be a worker."""
    here = Path(__file__).parent
    sys.path[0] = sys.argv.pop(1)
    errors = import_module("imagen_fast.errors")
    if not hasattr(errors, "BenchmarkError"):  # an older checkout
        errors.BenchmarkError = errors.ImagenError  # type: ignore[attr-defined]
    spec = spec_from_file_location(
        "imagen_fast.bench", here / "__init__.py", submodule_search_locations=[str(here)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules[spec.name] = package = module_from_spec(spec)
    spec.loader.exec_module(package)
    import_module("imagen_fast.bench.worker").main()


if __name__ == "__main__":
    main()
