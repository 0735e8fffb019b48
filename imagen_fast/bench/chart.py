"""Charts as SVG: axes, lines, points and labels that do not cover each other.

Colours are CSS classes (`style.CHART`), so that a chart follows its reader's light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 560, 380
TOP, BOTTOM, LEFT = 18, 46, 54
LETTER, LINE = 7.4, 16  # of a label, in pixels
Point = tuple[float, float]


@dataclass
class Axis:
    """Values from `low` to `high` on pixels from `start` to `end`."""

    label: str
    low: float
    high: float
    start: float
    end: float
    log: bool = True
    ticks: Sequence[float] = ()

    def at(self, value: float) -> float:
        """The pixel of a value."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def marks(self) -> list[float]:
        """Where ticks stand: round numbers, unless others were given."""
        if self.ticks:
            return list(self.ticks)
        if not self.log:
            step = _round_step((self.high - self.low) / 5)
            first = math.ceil(self.low / step)
            return [round(n * step, 6) for n in range(first, math.floor(self.high / step) + 1)]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for digits in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 5), (1, 3), (1,)):
            found = [d * 10.0**n for n in decades for d in digits]
            found = [value for value in found if self.low <= value <= self.high]
            if len(found) <= 7:
                break
        return found


@dataclass
class Series:
    """Points of one colour, joined by a line: `css` is its class, `dashed` breaks the line.

    Without `dots` it is a limit that others are seen against, and its label lies on its right end.
    """

    label: str
    css: str
    points: list[Point]
    dashed: bool = False
    dots: bool = True
    hollow: bool = False


