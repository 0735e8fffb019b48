"""PSNR and flicker of models on Vid4; bicubic, a repeater of frames and the true ones beside.

    pip install opencv-python-headless
    python benchmarks/video.py [MODEL ...]

Reads $IMAGEN_FAST_DATA/video/vid4 (calendar, city, foliage; seven frames each), writes
benchmarks/results/video.json and prints a table.

Frames are reduced 4 times by antialiased bicubic and enlarged again; PSNR is on Y, 4 pixels
cropped. With F the flow from the next true frame to this one by OpenCV's DIS (Kroeger et al. 2016,
arXiv:1603.03590), the change of frames x that motion does not explain is

    d_x(t) = x(t + 1) - warp(x(t), F(t))

on Y, in levels of 255, where the flow stays within the picture. Two measures of it:

    change   root of the mean of d_out², the warping error (Lai et al. 2018, arXiv:1808.00449)
    flicker  root of the mean of (d_out - d_true)²: 0 for the true frames

Both are high for what trembles and for what stands still. The true frames' own change is most of
the flicker of whatever lacks their detail: an even grey has that.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import imagen_fast
from imagen_fast.bench.machine import describe
from imagen_fast.bench.table import markdown
from imagen_fast.image.degradation import rounded
from imagen_fast.image.resample import resize
from imagen_fast.metrics import luma, luma_psnr

RESULT = Path(__file__).parent / "results" / "video.json"
CLIPS, SCALE = ("calendar", "city", "foliage"), 4
Frame = NDArray[np.uint8]
Floats = NDArray[np.float64]
Enlarge = Callable[[Sequence[Frame]], list[Frame]]


def read(clip: str) -> list[Frame]:
    """The true frames, cropped to a multiple of the scale."""
    data = Path(os.environ.get("IMAGEN_FAST_DATA", Path(__file__).parents[2] / "shared/data"))
    frames = []
    for path in sorted((data / "video" / "vid4").glob(f"{clip}_*.png")):
        frame = np.asarray(Image.open(path).convert("RGB"))
        height, width = (side // SCALE * SCALE for side in frame.shape[:2])
        frames.append(frame[:height, :width])
    return frames


def bicubic(frames: Sequence[Frame]) -> list[Frame]:
    return [rounded(resize(x, x.shape[0] * SCALE, x.shape[1] * SCALE)) for x in frames]


def by_model(name: str, frames: Sequence[Frame]) -> list[Frame]:
    """Each enlarged by a model, which knows of those before if it is one for videos."""
    height, width = frames[0].shape[:2]
    with imagen_fast.load(name) as engine, engine.stream_video(width, height) as stream:
        return [stream.push(frame) for frame in frames]


def repeated(made: Sequence[Frame]) -> list[Frame]:
    """Every second frame is that before it over again: still, and wrong."""
    return [made[number // 2 * 2] for number in range(len(made))]


def flow(start: Frame, end: Frame) -> NDArray[np.float32]:
    """(H, W, 2): where each pixel of `start` lies in `end`, as x and y."""
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    motion = search.calc(*(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (start, end)), None)
    y, x = np.indices(motion.shape[:2], np.float32)
    return motion + np.stack([x, y], axis=2)


def changes(frames: Sequence[Frame], flows: Sequence[NDArray[np.float32]]) -> list[Floats]:
    """See the module: one d for each flow, of the pixels (P,) that it keeps in the picture."""
    found = []
    for (before, after), at in zip(pairwise(frames), flows, strict=True):
        height, width = at.shape[:2]
        inside = ((at >= 0) & (at <= (width - 1, height - 1))).all(axis=2)
        moved = cv2.remap(luma(before).astype(np.float32), at, None, cv2.INTER_CUBIC)
        found.append((luma(after) - moved)[inside])
    return found


def size(differences: Iterable[Floats]) -> float:
    """Root of the mean over all pairs of frames of the mean square."""
    return round(float(np.sqrt(np.mean([np.mean(x**2) for x in differences]))), 3)


def main(models: Sequence[str]) -> None:
    """Measure, keep and print."""
    methods: dict[str, Enlarge] = {name: partial(by_model, name) for name in models}
    methods = {"bicubic": bicubic} | methods
    twice = f"{models[0]}, every frame twice"
    rows: dict[str, list[list[float]]] = {name: [] for name in (*methods, twice)}
    own = []
    for clip in CLIPS:
        true = read(clip)
        small = [rounded(resize(x, x.shape[0] // SCALE, x.shape[1] // SCALE)) for x in true]
        flows = [flow(after, before) for before, after in pairwise(true)]
        as_is = changes(true, flows)
        own.append(size(as_is))
        results = {name: enlarge(small) for name, enlarge in methods.items()}
        results[twice] = repeated(results[models[0]])
        for name, made in results.items():
            psnr = [luma_psnr(a, b, border=SCALE) for a, b in zip(made, true, strict=True)]
            change = changes(made, flows)
            wrong = (a - b for a, b in zip(change, as_is, strict=True))
            rows[name].append([round(float(np.mean(psnr)), 3), size(change), size(wrong)])
    kept = {"machine": describe(), "versions": {"opencv": cv2.__version__}}
    kept |= {"measures": ["psnr", "change", "flicker"], "rows": rows, "change of the true": own}
    RESULT.write_text(json.dumps(kept, indent=1) + "\n")
    lines = []
    for name, clips in rows.items():
        values = (*clips, np.mean(clips, 0))
        lines.append([name, *(", ".join(f"{value:.2f}" for value in x) for x in values)])
    print(markdown([f"×{SCALE}: PSNR, change, flicker", *CLIPS, "mean"], lines))
    print(f"change of the true frames: {', '.join(f'{x:.2f}' for x in (*own, np.mean(own)))}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["sr-x4"])
