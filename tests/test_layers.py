"""Imports go one way, and what costs time is imported only when it is needed."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import imagen_fast.export
import imagen_fast.kernels
import pytest

import imagen_fast

ROOT = Path(imagen_fast.__file__).parent
ELSEWHERE = {  # in a checkout
    "export": Path(imagen_fast.export.__file__).parent,
    "kernels": Path(imagen_fast.kernels.__file__).parent,
}

# A module may import from its own group and from those that stand in its row.
ALLOWED = {
    "errors": set(),
    "_version": set(),
    "cores": set(),
    "extras": set(),
    "stand_in": set(),
    "c_library": {"extras"},
    "spec": {"errors"},
    "task": {"errors"},
    "samples": set(),
    "metrics": {"samples", "errors"},
    "graph": {"spec", "errors"},
    "bundle": {"atomic", "graph", "spec", "stand_in", "task", "errors"},
    "catalogue": {"bundle", "spec", "task", "errors"},
    "image": {"atomic", "_version", "samples", "stand_in", "errors"},
    "tiling": {"graph", "samples", "errors"},
    "tile_sizes": {"tiling", "errors"},
    "finite": {"backends", "turn", "errors"},
    "atomic": set(),
    "kernels": {"bundle", "graph", "errors"},
    "export": {
        *("kernels", "atomic", "bundle", "cores", "graph", "image", "stand_in", "extras", "spec"),
        *("_version", "metrics", "errors"),
    },
    "importers": {
        *("atomic", "backends", "bundle", "export", "extras", "graph", "stand_in", "errors"),
    },
    "model_file": {"atomic", "export", "importers", "bundle", "extras", "errors"},
    "models": {"bundle", "graph", "spec", "errors"},
    "backends": {
        *("kernels", "atomic", "cores", "export", "extras", "models", "bundle", "graph"),
        *("spec", "errors"),
    },
    "turn": set(),
    "outputs": {"graph", "samples", "errors"},
    "recurrent": {"graph", "image", "samples"},
    "streaming": {"recurrent", "image", "errors"},
    "engine": {
        *("streaming", "finite", "backends", "image", "outputs", "tile_sizes", "tiling", "graph"),
        *("cores", "samples", "_version", "errors"),
    },
    "loading": {
        *(
            "engine",
            "backends",
            "tile_sizes",
            "catalogue",
            "model_file",
            "bundle",
            "graph",
            "cores",
        ),
        "errors",
    },
    "training": {
        *("models", "image", "atomic", "catalogue", "bundle", "graph", "spec", "metrics"),
        *("extras", "_version", "errors", "task"),
    },
}
ALLOWED["bench"] = {*ALLOWED["backends"], "backends", "metrics"}
ALLOWED["video"] = {"image", "atomic", "extras", "samples", "_version", "errors"}
ALLOWED["tasks"] = {
    *ALLOWED["engine"],
    *ALLOWED["loading"],
    "loading",
    "export",
    "atomic",
    "metrics",
    "task",
}
ALLOWED["cli"] = {*ALLOWED["tasks"], *ALLOWED["training"], "tasks", "training", "bench"}
ALLOWED["cli"] |= {"c_library", "kernels", "importers", "recurrent", "video"}
ALLOWED["__main__"] = {"cli"}
ALLOWED["weights"] = set()
# The root only forwards names, when they are asked for.
ALLOWED["__init__"] = {"_version", "engine", "loading", "errors", "spec", "tasks"}

# Within kernels: what each of its parts may import of the others.
KERNELS: dict[str, set[str]] = {"triton": set(), "ahead": {"triton"}, "__init__": set()}

WITHOUT_TORCH = (
    *(
        "errors",
        "spec",
        "graph",
        "metrics",
        "bundle",
        "catalogue",
        "image",
        "tiling",
        "engine",
        "finite",
    ),
    *("export", "importers", "model_file", "atomic", "task", "turn", "outputs", "video"),
)


def modules() -> list[Path]:
    return sorted({p for folder in (ROOT, *ELSEWHERE.values()) for p in folder.rglob("*.py")})


def place(path: Path) -> Path:
    """Where a module lies in the package."""
    for name, folder in ELSEWHERE.items():
        if path.is_relative_to(folder):
            return Path(name) / path.relative_to(folder)
    return path.relative_to(ROOT)


def group(path: Path) -> str:
    return place(path).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Full names of all modules that a file imports, anywhere in it."""
    package = ["imagen_fast", *place(path).parts[:-1]]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda p: place(p).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    if group(path) not in ALLOWED:
        pytest.fail(f"{group(path)} is new: say in ALLOWED what it may import")
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("imagen_fast.")}
    groups = {group(p) for p in modules()}
    wrong = (ours & groups) - ALLOWED[group(path)] - {group(path)}
    assert not wrong


