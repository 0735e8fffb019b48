"""`Grid`: where the pixels of a value lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

from imagen_fast.errors import SpecError

MAX_HALVINGS = 16
MAX_FACTOR = 65_536


@dataclass(frozen=True)
class Grid:
    """Where a value's pixels lie, relative to an input: (N, factor·⌈H/2^halvings⌉ + around, …).

    Attributes:
        of: the input whose height and width count, one that is no one else's grid; "" for a
            single pixel, which is of the whole picture.
        halvings: how often these are halved, rounding up.
        factor: by what they are multiplied afterwards.
        around: how many pixels more there are, half of them on each side. An odd number has what
            was halved from an odd pixel of the picture on: its pixels lie halfway.
    """

    of: str
    halvings: int = 0
    factor: int = 1
    around: int = 0

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a value, from those of the input `of`."""
        if not self.of:
            return 1, 1
        high, wide = (self.factor * -(-side // 2**self.halvings) for side in (height, width))
        return high + self.around, wide + self.around

    def halved(self) -> Grid:
        """The grid of half the size, rounded up."""
        if self.around % 2:
            raise SpecError(f"{self.around} pixels around a picture, an odd number, are not halved")
        if not self.of:
            raise SpecError(f"a grid {self} cannot be halved")
        if self.factor % 2 == 0:
            return Grid(self.of, self.halvings, self.factor // 2, self.around // 2)
        if self.factor > 1 or self.halvings == MAX_HALVINGS:
            raise SpecError(f"a grid {self} cannot be halved")
        return Grid(self.of, self.halvings + 1, 1, self.around // 2)

    def enlarged(self, factor: int) -> Grid:
        """The grid of `factor` times the size."""
        if factor > 1 and not self.of:
            raise SpecError("a single pixel cannot be enlarged")
        if max(self.factor, self.around) * factor > MAX_FACTOR:
            raise SpecError(f"a grid {self} enlarged {factor} times is too fine")
        return Grid(self.of, self.halvings, self.factor * factor, self.around * factor)

    def widened(self, margin: int) -> Grid:
        """The grid of so many pixels more on each side, or fewer if `margin` is negative."""
        if margin and not self.of:
            raise SpecError("a single pixel has no margin")
        if not 0 <= self.around + 2 * margin <= MAX_FACTOR:
            raise SpecError(f"{self.around} pixels around a picture, and {-2 * margin} are lost")
        return replace(self, around=self.around + 2 * margin)

    def completed(self, halvings: int) -> Grid:
        """The grid whose sides are the next multiples of 2^halvings."""
        part = 2**halvings
        if not halvings or (self.of and not self.around and self.factor % part == 0):
            return self
        if self.around or self.factor > 1 or not self.of or self.halvings + halvings > MAX_HALVINGS:
            raise SpecError(f"a grid {self} cannot be completed to multiples of {part}")
        return Grid(self.of, self.halvings + halvings, part)
