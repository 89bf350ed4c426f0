"""Charts as SVG: histograms, curves, bars; their colours are the page's own, light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 440, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 24, 26, 44
# On the axis of a FROC.
_EIGHTHS = {0.125: "1/8", 0.25: "1/4", 0.5: "1/2"}
_FEWEST_BINS, _MOST_BINS = 6, 24


@dataclass(frozen=True)
class Scale:
    """From a value to a place on the picture: straight, or by the logarithm of 2.

    Examples
    --------
    >>> Scale(0, 10, 0, 100).at(5), Scale(1, 4, 0, 100, log=True).at(2)
    (50.0, 50.0)
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where the value stands; never beyond the ends."""
        low, high, v = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, v = math.log2(low), math.log2(high), math.log2(v)
        share = (v - low) / (high - low) if high > low else 0.0
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Line:
    """A curve, with a name for the legend.

    Attributes
    ----------
    name, x, y
        Its name and its points.
    series
        Which of the four colours and strokes it has.
    dots, joined, steps
        Whether its points are marked, and joined, and joined by stairs.
    band_x, band
        Its lower and upper bound, and where.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    series: int = 1
    dots: bool = False
    joined: bool = True
    steps: bool = False
    band_x: Sequence[float] = ()
    band: Sequence[tuple[float, float]] = field(default=())


@dataclass(frozen=True)
class Labels:
    """What a chart says: its title, for who cannot see it too, and its axes."""

    title: str
    x: str
    y: str


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, about so many.

    Examples
    --------
    >>> nice_ticks(0, 87), nice_ticks(0, 1)
    ([0.0, 20.0, 40.0, 60.0, 80.0], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    """
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 10) for k in range(first, last + 1)]


def bins_of(values: Sequence[float], most: int = _MOST_BINS) -> tuple[list[float], list[int]]:
    """Edges at round numbers, and how many of the values lie between each two.

    Examples
    --------
    >>> bins_of([1.0, 2.0, 2.5, 9.0], 5)
    ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0], [1, 2, 0, 0, 1])
    """
    low, high = float(min(values)), float(max(values))
    spread = (high - low) or max(abs(high), 1.0)
    power = 10.0 ** math.floor(math.log10(spread / most))
    step = next(power * k for k in (1, 2, 5, 10, 20) if power * k >= spread / most * 0.999)
    # A value on the last edge is in the last bin, as numpy has it.
    first = math.floor(low / step + 1e-9)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    edges = [round(k * step, 10) for k in range(first, last + 1)]
    counts, _ = np.histogram(np.asarray(values, float), edges)
    return edges, counts.tolist()


def histogram(values: Sequence[float], labels: Labels) -> Markup:
    """How values are spread; their number and median stand in the title."""
    many = min(max(_FEWEST_BINS, 2 * math.isqrt(len(values))), _MOST_BINS)
    edges, counts = bins_of(values, many)
    x = Scale(edges[0], edges[-1], LEFT, WIDTH - RIGHT)
    y = Scale(0, max(counts), HEIGHT - BOTTOM, TOP)
    bars = []
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        if count:
            left, top = x.at(low) + 0.5, y.at(count)
            bars.append(
                f'<rect class="bar" x="{left:.1f}" y="{top}" width="{x.at(high) - left - 0.5:.1f}" '
                f'height="{y.start - top:.1f}"><title>{low:g} to {high:g} {escape(labels.x)}: '
                f"{count}</title></rect>"
            )
    ticks = [t for t in nice_ticks(0, max(counts), 4) if t == int(t)]
    axes = _axes(x, y, nice_ticks(edges[0], edges[-1], 6), ticks, labels)
    return _svg(axes + "".join(bars), labels.title)


def curves(
    lines: Sequence[Line], labels: Labels, x_ticks: Sequence[float] = (), *, log: bool = False
) -> Markup:
    """Curves over one pair of axes; the y axis runs from 0 to 1, or to the highest value."""
    highest = max((v for line in lines for v in line.y), default=1.0)
    every_x = [v for line in lines for v in line.x] or [0.0, 1.0]
    ends = (x_ticks[0], x_ticks[-1]) if x_ticks else (min(every_x), max(every_x))
    x = Scale(*ends, LEFT, WIDTH - RIGHT, log)
    y = Scale(0, 1.0 if highest <= 1 else highest * 1.05, HEIGHT - BOTTOM, TOP)
    drawn = []
    for line in lines:
        if line.band:
            above = [
                f"{x.at(a)},{y.at(high)}"
                for a, (_, high) in zip(line.band_x, line.band, strict=True)
            ]
            below = [
                f"{x.at(a)},{y.at(low)}" for a, (low, _) in zip(line.band_x, line.band, strict=True)
            ]
            drawn.append(
                f'<polygon class="band s{line.series}" points="{" ".join(above + below[::-1])}"/>'
            )
    for line in lines:
        if line.joined:
            told = " ".join(f"{a},{b}" for a, b in _points(line, x, y))
            drawn.append(f'<polyline class="line s{line.series}" points="{told}"/>')
        if line.dots:
            drawn += [
                f'<circle class="dot s{line.series}" cx="{x.at(a)}" cy="{y.at(b)}" r="3.5">'
                f"<title>{escape(line.name)}: {b:.3g} at {a:g}</title></circle>"
                for a, b in zip(line.x, line.y, strict=True)
                if ends[0] <= a <= ends[1]
            ]
    axes = _axes(x, y, list(x_ticks) or nice_ticks(*ends, 6), nice_ticks(0, y.high, 5), labels)
    return _svg(axes + "".join(drawn), labels.title)


def _points(line: Line, x: Scale, y: Scale) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for a, b in zip(line.x, line.y, strict=True):
        if a < x.low or a > x.high:
            # A step curve begins with the height that it has reached before the axis begins.
            if a < x.low and line.steps:
                points = [(x.start, y.at(b))]
            continue
        if line.steps and points:
            points.append((x.at(a), points[-1][1]))
        points.append((x.at(a), y.at(b)))
    if line.steps and points:
        points.append((x.end, points[-1][1]))
    return points


def _axes(
    x: Scale, y: Scale, x_ticks: Sequence[float], y_ticks: Sequence[float], labels: Labels
) -> str:
    parts = []
    for tick in y_ticks:
        at = y.at(tick)
        parts.append(
            f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{at}" y2="{at}"/>'
            f'<text class="tick" x="{x.start - 6}" y="{at + 4}" text-anchor="end">'
            f"{_told(tick)}</text>"
        )
    for tick in x_ticks:
        at = x.at(tick)
        parts.append(
            f'<line class="axis" x1="{at}" x2="{at}" y1="{y.start}" y2="{y.start + 4}"/>'
            f'<text class="tick" x="{at}" y="{y.start + 17}" text-anchor="middle">'
            f"{_EIGHTHS.get(tick, _told(tick)) if x.log else _told(tick)}</text>"
        )
    middle = (x.start + x.end) / 2
    parts.append(f'<line class="axis" x1="{x.start}" x2="{x.end}" y1="{y.start}" y2="{y.start}"/>')
    parts.append(
        f'<text class="label" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(labels.x)}</text>"
        f'<text class="label" x="4" y="12">{escape(labels.y)}</text>'
    )
    return "".join(parts)


def _told(value: float) -> str:
    return f"{value:,.6g}"


def _svg(inside: str, title: str) -> Markup:
    told = escape(title)
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{told}">'
        f"{inside}</svg>"
    )
