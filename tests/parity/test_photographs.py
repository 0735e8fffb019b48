"""The native engine against the reference on a photograph, with every shipped model."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagen_fast import catalogue
from imagen_fast.backends.eager import Eager
from imagen_fast.bundle import load_bundle
from imagen_fast.metrics import psnr
from imagen_fast.tasks.generate import Generator

native = pytest.importorskip("imagen_fast.backends.native")
_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

PHOTOGRAPH = Path(__file__).parents[2] / "examples" / "photographs" / "osprey.png"
BARS = {"fp32": 80.0, "bf16": 50.0}  # PSNR in dB
ENGINES = [(p, isa) for p in BARS for isa in _native.available(p)]


@pytest.mark.parametrize("path", catalogue.files(), ids=lambda path: path.stem)
def test_psnr_to_the_reference(path: Path) -> None:
    tile = np.asarray(Image.open(PHOTOGRAPH).convert("RGB"))[None, 40:141, 60:177]  # odd sides
    tile = (tile / 255).astype(np.float32)
    bundle = load_bundle(path)
    # One that draws in a painting's manner draws the photograph in its own.
    given = {name: tile for name, x in bundle.graph.inputs.items() if x.picture}
    if not bundle.task.inputs:  # one that makes pictures from nothing has numbers
        with Generator(path, backend="native") as generator:
            given = {name: x[None] for name, x in next(generator.latents(1, 0)).items()}
    [wanted] = {"stylized"} & {*bundle.graph.outputs} or [next(iter(bundle.graph.outputs))]
    expected = Eager(bundle, precision="fp32").run(given, [wanted])[wanted]
    for precision, isa in ENGINES:
        output = native.Native(bundle, precision=precision, isa=isa).run(given, [wanted])[wanted]
        assert psnr(output, expected) >= BARS[precision], (precision, isa)
