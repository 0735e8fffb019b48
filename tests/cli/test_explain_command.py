"""`imagen-fast explain`: a page, which a browser draws without errors, or nothing."""

import json
import re
import shutil
import subprocess

import pytest
from noise import noise
from PIL import Image

pytest.importorskip("imagen_fast._native", reason="the extension is not built")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture
def explain(command, tiny_path, tmp_path, monkeypatch):
    """`imagen-fast explain` of a small model, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: command("explain", "-n", tiny_path, "--threads", 1, *arguments)


def test_a_page_that_loads_nothing(explain, tmp_path, files):
    Image.fromarray(noise(40, 50, 3)).save(tmp_path / "<b>.png")
    result = explain("<b>.png", "--no-gradient", "--side", 24)
    assert result.exit_code == 0, result.stderr
    assert re.match(r"<b>_explained.html: \d+\.\d [kM]B; open it in a browser", result.stdout)
    assert files(tmp_path) == ["<b>.png", "<b>_explained.html"]
    page = (tmp_path / "<b>_explained.html").read_text()
    assert "<title>&lt;b&gt;.png through sr-x2-test</title>" in page
    assert "__" not in re.sub(r'"data":"[^"]*"|base64,[^"]*', "", page)
    assert not re.findall(r"https?:|src=|href=|@import|fetch\(", page)


def test_a_name_may_be_a_mark_of_the_template(explain, tmp_path):
    name = "__DATA____TITLE__.png"
    Image.fromarray(noise(8, 9, 3)).save(tmp_path / name)
    assert explain(name, "-o", "a.html", "--no-gradient").exit_code == 0
    page = (tmp_path / "a.html").read_text()
    assert f"<title>{name} through sr-x2-test</title>" in page
    (data,) = re.findall(r'id="data">(.*?)</script>', page)
    assert json.loads(data)["name"] == name


def test_a_browser_draws_it(explain, tmp_path):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser is installed ({', '.join(BROWSERS)})")
    Image.fromarray(noise(40, 50, 3)).save(tmp_path / "a.png")
    assert explain("a.png", "-o", "a.html", "--side", 24).exit_code == 0
    line = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    done = subprocess.run(
        [*line, "--enable-logging=stderr", "--dump-dom", (tmp_path / "a.html").as_uri()],
        **{"capture_output": True, "text": True, "timeout": 120},
    )
    assert "CONSOLE" not in done.stderr  # an error of the script, or of the page's policy
    for name, text in (
        ("title", "What sr-x2-test did with a.png"),
        ("change-caption", "Left of the line: bicubic. Right of it: sr-x2-test."),
        ("looks-caption", "Pixel 12, 12 of this level takes "),
        ("reach-caption", "Pixel 12, 12 can depend on "),
    ):
        (shown,) = re.findall(rf'id="{name}"[^>]*>([^<]*)<', done.stdout)
        assert shown.startswith(text)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("no.png",), 1, "no.png: it cannot be opened: No such file"),
        (("bad.png",), 1, "bad.png: "),
        (("a.png", "-o", "there.html"), 1, "there.html exists; name another, or replace"),
        (("a.png", "-o", "a.pdf"), 2, "a.pdf: expected a name that ends in .html or .htm"),
        (("a.png", "--at", "8,0"), 1, "the point 8,0 lies outside the picture of 8 × 6 pixels"),
        (("a.png", "--at", "middle"), 2, "expected column and row, such as 640,400"),
        (("a.png", "--at", "1,1", "--whole"), 2, "--at and --whole exclude each other"),
        (("a.png", "-n", "sr-x9"), 1, "no model 'sr-x9'"),
        (("a.png", "-n", "stylize"), 1, "it needs tokens beside a picture; its command is stylize"),
    ],
)
def test_errors_leave_nothing(explain, picture, tmp_path, files, arguments, code, message):
    picture(tmp_path / "a.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    (tmp_path / "there.html").write_text("mine")
    before = files(tmp_path)
    result = explain(*arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert files(tmp_path) == before
    assert (tmp_path / "there.html").read_text() == "mine"


def test_overwrite(explain, picture, tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "a_explained.html").write_text("old")
    arguments = ("a.png", "--no-gradient", "--overwrite", "-q")
    result = explain(*arguments)
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / "a_explained.html").read_text().startswith("<!doctype html>")
