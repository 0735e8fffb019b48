"""Upscale the shipped photograph four times and set it beside bicubic: `make demo`."""

import sys
import time
from pathlib import Path

from PIL import Image, ImageDraw

import imagen_fast

SCALE = 4
PHOTOGRAPH = Path(__file__).parent / "photographs" / "osprey.png"
DETAIL = (80, 20, 200, 100)  # the bird, in pixels of the small photograph: left, top, right, bottom
LABEL = 24


def main() -> None:
    """Writes demo/osprey_x4.png and demo/side-by-side.png in the current folder."""
    folder = Path("demo")
    folder.mkdir(exist_ok=True)
    small = Image.open(PHOTOGRAPH)

    with imagen_fast.load(f"sr-x{SCALE}") as engine:
        engine(small)  # the first call also sets the backend up
        start = time.perf_counter()
        large = engine(small)
        seconds = time.perf_counter() - start
        info = engine.info()

    large.save(folder / "osprey_x4.png")
    bicubic = small.resize(large.size, Image.Resampling.BICUBIC)
    side_by_side(bicubic, large).save(folder / "side-by-side.png")

    sizes = f"{small.width}x{small.height} -> {large.width}x{large.height}"
    print(f"{sizes} in {seconds * 1e3:.0f} ms")
    print(
        f"model {info['model']}, backend {info['backend']}, {info['device']}, {info['precision']}"
    )
    print(f"result:       {folder / 'osprey_x4.png'}")
    print(f"side by side: {folder / 'side-by-side.png'} (left bicubic, right imagen-fast)")


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """The same detail of two pictures, labelled."""
    box = tuple(SCALE * x for x in DETAIL)
    width, height = box[2] - box[0], box[3] - box[1]
    sheet = Image.new("RGB", (2 * width, height + LABEL), "white")
    draw = ImageDraw.Draw(sheet)
    for x, name, image in ((0, "bicubic", left), (width, "imagen-fast", right)):
        sheet.paste(image.crop(box), (x, LABEL))
        draw.text((x + 6, 5), name, fill="black", font_size=14)
    return sheet


if __name__ == "__main__":
    sys.exit(main())
