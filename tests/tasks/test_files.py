"""What is read and where results go, for trees of empty files: nothing is opened here."""

import os
from pathlib import Path

import pytest
from trees import touch

from imagen_fast.tasks.discovery import Found, discover
from imagen_fast.tasks.files import Job, jobs_for


def names(inputs: list[Path | str], **options) -> list[str]:
    return [item.source.name for item in discover([*map(str, inputs)], **options).pictures]


def planned(found: list[Path], output: Path | None = None, **options) -> list[Job]:
    options = {"suffix": "_x4", "ext": ".png", **options}
    return jobs_for([Found(path) for path in found], output, **options)


def test_folder_gives_its_pictures_alone(tmp_path):
    touch(tmp_path, "b.JPG", "a.png", "notes.txt", ".hidden.png", "sub/c.png", "d.tar.gz")
    (tmp_path / "e.png").mkdir()
    assert names([tmp_path]) == ["a.png", "b.JPG"]


def test_recursive_keeps_the_tree_and_leaves_hidden_folders_out(tmp_path):
    touch(tmp_path, "a.png", "x/b.png", "x/y/c.png", ".cache/d.png")
    found = discover([str(tmp_path)], recursive=True).pictures
    jobs = jobs_for(found, Path("out"), suffix="_x2", ext=".png")
    targets = [job.target.as_posix() for job in jobs]
    assert targets == ["out/a_x2.png", "out/x/b_x2.png", "out/x/y/c_x2.png"]


def test_recursive_does_not_enter_the_output_folder(tmp_path):
    touch(tmp_path, "a.png", "out/other.png")
    assert names([tmp_path], recursive=True, output=tmp_path / "out") == ["a.png"]


def test_a_link_to_a_parent_does_not_loop(tmp_path):
    touch(tmp_path, "x/a.png")
    (tmp_path / "x" / "again").symlink_to(tmp_path)
    assert names([tmp_path], recursive=True) == ["a.png"]


def test_pattern_is_expanded_and_takes_pictures_alone(tmp_path):
    touch(tmp_path, "a1.png", "a2.jpg", "a3.txt", "b.png")
    assert names([f"{tmp_path}/a*"]) == ["a1.png", "a2.jpg"]


def test_recursive_pattern(tmp_path):
    touch(tmp_path, "a.png", "x/b.png")
    assert names([f"{tmp_path}/**/*.png"]) == ["a.png", "b.png"]


def test_a_name_with_pattern_characters_is_taken_literally_if_it_exists(tmp_path):
    touch(tmp_path, "a[1].png", "a1.png", "what?*.png", "[x]/c.png")
    assert names([tmp_path / "a[1].png"]) == ["a[1].png"]
    assert names([tmp_path / "what?*.png"]) == ["what?*.png"]
    assert names([tmp_path / "[x]"]) == ["c.png"]


def test_a_named_file_is_always_taken(tmp_path):
    touch(tmp_path, "scan.dat", ".hidden.png", "a.png", "a_x4.png")
    inputs = [tmp_path / name for name in ("scan.dat", ".hidden.png", "a_x4.png")]
    assert names(inputs) == ["scan.dat", ".hidden.png", "a_x4.png"]


def test_a_picture_named_twice_is_found_once(tmp_path):
    touch(tmp_path, "a.png", "b.png")
    inputs = [tmp_path, tmp_path / "a.png", f"{tmp_path}/*.png", f"{tmp_path}/./b.png"]
    assert names(inputs) == ["a.png", "b.png"]


@pytest.mark.parametrize("nothing", ["none*.png", "empty", "x" * 300 + ".png"])
def test_what_names_nothing_is_a_problem_of_its_own(tmp_path, nothing):
    touch(tmp_path, "a.png")
    (tmp_path / "empty").mkdir()
    good, bad = discover([str(tmp_path / "a.png"), str(tmp_path / nothing)]).pictures
    assert good.problem is None
    assert bad.source.name == nothing
    assert bad.problem


def test_a_missing_file_is_left_to_the_reader(tmp_path):
    assert names([tmp_path / "gone.png"]) == ["gone.png"]