@pytest.mark.parametrize("path", sorted(ELSEWHERE["kernels"].rglob("*.py")),
                         ids=lambda p: place(p).as_posix())  # fmt: skip
def test_imports_within_kernels_go_one_way(path: Path) -> None:
    part = place(path).parts[1].removesuffix(".py")
    split = [name.split(".") for name in imported(path)]
    others = {names[2] for names in split if names[:2] == ["imagen_fast", "kernels"] and names[2:]}
    assert others <= KERNELS[part] | {part}


@pytest.mark.parametrize("suffix", ["h", "cc"])
def test_kernels_for_cpus_include_nothing_of_what_runs_them(suffix: str) -> None:
    files = list((ELSEWHERE["kernels"] / "cpu").glob(f"*.{suffix}"))
    if not files:
        pytest.skip("only a checkout has the sources")
    for path in files:
        for included in re.findall(r'#include "(.*)"', path.read_text("utf-8")):
            assert (path.parent / included).parent == path.parent, (path.name, included)


def needs_torch(path: Path) -> bool:
    """Modules that work where PyTorch is: of some exports, and of PyTorch's own checkpoints."""
    return "tensorrt" in path.name or path.name in (
        *("bundle_interpreted.py", "checkpoint_door.py", "checkpoint_file.py"),
    )


@pytest.mark.parametrize("path", modules(), ids=lambda p: place(p).as_posix())
def test_torch_stays_below_the_backends(path: Path) -> None:
    if group(path) in WITHOUT_TORCH and not needs_torch(path):
        assert not [name for name in imported(path) if name.split(".")[0] == "torch"]


def loaded_after(code: str) -> set[str]:
    """Names of the modules that a fresh process has loaded after `code`."""
    code = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stderr.split())


def test_importing_the_package_loads_next_to_nothing() -> None:
    loaded = loaded_after("import imagen_fast; imagen_fast.__version__; dir(imagen_fast)")
    assert not loaded & {"torch", "numpy", "PIL", "rich", "click", "safetensors", "tifffile"}


def test_help_loads_only_click() -> None:
    code = "from imagen_fast.cli import main\nmain(['--help'], standalone_mode=False)"
    loaded = loaded_after(code)
    assert "click" in loaded
    assert not loaded & {"torch", "numpy", "PIL", "rich", "safetensors", "tifffile"}


def test_an_engine_without_torch_loads_no_torch() -> None:
    code = "import imagen_fast\nimagen_fast.load('sr-x4', backend='fake').info()"
    assert not loaded_after(code) & {"torch", "PIL", "rich", "tifffile"}


def test_what_a_bundle_says_of_its_kernels_is_read_without_torch() -> None:
    loaded = loaded_after("import imagen_fast.export.bundle_plan")
    assert "imagen_fast.kernels.triton.size" in loaded
    assert not loaded & {"torch", "triton"}


@pytest.mark.parametrize("name", imagen_fast.__all__)
def test_public_names(name: str) -> None:
    assert getattr(imagen_fast, name) is not None
    assert name in dir(imagen_fast)


def test_every_error_is_public() -> None:
    from imagen_fast import errors

    kinds = {name for name in vars(errors) if name.endswith("Error")}
    assert kinds <= set(imagen_fast.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = imagen_fast.nothing
