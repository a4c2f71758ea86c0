"""Lines by day as inline SVG: drawn on the server, coloured by the style sheet, hidden from screen readers.

Whatever a line says stands beside it in words and numbers, and on the page of one feature as a table.
"""

import math
from collections.abc import Callable, Collection, Sequence
from itertools import groupby

from ok_ml.serving.html import Markup, tag

Numbers = Sequence[float | None]
WIDTH, HEIGHT = 240.0, 48.0
_MARGIN = 4.0
_NARROWEST = 3.0  # of a stripe, so that it is seen among many days


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
) -> Markup:
    """A line with a dot on its newest value, over a band, with horizontal levels.

    Parameters
    ----------
    band
        Lower and upper bound by day.
    levels
        (class of the style sheet, height): limits and references; those far away from all values are left out.
    zero
        Whether the axis begins at zero.
    marked
        Places of days that were held back: a stripe behind the line.
    reach
        The least height of the axis: what matters, so that noise does not fill it.
    """
    line, area = _floats(values), tuple(map(_floats, band)) if band is not None else ()
    known = [value for numbers in (line, *area) for value in numbers if math.isfinite(value)]
    if not known:
        return tag("svg", viewBox=f"0 0 {width:g} {height:g}", class_="spark", aria_hidden="true")
    low, high = min(known), max(known)
    low, high = min(low, 0.0) if zero else low, high if reach is None else max(high, reach)
    room = max(high - low, abs(high) * 0.1, 1e-12)
    near = [(name, level) for name, level in levels if low - room <= level <= high + room]
    low, high = min([low, *(level for _, level in near)]), max([high, *(level for _, level in near)])
    xs = [_MARGIN + (width - 2 * _MARGIN) * place / max(len(values) - 1, 1) for place in range(len(values))]

    def y(value: float) -> float:
        if high <= low:
            return height - _MARGIN if zero else height / 2
        return height - _MARGIN - (value - low) / (high - low) * (height - 2 * _MARGIN)

    wide = max((width - 2 * _MARGIN) / max(len(values) - 1, 1), _NARROWEST)
    drawn = [
        tag("rect", x=f"{xs[place] - wide / 2:.1f}", y=0, width=f"{wide:.1f}", height=f"{height:g}", class_="sp-held")
        for place in sorted(marked)
    ]
    drawn += [tag("path", d=_area(xs, area[0], area[1], y), class_="sp-band")] if area else []
    drawn += [tag("path", d=f"M0 {y(level):.1f}H{width:g}", class_=f"sp-level sp-{name}") for name, level in near]
    drawn.append(tag("path", d=_line(xs, line, y), class_=f"sp-line sp-{state}"))
    last = max((place for place, value in enumerate(line) if math.isfinite(value)), default=None)
    if last is not None:
        drawn.append(tag("circle", cx=f"{xs[last]:.1f}", cy=f"{y(line[last]):.1f}", r=3, class_=f"sp-dot sp-{state}"))
    return tag("svg", *drawn, viewBox=f"0 0 {width:g} {height:g}", class_="spark", aria_hidden="true")


def _floats(numbers: Numbers) -> list[float]:
    return [math.nan if value is None else value for value in numbers]


def _runs(numbers: Sequence[Sequence[float]]) -> list[list[int]]:
    """Places without a gap in any of the numbers, run by run."""
    places = range(len(numbers[0]))
    fine = groupby(places, key=lambda place: all(math.isfinite(one[place]) for one in numbers))
    return [list(run) for whole, run in fine if whole]


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
