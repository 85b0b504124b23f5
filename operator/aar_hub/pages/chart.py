"""Geometry of the chart: PGR of every experiment with its standard error, the best so far, verification and the reference lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 960, 340
LEFT, RIGHT, TOP, BOTTOM = 44, 190, 12, 30
"""Margins in the same units; the right one holds the names of the reference lines."""
LOWEST, HIGHEST = -1.0, 2.0
"""PGR beyond these is drawn at the edge: one broken method must not flatten all others."""
LABEL_CHARS = 22
"""Longest name that fits the right margin beside its figure."""
LABEL_GAP = 14
"""Between two names on the right, so that lines close together can be read."""
SERIES = 8
"""Colours; with more researchers they come round again."""


@dataclass(frozen=True)
class Point:
    """A score to draw."""

    experiment: str
    title: str
    pgr: float
    stderr: float
    series: str
    """Researcher, or for verification the verdict."""


@dataclass(frozen=True)
class Mark:
    """A score drawn."""

    x: float
    y: float
    low: float
    high: float
    colour: int
    point: Point


@dataclass(frozen=True)
class Rule:
    """A horizontal line with its name."""

    y: float
    label_y: float
    label: str
    name: str


@dataclass(frozen=True)
class Chart:
    """Everything in units of the view box."""

    explored: list[Mark]
    verified: list[Mark]
    best: str
    rules: list[Rule]
    ticks: list[tuple[float, str]]
    legend: list[tuple[int, str]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM
    top: int = TOP


class _Scale:
    def __init__(self, values: Sequence[float], count: int) -> None:
        pad = 0.08
        self.low = max(LOWEST, min(values)) - pad
        self.high = min(HIGHEST, max(values)) + pad
        self._step = (WIDTH - LEFT - RIGHT) / max(count, 1)

    def x(self, place: int) -> float:
        return round(LEFT + (place + 0.5) * self._step, 1)

    def y(self, pgr: float) -> float:
        inside = min(max(pgr, self.low), self.high)
        return round(TOP + (self.high - inside) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM), 1)

    def mark(self, place: int, point: Point, colour: int) -> Mark:
        low, high = self.y(point.pgr - point.stderr), self.y(point.pgr + point.stderr)
        return Mark(self.x(place), self.y(point.pgr), low, high, colour, point)


def draw(explored: Sequence[Point], verified: Sequence[Point], references: Sequence[tuple[str, float]]) -> Chart:
    """The chart: explored in their order, then a gap, then verification."""
    gap = 1 if explored and verified else 0
    every = [*explored, *verified]
    values = [0.0, 1.0, *(value for _, value in references)]
    values += [edge for one in every for edge in (one.pgr - one.stderr, one.pgr + one.stderr)]
    scale = _Scale(values, len(every) + gap)
    colours = {name: number % SERIES for number, name in enumerate(sorted({one.series for one in explored}))}
    offset = len(explored) + gap
    return Chart(
        explored=[scale.mark(place, one, colours[one.series]) for place, one in enumerate(explored)],
        verified=[scale.mark(offset + place, one, 0) for place, one in enumerate(verified)],
        best=_best(scale, explored),
        rules=_rules(scale, [("weak teacher W", 0.0), ("strong ceiling C", 1.0), *references]),
        ticks=[
            (scale.y(tenth / 4), f"{tenth / 4:.2f}") for tenth in range(-4, 9) if scale.low < tenth / 4 < scale.high
        ],
        legend=[(number, name) for name, number in colours.items()],
    )


def _best(scale: _Scale, explored: Sequence[Point]) -> str:
    """Path of the best so far, as steps."""
    path, best = "", float("-inf")
    for place, one in enumerate(explored):
        if one.pgr > best:
            best = one.pgr
            path += f"V{scale.y(best)}" if path else f"M{scale.x(place)} {scale.y(best)}"
        path += f"H{scale.x(min(place + 1, len(explored) - 1))}"
    return path


def _rules(scale: _Scale, named: Sequence[tuple[str, float]]) -> list[Rule]:
    found: list[Rule] = []
    for name, value in sorted(named, key=lambda pair: -pair[1]):
        y = scale.y(value)
        label = max(y, found[-1].label_y + LABEL_GAP) if found else y
        cut = name if len(name) <= LABEL_CHARS else name[: LABEL_CHARS - 1] + "…"
        found.append(Rule(y, round(label, 1), f"{cut} {value:.2f}", name))
    return found