@dataclass
class Chart:
    """A chart being drawn. Labels of lines stand at the right, others beside their points."""

    title: str
    x: Axis
    y: Axis
    right: float
    last: float
    parts: list[str] = field(default_factory=list)
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    @classmethod
    def over(
        cls,
        title: str,
        x: tuple[str, Sequence[float]],
        y: tuple[str, Sequence[float]],
        *,
        labels: float = 0,
        log_y: bool = True,
        log_x: bool = True,
        from_zero: bool = False,
        x_ticks: Sequence[float] = (),
    ) -> Chart:
        """Axes with room for these values, and for labels so many pixels wide at the right."""
        right = WIDTH - 14 - labels
        x_low, x_high = _room(x[1], log_x, 0.06)
        y_low, y_high = _room(y[1], log_y, 0.08)
        y_low = 0.0 if from_zero else y_low
        return cls(
            title,
            Axis(x[0], x_low, x_high, LEFT, right, log_x, x_ticks),
            Axis(y[0], y_low, y_high, HEIGHT - BOTTOM, TOP, log_y),
            right,
            max(x[1]),
        )

    def draw(self, all_series: Sequence[Series], *, at_right: bool) -> str:
        """The whole chart."""
        self._axes()
        for series in all_series:
            self._marks(series)
        for series in (s for s in all_series if not s.dots):
            self._label_on(series)
        named = [s for s in all_series if s.dots]
        whole = [s for s in named if at_right and s.points[-1][0] == self.last]
        self._labels_at_right(whole)
        for series in named:
            if series not in whole:
                self._label_beside(series, series.points[-1])
        body = "\n".join(self.parts)
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(self.title)}" xmlns="http://www.w3.org/2000/svg">\n{body}\n</svg>'
        )

    def _axes(self) -> None:
        x, y = self.x, self.y
        for value in y.marks():
            at = y.at(value)
            self._line(x.start, at, x.end, at, "grid")
            self._text(x.start - 8, at + 4, number(value), "tick", "end")
        for value in x.marks():
            at = x.at(value)
            self._line(at, y.start, at, y.start + 4, "axis")
            self._text(at, y.start + 18, number(value), "tick", "middle")
        self._line(x.start, y.start, x.end, y.start, "axis")
        self._text((x.start + x.end) / 2, HEIGHT - 8, x.label, "name", "middle")
        self._text(x.start - 44, TOP - 6, y.label, "name", "start")

    def _marks(self, series: Series) -> None:
        places = [(self.x.at(x), self.y.at(y)) for x, y in series.points]
        if len(places) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            dashed = " dashed" if series.dashed else ""
            self.parts.append(f'<polyline class="line {series.css}{dashed}" points="{path}"/>')
        if not series.dots:
            return
        for x, y in places:
            hollow = " hollow" if series.hollow else ""
            self.parts.append(
                f'<circle class="dot {series.css}{hollow}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
            )
            self.taken.append((x - 5, y - 5, x + 5, y + 5))

    def _labels_at_right(self, labelled: list[Series]) -> None:
        """In the order of the lines' ends, moved apart, each joined to its line."""
        ends = sorted(
            ((self.y.at(s.points[-1][1]), self.x.at(s.points[-1][0]), s) for s in labelled),
            key=lambda end: end[0],
        )
        heights = [y for y, _, _ in ends]
        for index in range(1, len(heights)):
            heights[index] = max(heights[index], heights[index - 1] + LINE)
        over = heights[-1] - (self.y.start - 2) if heights else 0
        for index in reversed(range(len(heights))):
            if over > 0:
                most = self.y.start - 2 if index + 1 == len(heights) else heights[index + 1] - LINE
                heights[index] = min(heights[index], most)
        for (y, x, series), height in zip(ends, heights, strict=True):
            self._line(x + 6, y, self.right + 10, height, f"leader {series.css}")
            self._text(self.right + 14, height + 4, series.label, f"label {series.css}", "start")

    def _label_on(self, series: Series) -> None:
        """Above the right end of a limit."""
        x, y = (axis.at(v) for axis, v in zip((self.x, self.y), series.points[-1], strict=True))
        self._text(x - 4, y - 6, series.label, "tick", "end")
        self.taken.append((x - LETTER * len(series.label), y - 18, x, y))

    def _label_beside(self, series: Series, point: Point) -> None:
        """Where it covers nothing: right, left, above or below; the first if all are taken."""
        x, y = self.x.at(point[0]), self.y.at(point[1])
        wide = LETTER * len(series.label)
        places = [
            *((x + 9, y + 4, "start"), (x - 9, y + 4, "end")),
            *((x, y - 10, "middle"), (x, y + 19, "middle")),
            *((x + 9, y - 9, "start"), (x + 9, y + 17, "start")),
            *((x - 9, y - 9, "end"), (x - 9, y + 17, "end")),
        ]
        shift = {"start": 0.0, "middle": -wide / 2, "end": -wide}
        boxes = [
            (at + shift[anchor], base - 11, at + shift[anchor] + wide, base + 3)
            for at, base, anchor in places
        ]
        free = [index for index, box in enumerate(boxes) if self._is_free(box)]
        chosen = free[0] if free else 0
        self.taken.append(boxes[chosen])
        at, base, anchor = places[chosen]
        self._text(at, base, series.label, f"label {series.css}", anchor)

    def _is_free(self, box: tuple[float, float, float, float]) -> bool:
        left, top, right, bottom = box
        inside = left >= self.x.start and right <= WIDTH and top >= 0 and bottom <= self.y.start
        return inside and not any(
            left < r and right > le and top < b and bottom > t for le, t, r, b in self.taken
        )

    def _line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        self.parts.append(
            f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
        )

    def _text(self, x: float, y: float, text: str, css: str, anchor: str) -> None:
        self.parts.append(
            f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )


def number(value: float) -> str:
    """Three digits that say something, and no more than there are."""
    if value >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f")
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}" if value < 1 else f"{value:.2f}"


def _room(values: Sequence[float], log: bool, margin: float) -> tuple[float, float]:
    """The range of the values and a margin beside them."""
    low, high = min(values), max(values)
    if log:
        low, high = math.log(low), math.log(high)
    span = max(high - low, 0.5)
    low, high = low - margin * span, high + margin * span
    return (math.exp(low), math.exp(high)) if log else (low, high)


def _round_step(step: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten above it."""
    power = 10 ** math.floor(math.log10(step))
    return float(next(power * digit for digit in (1, 2, 5, 10) if power * digit >= step))
