"""What folders and patterns leave out: it is named, and a locked folder is a failure."""

import os
from pathlib import Path

import pytest
from trees import touch

from imagen_fast.tasks.discovery import discover


def taken(folder: Path, *inputs: str, **options) -> list[str]:
    found = discover(inputs, **options).pictures
    return sorted(os.path.relpath(item.source, folder) for item in found if not item.problem)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "g/a.png", "g/x/b.jpg")
    return tmp_path


def everything(folder: Path) -> list[str]:
    """Every file in a tree, as a shell expands `**`."""
    return [str(path) for path in sorted(folder.rglob("*")) if path.is_file()]


WAYS = {
    "folder": lambda: (["g"], {"recursive": True}),
    "pattern of trees": lambda: (["g/**/*.*"], {}),
    "patterns": lambda: (["g/*.*", "g/*/*.*", "g/*/*/*.*"], {}),
    "files": lambda: (everything(Path("g")), {}),
    "folder and pattern": lambda: (["g/x", "g/**/*.*"], {"recursive": True}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("output", ["g/out", "elsewhere", None])
@pytest.mark.parametrize("earlier", [("a_x2.png", "b_x2.png"), ("a_x4.jpg", "x/b_big.webp")])
def test_earlier_results_are_no_input_however_they_are_named(tree, way, output, earlier):
    """Results of a run into g/out, and beside their pictures."""
    touch(tree / "g/out", *earlier)
    touch(tree / "g", "a_x2.png", "x/b_x3.png")
    inputs, options = WAYS[way]()
    where = Path(output) if output else None
    options["suffixes"] = ("_x2", "_x3", "_x4", "_big")
    assert taken(tree, *inputs, output=where, **options) == ["g/a.png", "g/x/b.jpg"]


def test_a_result_that_is_named_alone_is_taken(tree):
    touch(tree, "g/a_x2.png")
    assert taken(tree, "g/a_x2.png") == ["g/a_x2.png"]
    assert taken(tree, "g/a_x2.png", "g/x/b.jpg") == ["g/a_x2.png", "g/x/b.jpg"]
    assert taken(tree, "g/a_x2.png", "g/a.png") == ["g/a.png"]


def test_what_has_a_foreign_name_in_the_output_folder_is_left_to_it(tree):
    touch(tree, "g/out/other.png")
    out = Path("g/out")
    assert taken(tree, "g/**/*.png", output=out) == ["g/a.png"]
    assert taken(tree, "g", recursive=True, output=out) == ["g/a.png", "g/x/b.jpg"]
    # It is what is asked for, if it is searched itself.
    assert taken(tree, "g/out/*.png", output=out) == ["g/out/other.png"]
    assert taken(tree, "g/out", output=out) == ["g/out/other.png"]


@pytest.mark.parametrize("way", ["folder", "pattern of trees", "patterns", "files"])
def test_the_output_file_is_no_input(tree, way):
    touch(tree, "g/large.png")
    (tree / "g/x/b.jpg").unlink()
    inputs, options = WAYS[way]()
    assert taken(tree, *inputs, output=Path("g/large.png"), **options) == ["g/a.png"]


@pytest.mark.parametrize("inputs", [["g"], ["g/*"], ["g/**/*"]])
def test_kinds_that_cannot_be_read_are_named(tree, inputs):
    touch(tree, "g/c.HEIC", "g/d.dng", "g/e.jxl", "g/notes.txt", "g/.f.heic")
    left_out = discover(inputs).left_out
    assert {path.name for path in left_out} == {"c.HEIC", "d.dng", "e.jxl"}
    assert set(left_out.values()) == {"of a kind that cannot be read"}


def test_kinds_that_can_be_read_are_taken(tree):
    names = [f"p.{ext}" for ext in ("avif", "bmp", "gif", "j2k", "jp2", "mpo", "TGA", "webp")]
    touch(tree / "h", *names)
    assert taken(tree / "h", "h") == sorted(names)


@pytest.mark.parametrize("inputs", [["g"], ["g/**/*.png"]])
def test_a_linked_folder_is_named_and_not_followed(tree, inputs):
    touch(tree, "far/c.png")
    (tree / "g/link").symlink_to(tree / "far")
    (tree / "g/x/up").symlink_to(tree / "g")
    found = discover(inputs, recursive=True)
    assert [item.problem for item in found.pictures if item.problem] == []
    assert {path.as_posix() for path in found.left_out} == {"g/link", "g/x/up"}
    assert taken(tree, "g/link") == ["g/link/c.png"]  # it is what is asked for
    assert taken(tree, "g/*/c.png") == ["g/link/c.png"]
