"""Geometry of a line by day: computed here, drawn as inline SVG by a template, coloured by the style sheet.

Whatever a line says is also given in words and numbers, and on the page of one feature as a table.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

Numbers = Sequence[float | None]
WIDTH, HEIGHT = 240.0, 48.0
_MARGIN = 4.0
_NARROWEST = 3.0  # of a stripe, so that it is seen among many days


@dataclass(frozen=True)
class Spark:
    """What is drawn, in pixels.

    Attributes
    ----------
    stripes
        (left edge, width) of days that were blocked.
    band, line
        Path data; empty: nothing to draw.
    levels
        (class of the style sheet, height) of limits and references.
    dot
        Place of the newest value.
    """

    width: float
    height: float
    state: str
    stripes: Sequence[tuple[float, float]] = ()
    band: str = ""
    levels: Sequence[tuple[str, float]] = ()
    line: str = ""
    dot: tuple[float, float] | None = None


def spark(
    values: Numbers,
    *,
    band: tuple[Numbers, Numbers] | None = None,
    levels: Sequence[tuple[str, float]] = (),
    zero: bool = False,
    marked: Collection[int] = (),
    reach: float | None = None,
    height: float = HEIGHT,
    width: float = WIDTH,
    state: str = "ok",
) -> Spark:
    """A line with a dot on its newest value, over a band, with horizontal levels.

    Parameters
    ----------
    band
        Lower and upper bound by day.
    levels
        (class of the style sheet, value): limits and references; those far away from all values are left out.
    zero
        Whether the axis begins at zero.
    marked
        Places of days that were blocked: a stripe behind the line.
    reach
        The smallest height of the axis: what matters, so that noise does not fill it.
    """
    line, area = _floats(values), tuple(map(_floats, band)) if band is not None else ()
    known = [value for numbers in (line, *area) for value in numbers if math.isfinite(value)]
    if not known:
        return Spark(width, height, state)
    low, high = min(known), max(known)
    low, high = min(low, 0.0) if zero else low, high if reach is None else max(high, reach)
    room = max(high - low, abs(high) * 0.1, 1e-12)
    near = [(name, level) for name, level in levels if low - room <= level <= high + room]
    low, high = min([low, *(level for _, level in near)]), max([high, *(level for _, level in near)])
    step = (width - 2 * _MARGIN) / max(len(values) - 1, 1)
    xs = [_MARGIN + step * place for place in range(len(values))]

    def y(value: float) -> float:
        if high <= low:
            return height - _MARGIN if zero else height / 2
        return height - _MARGIN - (value - low) / (high - low) * (height - 2 * _MARGIN)

    wide = max(step, _NARROWEST)
    last = max((place for place, value in enumerate(line) if math.isfinite(value)), default=None)
    return Spark(
        width,
        height,
        state,
        stripes=[(xs[place] - wide / 2, wide) for place in sorted(marked)],
        band=_area(xs, area[0], area[1], y) if area else "",
        levels=[(name, y(level)) for name, level in near],
        line=_line(xs, line, y),
        dot=None if last is None else (xs[last], y(line[last])),
    )


def _floats(numbers: Numbers) -> list[float]:
    return [math.nan if value is None else value for value in numbers]


def _runs(numbers: Sequence[Sequence[float]]) -> list[list[int]]:
    """Places without a gap in any of the numbers, run by run."""
    places = range(len(numbers[0]))
    complete = groupby(places, key=lambda place: all(math.isfinite(one[place]) for one in numbers))
    return [list(run) for whole, run in complete if whole]


def _line(xs: Sequence[float], values: Sequence[float], y: Callable[[float], float]) -> str:
    path = ""
    for run in _runs([values]):
        path += "M" + "L".join(f"{xs[place]:.1f} {y(values[place]):.1f}" for place in run)
        path += "h0.1" if len(run) == 1 else ""
    return path


def _area(xs: Sequence[float], lower: Sequence[float], upper: Sequence[float], y: Callable[[float], float]) -> str:
    path = ""
    for run in _runs([lower, upper]):
        corners = [f"{xs[place]:.1f} {y(upper[place]):.1f}" for place in run]
        corners += [f"{xs[place]:.1f} {y(lower[place]):.1f}" for place in reversed(run)]
        path += "M" + "L".join(corners) + "Z"
    return path
