"""A picture drawn in another's manner: one style for all tiles, kept, mixed, more or less."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from imagen_fast.export.options import ExportOptions
from PIL import Image
from safetensors.numpy import load_file, save_file

import imagen_fast
from imagen_fast import BackendError, ImageError, WeightsError
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.cli import main
from imagen_fast.graph import network
from imagen_fast.graph.reach import alignment, radius
from imagen_fast.image.picture import Picture
from imagen_fast.image.yuv import LUMA
from imagen_fast.spec import Level, ModelSpec
from imagen_fast.tasks.export import export
from imagen_fast.tasks.style import mix, read_style
from imagen_fast.tasks.stylize import Stylizer

SPEC = ModelSpec(
    "style",
    1,
    (Level(8, convs=0), Level(16, depth=2, convs=1), Level(24, attention="global")),
    head_dim=12,
)


stylize: Any = imagen_fast.stylize  # results are arrays here, of the three kinds that it gives


def bundle(seed: int) -> Bundle:
    rng = np.random.default_rng(seed)
    tensors = {
        name: np.float32(np.prod(shape[1:]) ** -0.5 if shape[1:] else 0.3)
        * rng.standard_normal(shape, np.float32)
        for name, shape in network(SPEC).tensors.items()
    }
    tensors["head.conv.weight"] *= 0.03  # few samples leave the range
    tensors["head.conv.bias"][:] = 0
    tensors["attention.temperature"][:] = 4
    return Bundle(SPEC, tensors, {"name": "own", "task": "stylize"})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "own.safetensors"
    save_bundle(bundle(0), path)
    return path


@pytest.fixture(scope="module")
def picture() -> Any:
    y, x = np.mgrid[:150, :203]
    rgb = np.stack([128 + 100 * np.sin(x / 9 + y / 31), 255 * y / 150, 255 * x / 203], 2)
    noise = np.random.default_rng(0).normal(0, 12, rgb.shape)
    return (rgb + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def paintings() -> Any:
    rng = np.random.default_rng(1)
    colors = rng.integers(0, 256, (2, 6, 9, 3), np.uint8)
    return colors.repeat(20, 1).repeat(20, 2)


def test_tiles_give_what_the_whole_picture_gives(model: Path, picture: Any, paintings: Any) -> None:
    with imagen_fast.load(model, precision="fp32") as engine:
        overlap = engine.exact_overlap
        style = read_style(engine, paintings[0])
        whole = engine.run(picture[None], {"tokens": style.tokens})[0]
    assert overlap is not None
    tile = 2 * overlap + 3 * alignment(engine.graph)
    assert tile < 150
    with imagen_fast.load(model, precision="fp32", tile=tile, overlap=overlap) as engine:
        rows = list(engine.stream(Picture(picture), also={"tokens": style.tokens}))
    assert len(rows) > 1
    tiled = np.concatenate(rows)
    assert np.abs(tiled.astype(int) - whole).max() <= 1  # where two are blended, they are rounded
    assert np.ptp(whole) > 50


def test_another_painting_makes_another_picture(model: Path, picture: Any, paintings: Any) -> None:
    one, two = (stylize(picture, painting, model=model) for painting in paintings)
    assert np.abs(one.astype(int) - two).max() > 5
    np.testing.assert_array_equal(stylize(picture, paintings[0], model=model), one)


def test_strength_moves_every_sample_from_the_one_to_the_other(
    model: Path, picture: Any, paintings: Any
) -> None:
    found = [
        stylize(picture, paintings[0], model=model, strength=s / 4).astype(int) for s in range(5)
    ]
    np.testing.assert_array_equal(found[0], picture)
    far = [np.abs(x - picture).mean() for x in found]
    assert far == sorted(set(far))
    np.testing.assert_allclose(found[2], (found[0] + found[4]) / 2, atol=1)


def test_colors_are_kept(model: Path, picture: Any, paintings: Any) -> None:
    soft = (picture // 4 + 96).astype(np.uint8)  # room for lighter and darker
    found = stylize(soft, paintings[0], model=model, strength=1, keep_colors=True)
    changed = stylize(soft, paintings[0], model=model, strength=1)
    lighter = found.astype(int) - soft
    inside = (found.min(2) > 0) & (found.max(2) < 255)
    assert inside.mean() > 0.5
    assert np.ptp(lighter, axis=2)[inside].max() <= 1
    difference = found @ LUMA - changed @ LUMA
    assert np.abs(difference[inside]).max() < 1.5


def test_a_style_is_saved_and_used_again(
    model: Path, picture: Any, paintings: Any, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.safetensors"
    first = stylize(picture, paintings[0], model=model, save_style=kept)
    np.testing.assert_array_equal(stylize(picture, kept, model=model), first)
    assert load_file(kept)["tokens"].shape[3] == 24
    before = kept.read_bytes()
    with pytest.raises(ImageError, match=r"kept.safetensors exists"):
        stylize(picture, paintings[1], model=model, save_style=kept)
    assert kept.read_bytes() == before
    stylize(picture, paintings[1], model=model, save_style=kept, overwrite=True)
    assert kept.read_bytes() != before
    with pytest.raises(WeightsError, match="it is a saved style"):
        imagen_fast.load(kept)
    with pytest.raises(ImageError, match=r"expected a name that ends in .safetensors"):
        stylize(picture, paintings[1], model=model, save_style=tmp_path / "kept.npz")


def test_several_paintings_without_weights_count_alike(
    model: Path, picture: Any, paintings: Any, tmp_path: Path
) -> None:
    files = [tmp_path / f"{name}.png" for name in ("ab", "cd")]
    for painting, file in zip(paintings, files, strict=True):
        Image.fromarray(painting).save(file)
    alike = stylize(picture, [(file, 1) for file in files], model=model)
    np.testing.assert_array_equal(stylize(picture, files, model=model), alike)
    assert stylize(Image.fromarray(picture), files, model=model).mode == "RGB"
    with pytest.raises(ImageError, match="expected numbers above 0"):
        stylize(picture, [(files[0], "1")], model=model)  # type: ignore[list-item]


def test_styles_are_mixed_by_their_weights(model: Path, picture: Any, paintings: Any) -> None:
    one, two = paintings
    with imagen_fast.load(model) as engine:
        styles = [read_style(engine, painting) for painting in paintings]
    counts = [style.tokens.shape[1] * style.tokens.shape[2] for style in styles]
    mixed = mix(styles, [3, 1]).tokens[0, 0]
    of_first = (mixed[:, None] == styles[0].tokens.reshape(1, -1, 24)).all(2).any(1).mean()
    assert of_first == pytest.approx(0.75, abs=0.02)
    assert len(mixed) == pytest.approx(max(counts), abs=1)
    ends = [stylize(picture, one, model=model), stylize(picture, two, model=model)]
    near = stylize(picture, [(one, 0.9), (two, 0.1)], model=model).astype(int)
    far = stylize(picture, [(one, 0.1), (two, 0.9)], model=model).astype(int)
    distance = [np.abs(x - ends[0]).mean() for x in (near, far, ends[1])]
    assert distance == sorted(distance)


def test_grey_pictures_take_the_painting_s_colors(
    model: Path, picture: Any, paintings: Any
) -> None:
    grey = picture[..., 0]
    for given in (grey, grey[..., None], grey.astype(np.float32) / 255):
        found = stylize(given, paintings[0], model=model)
        assert (found.dtype, found.shape) == (given.dtype, (*grey.shape, 3))
        assert np.ptp(found, axis=2).max() > 0
    flat = np.full((16, 16, 3), 128, np.uint8)  # neutral, and not to stay so
    assert np.ptp(stylize(flat, paintings[0], model=model), axis=2).max() > 0


def test_still_parts_of_frames_do_not_flicker(model: Path, picture: Any, paintings: Any) -> None:
    """What changes elsewhere in a film's frame changes nothing beyond the network's reach."""
    moved = picture.copy()
    moved[:, 150:] = 255 - moved[:, 150:]
    with imagen_fast.load(model, precision="fp32") as engine:
        style = read_style(engine, paintings[0])
        through = Stylizer(engine, style, first=Picture(picture))
        before, after = through(picture), through(moved)
        reach = radius(engine.graph)
    assert reach is not None
    still = 150 - reach
    assert still > 80
    np.testing.assert_array_equal(before[:, :still], after[:, :still])
    assert np.abs(before[:, 160:].astype(int) - after[:, 160:]).max() > 0


def test_films_go_by_the_colors_of_their_first_frame(
    model: Path, picture: Any, paintings: Any, tmp_path: Path
) -> None:
    pytest.importorskip("av", reason="needs PyAV")
    frames = [picture, picture[::-1], 255 - picture]
    (tmp_path / "in").mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "in" / f"{number}.png")
    Image.fromarray(paintings[0]).save(tmp_path / "painting.png")
    line = ["video", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--task", "stylize"]
    line += ["-n", str(model), "--style", str(tmp_path / "painting.png"), "--strength", "1"]
    line += ["--precision", "fp32"]  # bfloat16 rounds tiles and whole frames by more than a level
    done = CliRunner().invoke(main, line)
    assert done.exit_code == 0, done.output
    with imagen_fast.load(model, precision="fp32") as engine:
        style = read_style(engine, paintings[0])
        through = Stylizer(engine, style, 1.0, first=Picture(picture))
        alone = Stylizer(engine, style, 1.0)
        for number, frame in enumerate(frames):
            with Image.open(tmp_path / "out" / f"{number + 1:06}.png") as image:
                found = np.asarray(image).astype(int)
            # Tiles have the frame's size here, which the canvas exceeds by its border: where two
            # are blended, they are rounded.
            np.testing.assert_allclose(found, through(frame), atol=1)
        assert np.abs(through(frames[2]).astype(int) - alone(frames[2])).max() > 5


def test_files_on_the_command_line(
    model: Path, picture: Any, paintings: Any, tmp_path: Path
) -> None:
    Image.fromarray(picture).save(tmp_path / "photo.png")
    Image.fromarray(picture[..., 0]).save(tmp_path / "grey.png")
    (tmp_path / "with:colon").mkdir()
    for name, painting in zip(("a.png", "with:colon/b.png"), paintings, strict=True):
        Image.fromarray(painting).save(tmp_path / name)
    styles = ["--style", f"{tmp_path / 'a.png'}:0.7", "--style", str(tmp_path / "with:colon/b.png")]
    arguments = [
        *("stylize", str(tmp_path / "photo.png"), str(tmp_path / "grey.png")),
        *("-n", str(model), *styles, "--strength", "0.5", "-o", str(tmp_path / "out")),
        *("--save-style", str(tmp_path / "both.safetensors")),
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    mixture = [(paintings[0], 0.7), (paintings[1], 1)]
    for given, name in ((picture, "photo"), (picture[..., 0], "grey")):
        expected = stylize(given, mixture, model=model, strength=0.5)
        with Image.open(tmp_path / "out" / f"{name}_stylized.png") as image:
            np.testing.assert_array_equal(np.asarray(image), expected)
    again = stylize(picture, tmp_path / "both.safetensors", model=model, strength=0.5)
    np.testing.assert_array_equal(again, stylize(picture, mixture, model=model, strength=0.5))
    written = stylize(tmp_path / "grey.png", tmp_path / "a.png", model=model)
    with Image.open(written) as image:
        assert (written.name, image.mode) == ("grey_stylized.png", "RGB")


@pytest.fixture
def files(picture: Any, paintings: Any, tmp_path: Path) -> tuple[Path, Path]:
    """The picture and the first painting."""
    photo, painting = tmp_path / "photo.png", tmp_path / "painting.png"
    Image.fromarray(picture).save(photo)
    Image.fromarray(paintings[0]).save(painting)
    return photo, painting


def test_paintings_are_never_overwritten(model: Path, files: tuple[Path, Path]) -> None:
    photo, painting = files
    before = painting.read_bytes()
    with pytest.raises(ImageError, match="the output is an input"):
        stylize(photo, painting, model=model, output=painting, overwrite=True)
    line = ["stylize", photo, "--style", painting, "-n", model, "-o", painting, "--overwrite"]
    done = CliRunner().invoke(main, list(map(str, line)))
    assert done.exit_code == 1
    assert "the output is an input" in done.output
    assert painting.read_bytes() == before


def test_a_style_is_saved_though_the_picture_is_there(
    model: Path, picture: Any, paintings: Any, files: tuple[Path, Path], tmp_path: Path
) -> None:
    photo, painting = files
    line = [str(x) for x in ("stylize", photo, "--style", painting, "-n", model, "--resume")]
    kept = tmp_path / "kept.safetensors"
    assert CliRunner().invoke(main, line).exit_code == 0
    done = CliRunner().invoke(main, [*line, "--save-style", str(kept)])
    assert (done.exit_code, "exists, skipped" in done.output) == (0, True)
    np.testing.assert_array_equal(
        stylize(picture, kept, model=model), stylize(picture, paintings[0], model=model)
    )


def test_an_export_stylizes_if_it_has_the_outputs_for_it(
    model: Path, picture: Any, paintings: Any, tmp_path: Path
) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    for name, outputs in (("part", ("picture",)), ("whole", ("picture", "tokens"))):
        export(
            model, "onnx", tmp_path / f"{name}.onnx", ExportOptions(outputs=outputs), verified=False
        )
    with pytest.raises(WeightsError, match="export it with --outputs picture,tokens"):
        stylize(picture, paintings[0], model=tmp_path / "part.onnx", precision="fp32")
    np.testing.assert_array_equal(
        stylize(picture, paintings[0], model=tmp_path / "whole.onnx", precision="fp32"),
        stylize(picture, paintings[0], model=model, precision="fp32"),
    )


def test_what_cannot_be_stylized(model: Path, picture: Any, paintings: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_bundle(bundle(1), other)
    kept = tmp_path / "kept.safetensors"
    stylize(picture, paintings[0], model=model, save_style=kept)
    with pytest.raises(WeightsError, match="read by another model"):
        stylize(picture, kept, model=other)
    with pytest.raises(WeightsError, match="holds no style"):
        stylize(picture, model, model=model)
    with pytest.raises(WeightsError, match=r"no such file; expected a painting, or a style"):
        stylize(picture, tmp_path / "none.safetensors", model=model)
    style = load_file(kept)
    metadata = {"format": "imagen-fast-style-3", "model": "x"}
    for wrong, said in (
        ({"tokens": style["tokens"][0]}, "of another kind"),
        ({"tokens": style["tokens"].astype(np.float16)}, "of another kind"),
        ({"tokens": np.full_like(style["tokens"], np.nan)}, "not finite"),
        ({"palette": style["palette"][1:]}, "of another kind"),
        ({"palette": np.full_like(style["palette"], np.inf)}, "not finite"),
        ({"strokes": np.zeros((2,), np.float32)}, "of another kind"),
        ({"strokes": np.full_like(style["strokes"], np.nan)}, "not finite"),
        ({"more": style["palette"]}, "others than a style's"),
    ):
        save_file(style | wrong, kept, metadata)
        with pytest.raises(WeightsError, match=said):
            stylize(picture, kept, model=model)
    kept.write_bytes(kept.read_bytes()[:40])
    with pytest.raises(WeightsError, match="damaged"):
        stylize(picture, kept, model=model)
    for weight in (0, -1, float("nan")):
        with pytest.raises(ImageError, match="expected numbers above 0"):
            stylize(picture, [(paintings[0], weight)], model=model)
    with pytest.raises(ImageError, match="the painting is a NoneType"):
        stylize(picture, None, model=model)  # type: ignore[call-overload]
    with pytest.raises(ImageError, match="no style"):
        stylize(picture, [], model=model)
    with pytest.raises(ImageError, match="expected a number from 0 to 1"):
        stylize(picture, paintings[0], model=model, strength=2)
    with pytest.raises(WeightsError, match="enlarges 4 times; expected one that stylizes"):
        stylize(picture, paintings[0], model="sr-x4")
    with (
        imagen_fast.load(model) as engine,
        pytest.raises(BackendError, match="'tokens' is needed and was not given"),
    ):
        engine(picture)


@pytest.mark.parametrize("weight", ["0", "-1", "inf", "nan"])
def test_weights_of_styles_on_the_command_line(model: Path, tmp_path: Path, weight: str) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    name = str(tmp_path / "a.png")
    done = CliRunner().invoke(
        main, ["stylize", name, "-n", str(model), "--style", f"{name}:{weight}"]
    )
    assert done.exit_code == 2
    assert "expected a weight above 0" in done.stderr
