"""Upscale the shipped photograph four times, and a JPEG of it, beside bicubic: `make demo`."""

import io
import sys
import time
from pathlib import Path

from PIL import Image, ImageDraw

import imagen_fast

SCALE = 4
PHOTOGRAPH = Path(__file__).parent / "photographs" / "osprey.png"
DETAIL = (80, 20, 200, 100)  # the bird, in pixels of the small photograph: left, top, right, bottom
LABEL = 24
QUALITY = 60  # of the JPEG


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
    file = io.BytesIO()
    small.save(file, "JPEG", quality=QUALITY)
    worse = Image.open(file)
    # Of itself this takes the model for pictures as they are.
    rows = ((small, large), (worse, imagen_fast.upscale(worse, SCALE)))
    side_by_side(rows).save(folder / "side-by-side.png")

    sizes = f"{small.width}x{small.height} -> {large.width}x{large.height}"
    print(f"{sizes} in {seconds * 1e3:.0f} ms")
    print(
        f"model {info['model']}, backend {info['backend']}, {info['device']}, {info['precision']}"
    )
    print(f"result:       {folder / 'osprey_x4.png'}")
    print(f"side by side: {folder / 'side-by-side.png'} (left bicubic, right imagen-fast)")


def side_by_side(rows: tuple[tuple[Image.Image, Image.Image], ...]) -> Image.Image:
    """A detail of each row's small and large picture, labelled; the small one bicubically."""
    box = tuple(SCALE * x for x in DETAIL)
    width, height = box[2] - box[0], box[3] - box[1]
    sheet = Image.new("RGB", (2 * width, LABEL + len(rows) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for x, name in ((0, "bicubic"), (width, "imagen-fast")):
        draw.text((x + 6, 5), name, fill="black", font_size=14)
    for row, (small, large) in enumerate(rows):
        bicubic = small.resize(large.size, Image.Resampling.BICUBIC)
        for x, image in ((0, bicubic), (width, large)):
            sheet.paste(image.crop(box), (x, LABEL + row * height))
    return sheet


if __name__ == "__main__":
    sys.exit(main())
