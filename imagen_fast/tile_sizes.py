"""How large tiles are: as asked for, or as the memory has room for."""

from __future__ import annotations

import operator
import warnings
from typing import Protocol

from imagen_fast.errors import TilingError
from imagen_fast.tiling import Tiling, cut, largest_overlap

# Overlap unless asked otherwise: with it the tiles of the shipped models equal the whole picture.
DEFAULT_OVERLAP = 32
# Larger tiles save little of the halo's cost and delay the first finished row; on a CPU their
# planes leave the caches as well, and what waits for the rest of a row of tiles takes memory.
LARGEST_ON_CPU, LARGEST_ON_GPU = 512, 1024


class Tileable(Protocol):
    """What decides how a network's pictures are cut: a `Bundle`."""

    @property
    def alignment(self) -> int:
        """Input pixels at whose multiples tiles start."""

    @property
    def exact_overlap(self) -> int | None:
        """The overlap with which tiles change nothing; None if none is enough."""


def default_overlap(network: Tileable, tile: int) -> int:
    """What exactness needs, if a tile has room for it; 0 is automatic.

    Otherwise as measured, and at most a quarter of the tile, which then answers for half its side:
    with all the overlap that there is room for, neighbours would lie two pixels apart.
    """
    exact = network.exact_overlap
    wanted = DEFAULT_OVERLAP if exact is None else min(DEFAULT_OVERLAP, exact)
    if tile == 0:
        return wanted
    most = largest_overlap(tile, network.alignment)
    if wanted == exact and wanted <= most:
        return wanted
    return max(0, min(wanted, tile // 4, most))


def check(network: Tileable, tile: int, overlap: int | None) -> None:
    """Raise TilingError for sizes that cannot work, whichever pictures will come.

    `tile` 0 and `overlap` None are chosen later.
    """
    for name, value in (("tile", tile), ("overlap", 0 if overlap is None else overlap)):
        try:
            size = operator.index(value)
        except TypeError:
            raise TilingError(f"{name} is {value!r}; expected an int, in input pixels") from None
        if size < 0:
            least = "a size in pixels, or 0 for automatic" if name == "tile" else "0 or more pixels"
            raise TilingError(f"{name} is {size}; expected {least}")
    if tile:
        chosen = default_overlap(network, tile) if overlap is None else overlap
        cut(tile + 1, tile + 1, tile, chosen, network.alignment)


def automatic(
    height: int, width: int, capacity: int, overlap: int, alignment: int, largest: int
) -> int:
    """The tile size for a picture, of which `capacity` input pixels may be computed at once.

    The whole picture if it fits, else the largest square that fits, of at most `largest` pixels.
    """
    if height * width <= capacity:
        return max(height, width)
    side = min(int(capacity**0.5), largest) // alignment * alignment
    return max(side, -(-2 * overlap // alignment) * alignment + alignment)


def too_much(tile: int, capacity: int, overlap: int, alignment: int) -> TilingError:
    """Why `automatic` gave a tile of more pixels than `capacity`."""
    side = int(capacity**0.5)
    if overlap <= DEFAULT_OVERLAP:
        return TilingError(
            f"memory is free for tiles of {side} pixels, and the smallest have {tile}; end other "
            "programs, or choose a tile to try it all the same"
        )
    return TilingError(
        f"an overlap of {overlap} needs tiles of {tile} pixels, and those chosen here have up to "
        f"{side}; expected an overlap of at most {largest_overlap(side, alignment)}, or a tile of "
        f"{tile} or more"
    )


class TileSizes:
    """Tile and overlap of a model's pictures. Raises TilingError for sizes that cannot work.

    Args:
        network: whose pictures they are.
        tile, overlap: in input pixels; 0 and None are chosen here.
        model: its name, for messages.
        averages: whether it computes means over the whole picture.
        device: "cpu" or another one, on which larger tiles are chosen.

    In methods `capacity` is how many input pixels may be computed at once.
    """

    def __init__(
        self,
        network: Tileable,
        tile: int,
        overlap: int | None,
        *,
        model: str,
        averages: bool,
        device: str,
    ) -> None:
        check(network, tile, overlap)
        self._largest = LARGEST_ON_CPU if device == "cpu" else LARGEST_ON_GPU
        self._alignment, self._model, self._averages = network.alignment, model, averages
        self.tile = operator.index(tile)
        self.overlap = (
            default_overlap(network, self.tile) if overlap is None else operator.index(overlap)
        )

    def tile_for(self, height: int, width: int, capacity: int) -> int:
        """The tile that, asked for, cuts pictures of this size as they are cut now."""
        if self.tile:
            return self.tile
        least = -(-2 * self.overlap // self._alignment) * self._alignment + self._alignment
        return max(least, self._automatic(height, width, capacity))

    def cut(self, height: int, width: int, capacity: int) -> tuple[Tiling, int]:
        """The tiles of a picture, and their side."""
        if self._averages:
            self._check_whole(height, width, capacity)
        tile = self.tile or self._automatic(height, width, capacity)
        return cut(height, width, tile, self.overlap, self._alignment), tile

    def _automatic(self, height: int, width: int, capacity: int) -> int:
        tile = automatic(height, width, capacity, self.overlap, self._alignment, self._largest)
        if height * width > capacity and tile * tile > capacity:
            raise too_much(tile, capacity, self.overlap, self._alignment)
        return tile

    def _check_whole(self, height: int, width: int, capacity: int) -> None:
        """Refuse tiles that nobody asked for, and warn of others: their means are others."""
        if self.tile and max(height, width) > self.tile:
            warnings.warn(
                f"the model {self._model!r} computes means over the whole picture, and in tiles "
                f"of {self.tile} pixels over each of them, so its result differs",
                RuntimeWarning,
                stacklevel=2,
            )
        elif not self.tile and height * width > capacity:
            raise TilingError(
                f"the model {self._model!r} computes means over the whole picture, and one of "
                f"{width} × {height} pixels takes more memory than there is for it (enough for "
                f"{capacity} pixels); choose a tile size to have it in tiles, which changes it"
            )
