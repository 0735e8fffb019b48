"""README and docs/: examples run, links lead somewhere, tables name everything that there is."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import imagen_fast
from imagen_fast import c_library
from imagen_fast.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
by_name = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def blocks(page: Path, *languages: str) -> list[str]:
    """The text of the fenced blocks in one of the languages."""
    return [text for language, text in FENCED.findall(page.read_text()) if language in languages]


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder with what the examples read."""
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (120, 160, 3), np.uint8)
    Image.fromarray(samples).resize((160, 120)).save(tmp_path / "photo.jpg")
    return tmp_path


def run_examples(page: Path, folder: Path) -> None:
    """All Python of a page as one program, as a reader would paste it; warnings are errors."""
    program = folder / "page.py"
    program.write_text("\n".join(blocks(page, "python")))
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", program.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["README.md", "docs/python.md"])
def test_the_python_of_a_page_runs_as_it_stands(name: str, beside: Path) -> None:
    assert blocks(ROOT / name, "python")
    run_examples(ROOT / name, beside)
    assert (beside / "photo_x4.png").exists()


def test_an_exported_file_runs_elsewhere_as_its_page_says(beside: Path) -> None:
    for library in ("onnx", "onnxruntime", "openvino"):
        pytest.importorskip(library)
    command = [sys.executable, "-m", "imagen_fast", "export", "sr-x4", "-o", "sr-x4.onnx"]
    subprocess.run([*command, "--no-verify"], cwd=beside, check=True, timeout=120)
    assert "INFERENCE_PRECISION_HINT" in "".join(blocks(ROOT / "docs/export.md", "python"))
    run_examples(ROOT / "docs" / "export.md", beside)


@by_name
def test_every_command_line_is_one_that_exists(page: Path) -> None:
    for line in "".join(blocks(page, "")).splitlines():
        if not (found := re.match(r"(?:time )?imagen-fast ([a-z]+)(.*)", line)):
            continue
        name, arguments = found[1], found[2].partition(" #")[0]
        assert name in COMMANDS, line
        command = main.get_command(click.Context(main), name)
        known = {option for parameter in command.params for option in parameter.opts}
        known |= {option for parameter in command.params for option in parameter.secondary_opts}
        used = set(re.findall(r"(?<= )--?[a-zA-Z][a-z-]*", arguments))
        assert used <= known | {"--help", "-h"}, line


@by_name
def test_every_link_leads_somewhere(page: Path) -> None:
    prose = FENCED.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        path = page.parent / file if file else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", FENCED.sub("", path.read_text()), re.MULTILINE)
            assert anchor in [as_anchor(heading) for heading in headings], f"{page.name}: {target}"


def as_anchor(heading: str) -> str:
    """What a heading is linked by, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_python_page_has_every_public_name() -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    names = [name for name in imagen_fast.__all__ if not name.startswith("__")]
    names += [name for name in vars(imagen_fast.Engine) if not name.startswith("_")]
    assert not [name for name in names if not re.search(rf"\b{name}\b", text)]


def test_the_python_page_has_every_option_of_load_with_its_default() -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    for name, parameter in inspect.signature(imagen_fast.load).parameters.items():
        default = parameter.default
        shown = {str: f'`"{default}"`', type: ""}.get(type(default), f"`{default}`")
        assert f"| `{name}` | {shown} |".replace("  ", " ") in text.replace("  ", " ")


@pytest.mark.skipif(c_library.missing() is not None, reason="the C library is not built")
def test_the_pages_say_how_large_the_library_is() -> None:
    """To a tenth: compilers differ."""
    size = c_library.shared().stat().st_size / 1e6
    pages = {"README.md": "a library of ([0-9.]+) MB", "docs/embed.md": "library has ([0-9.]+) MB"}
    for page, said in pages.items():
        (stated,) = re.findall(said, (ROOT / page).read_text("utf-8"))
        assert float(stated) == pytest.approx(size, rel=0.1)