def test_earlier_results_in_a_folder_are_left_out(tmp_path):
    touch(tmp_path, "a.png", "b.JPG", "a_x4.png", "b_x2.jpg", "a_big.png", "lone_x4.png")
    touch(tmp_path, "c.png", "c.jpg", "c_png_x4.png", "c_jpg_x4.png", "a_x4_x4.png")
    found = discover([str(tmp_path)], ("_x2", "_x4", "_big"))
    assert [item.source.name for item in found.pictures] == [
        "a.png",
        "b.JPG",
        "c.jpg",
        "c.png",
        "lone_x4.png",
    ]
    assert sorted(path.name for path in found.left_out) == [
        "a_big.png",
        "a_x4.png",
        "a_x4_x4.png",
        "b_x2.jpg",
        "c_jpg_x4.png",
        "c_png_x4.png",
    ]


def test_running_twice_on_a_folder_finds_the_same(tmp_path):
    touch(tmp_path, "a.png", "a.jpg", "b.webp")
    first = discover([str(tmp_path)]).pictures
    for job in jobs_for(first, None, suffix="_x4", ext=".png"):
        touch(tmp_path, job.target.name)
    assert discover([str(tmp_path)]).pictures == first


def test_results_lie_beside_their_pictures_by_default(tmp_path):
    touch(tmp_path, "x/a.jpg")
    [job] = planned([tmp_path / "x/a.jpg"])
    assert job == Job(tmp_path / "x/a.jpg", tmp_path / "x/a_x4.png")


def test_pictures_that_differ_in_extension_keep_it(tmp_path):
    touch(tmp_path, "a.jpg", "a.png", "b.png")
    jobs = planned([tmp_path / name for name in ("a.jpg", "a.png", "b.png")])
    assert [job.target.name for job in jobs] == ["a_jpg_x4.png", "a_png_x4.png", "b_x4.png"]


def test_two_pictures_with_one_output_are_named(tmp_path):
    touch(tmp_path, "x/a.png", "y/a.png")
    first, second = planned([tmp_path / "x/a.png", tmp_path / "y/a.png"], tmp_path / "out")
    assert first.problem is not None
    assert "out/a_x4.png would be the output of" in first.problem
    assert "y/a.png too" in first.problem
    assert second.problem is not None
    assert "x/a.png too" in second.problem


def test_a_third_picture_of_another_extension_has_an_output_of_its_own(tmp_path):
    touch(tmp_path, "x/a.png", "y/a.png", "z/a.jpg")
    inputs = [tmp_path / name for name in ("x/a.png", "y/a.png", "z/a.jpg")]
    first, second, third = planned(inputs, tmp_path / "out")
    assert first.problem is not None
    assert second.problem is not None
    assert (third.problem, third.target) == (None, tmp_path / "out/a_jpg_x4.png")


@pytest.mark.parametrize(
    ("existing", "content", "outcome"),
    [
        ("fail", b"x", "problem"),
        ("skip", b"x", "skip"),
        ("skip", b"", "do"),  # cut short by a power failure: not a finished result
        ("overwrite", b"x", "do"),
    ],
)
def test_an_output_that_exists(tmp_path, existing, content, outcome):
    touch(tmp_path, "a.png")
    (tmp_path / "a_x4.png").write_bytes(content)
    [job] = planned([tmp_path / "a.png"], existing=existing)
    assert ("problem" if job.problem else "skip" if job.skip else "do") == outcome


@pytest.mark.parametrize("existing", ["fail", "skip", "overwrite"])
@pytest.mark.parametrize("kind", ["itself", "symbolic link", "hard link", "other input"])
def test_an_input_is_never_an_output(tmp_path, existing, kind):
    touch(tmp_path, "a.png")
    source, target = tmp_path / "a.png", tmp_path / "a_x4.png"
    if kind == "symbolic link":
        target.symlink_to(source)
    elif kind == "hard link":
        os.link(source, target)
    elif kind == "other input":
        touch(tmp_path, target.name)
    found = [source, target] if kind == "other input" else [source]
    suffix = "" if kind == "itself" else "_x4"
    job = planned(found, suffix=suffix, existing=existing)[0]
    assert job.problem is not None
    assert "input" in job.problem


def test_a_folder_in_the_place_of_the_output(tmp_path):
    touch(tmp_path, "a.png")
    (tmp_path / "a_x4.png").mkdir()
    [job] = planned([tmp_path / "a.png"], existing="overwrite")
    assert job.problem is not None
    assert "is a folder" in job.problem
