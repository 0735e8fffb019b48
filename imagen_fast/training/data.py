"""Photographs, and the patches that training cuts from them.

All pixels of all photographs lie as uint8 in one flat tensor a resolution, on the device that
trains, and a batch is one gather from each: the same few operations on a CPU and on a GPU,
with no worker processes. Memory: 3 bytes a pixel and 3 / scale² for the small ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from imagen_fast.errors import TrainingError
from imagen_fast.image.degradation import Degradation, Uint8, degrade
from imagen_fast.image.picture import eight_bits
from imagen_fast.image.read import read
from imagen_fast.image.resample import resize

SUFFIXES = {".avif", ".bmp", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".png", ".tif",
            ".tiff", ".webp"}  # fmt: skip

Pair = tuple[Uint8, Uint8]  # low (h, w, 3), high (s·h, s·w, 3)


def load_pairs(
    folder: Path, scale: int, exclude: Sequence[str] = (), *, side: int = 1, reduced: int = 0
) -> dict[str, Pair]:
    """Every picture under a folder but hidden ones, by its name from there, with its
    low-resolution twin.

    Args:
        exclude: names, or patterns of names, of the files to leave out.
        side: pixels that a low-resolution picture must have at least in width and height to
            be taken.
        reduced: pixels of its shorter side, to which a larger picture is reduced first; 0: none.

    Raises:
        TrainingError: no such folder, or no picture in it that is large enough.
        ImageError: a picture cannot be read.
    """
    paths = [path for path in _pictures(folder) if not _named(path, exclude)]
    with ThreadPoolExecutor() as threads:
        pairs = list(threads.map(lambda path: degrade(_reduced(_rgb(path), reduced), scale), paths))
    found = {
        path.relative_to(folder).as_posix(): pair
        for path, pair in zip(paths, pairs, strict=True)
        if min(pair[0].shape[:2]) >= side
    }
    if not found:
        raise TrainingError(
            f"{folder} holds no picture to use; expected {', '.join(sorted(SUFFIXES))} files of at "
            f"least {side * scale} pixels a side"
        )
    return found


def _reduced(picture: Uint8, side: int) -> Uint8:
    """The picture with a shorter side of so many pixels, if it is larger and `side` is not 0."""
    height, width = picture.shape[:2]
    shorter = min(height, width)
    if not side or shorter <= side:
        return picture
    size = (round(height * side / shorter), round(width * side / shorter))
    smaller = resize(picture, *size, slice(0, size[0]))
    return np.rint(np.clip(smaller, 0, 255)).astype(np.uint8)


def unmatched(exclude: Sequence[str], folders: Iterable[Path]) -> list[str]:
    """The names and patterns in `exclude` that fit no picture in any of the folders."""
    paths = [path for folder in folders for path in _pictures(folder)]
    return [name for name in exclude if not any(_named(path, [name]) for path in paths)]


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise TrainingError(f"{folder} is no folder; expected one with photographs")
    found = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(p for p in found if not p.name.startswith("."))  # as `._photo.jpg` of macOS


def _named(path: Path, patterns: Sequence[str]) -> bool:
    """Whether a file is named; a name may itself hold the signs that patterns have."""
    return any(path.name == name or fnmatchcase(path.name, name) for name in patterns)


def _rgb(path: Path) -> Uint8:
    """(H, W, 3) uint8; grey is repeated, alpha is left out."""
    color = eight_bits(read(path).color)
    return np.repeat(color, 3, axis=2) if color.shape[2] == 1 else color


# Number of ways to the bits of a turn that may be set: 1 flips rows, 2 flips columns, 4 transposes.
TURNS = {1: 0b000, 2: 0b010, 8: 0b111}


class PatchSampler:
    """Batches of aligned patches from folders of pictures.

    A patch's folder is drawn by the folders' weights; then every position of every photograph
    in it is as likely. Most of a photograph is smooth and teaches nothing: of every `detail`
    patches drawn, the one with the most detail is kept. They are of one folder, so that the
    folders keep their shares.

    The draws come from one seeded generator on the CPU, so that a seed gives the same patches
    on every device, and with any number of processes: each draws the whole batch and cuts its
    own share.

    Args:
        folders: what `load_pairs` gives for each, pictures of at least a patch.
        weights: one a folder, above 0; their ratios count.
        patch: side of a low-resolution patch.
        batch: patches of all processes together.
        detail: how many patches are drawn for each that is kept.
        degradation: what happens to low-resolution patches, on the CPU; None for nothing.
        turns: of how many ways to turn or mirror a patch one is drawn: 8, 2 (as it is, and mirrored
            from left to right), or 1.
        device: where the pixels are kept and the batches made.
    """

    def __init__(
        self,
        folders: Sequence[Sequence[Pair]],
        *,
        weights: Sequence[float],
        patch: int,
        batch: int,
        seed: int,
        device: torch.device,
        detail: int = 1,
        degradation: Degradation | None = None,
        turns: int = 8,
    ) -> None:
        pairs = [pair for folder in folders for pair in folder]
        self.photographs = len(pairs)
        self.patch, self.batch, self.detail = patch, batch, detail
        self.scale = pairs[0][1].shape[0] // pairs[0][0].shape[0]
        self.degradation, self._turns = degradation, TURNS[turns]
        self.generator = torch.Generator().manual_seed(seed)
        self._low = _flat([low for low, _ in pairs], device)
        one = all(low is high for low, high in pairs)  # at scale 1, kept once
        self._high = self._low if one else _flat([high for _, high in pairs], device)
        height, width = torch.tensor([low.shape[:2] for low, _ in pairs]).T
        pixels = height * width
        self._width = width
        self._first = pixels.cumsum(0) - pixels  # where in the flat tensor a photograph starts
        self._columns = width - patch + 1  # places for a patch's left side
        self._places = ((height - patch + 1) * self._columns).cumsum(0)
        ends = torch.tensor([len(folder) for folder in folders]).cumsum(0) - 1
        self._folder_ends = self._places[ends]
        self._weights = torch.tensor(weights, dtype=torch.float64)

    @property
    def pixels(self) -> int:
        """High-resolution pixels of all photographs."""
        return self._high.shape[0]

    def next(self, rank: int = 0, processes: int = 1) -> tuple[Tensor, Tensor]:
        """The next batch, or this process's share of it.

        Returns low (N, 3, p, p) and high (N, 3, s·p, s·p), float32 in [0, 1], channels_last.
        """
        return self.cut(self.draw()[rank::processes].to(self._low.device))

    def cut(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """The batch at places from `draw`, on the pixels' device; as `next`."""
        low = self._cut(self._low, places.flatten(0, 1), 1).unflatten(0, places.shape[:2])
        best = detail_of(_floats(low)).argmax(1)  # (N,) of (N, detail, 3, p, p)
        each = torch.arange(len(best), device=best.device)
        places = places[each, best]
        low, high = low[each, best], self._cut(self._high, places, self.scale)
        if self.degradation:
            low, high = self._degraded(low, high, places[:, -1].tolist())
        return _floats(low), _floats(high)

    def _degraded(self, low: Tensor, high: Tensor, seeds: list[int]) -> list[Tensor]:
        assert self.degradation
        pairs = [
            self.degradation(small, large, np.random.default_rng(seed))
            for small, large, seed in zip(low.cpu().numpy(), high.cpu().numpy(), seeds, strict=True)
        ]
        return [torch.from_numpy(np.stack(x)).to(low.device) for x in zip(*pairs, strict=True)]

    def draw(self) -> Tensor:
        """Places of the next batch, int64, on the CPU.

        (batch, detail, 5): the photograph's first pixel and width, top, left, a turn (see TURNS);
        with a degradation a sixth, its seed.
        """
        shape = (self.batch, self.detail)
        folder = self._weights.multinomial(self.batch, True, generator=self.generator)[:, None]
        sizes = self._folder_ends.diff(prepend=torch.zeros(1).long())
        place = torch.randint(2**62, shape, generator=self.generator) % sizes[folder]
        place += (self._folder_ends - sizes)[folder]
        turn = torch.randint(8, shape, generator=self.generator) & self._turns
        photo = torch.searchsorted(self._places, place, right=True)
        columns = self._columns[photo]
        place -= self._places[photo] - self._places.diff(prepend=torch.zeros(1).long())[photo]
        top, left = place // columns, place % columns
        drawn = [self._first[photo], self._width[photo], top, left, turn]
        if self.degradation:
            drawn.append(torch.randint(2**31, shape, generator=self.generator))
        return torch.stack(drawn, -1)

    def _cut(self, flat: Tensor, places: Tensor, scale: int) -> Tensor:
        """Patches from pixels (P, 3): (N, s·p, s·p, 3) uint8."""
        n = self.patch * scale
        first, width, top, left, turn = places[:, :5, None].unbind(1)  # each (N, 1)
        width = width * scale
        corner = first * scale**2 + top * scale * width + left * scale
        i = torch.arange(n, device=flat.device)
        down = torch.where(turn & 1 > 0, n - 1 - i, i) * width  # (N, n), row's offset
        across = torch.where(turn & 2 > 0, n - 1 - i, i)
        transposed = turn & 4 > 0
        rows = torch.where(transposed, across, down) + corner
        columns = torch.where(transposed, down, across)
        if flat.shape[0] < 2**31:  # half the memory to write and to read
            rows, columns = rows.int(), columns.int()
        index = rows.unsqueeze(2) + columns.unsqueeze(1)  # (N, n, n)
        return flat.index_select(0, index.flatten()).view(-1, n, n, 3)


def detail_of(patches: Tensor) -> Tensor:
    """(..., 3, h, w) → (...): mean absolute difference of neighbouring pixels, in green."""
    green = patches[..., 1, :, :]
    across = green.diff(dim=-1).abs().mean((-2, -1))
    return across + green.diff(dim=-2).abs().mean((-2, -1))


def _floats(pixels: Tensor) -> Tensor:
    """(..., h, w, 3) uint8 → (..., 3, h, w) in [0, 1], laid out as it was."""
    return pixels.movedim(-1, -3).float().div_(255)


def _flat(pictures: list[Uint8], device: torch.device) -> Tensor:
    """All pixels, one picture after the other: (P, 3) uint8."""
    return torch.from_numpy(np.concatenate([p.reshape(-1, 3) for p in pictures])).to(device)
