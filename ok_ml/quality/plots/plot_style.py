"""One look for all plots.

Colours are those of Okabe and Ito (2008), which people with colour blindness can tell apart; what a colour says is
always said by a position, a marker or a word too. Figures are made without pyplot, so nothing is global.
"""

import io
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

BLUE: Final = "#0072B2"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
RED: Final = "#D55E00"
PINK: Final = "#CC79A7"
SKY: Final = "#56B4E9"
GREY: Final = "#8A94A0"
PALETTE: Final = (BLUE, RED, GREEN, PINK, ORANGE, SKY, GREY)
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
INK: Final = "#1F2933"
MUTED: Final = "#5B6672"
GRID: Final = "#E3E8ED"
WEEKEND: Final = "#EDF1F5"
REFERENCE: Final = "#BFC8D1"
_PANEL_WIDTH, _PANEL_HEIGHT = 2.0, 1.25  # inches, of one of many
_MOST_DAYS_LABELLED: Final = 10
_SATURDAY: Final = 5  # day of the week, Monday is 0; ordinal 1 was a Monday
DPI: Final = 110  # 8 inches are 880 pixels: what the UI shows beside its side bar at 1440


def new_figure(
    title: str,
    subtitle: str = "",
    *,
    width: float = 8.0,
    height: float = 4.5,
    columns: int = 1,
    rows: int = 1,
    share_x: bool = False,
    share_y: bool = False,
) -> "tuple[Figure, list[Axes]]":
    """A figure of the house, width and height in inches, with its title at the left edge; axes row by row."""
    figure = _blank(title, subtitle, width, height)
    axes = list(np.ravel(figure.subplots(rows, columns, sharex=share_x, sharey=share_y)))
    for axis in axes:
        _style(axis)
    return figure, axes


def new_grid(title: str, subtitle: str, *, width: float = 11.0, height: float = 5.6) -> "tuple[Figure, list[Axes]]":
    """A figure with one large axis at the left and two small ones, one above the other, at the right."""
    figure = _blank(title, subtitle, width, height)
    grid = figure.add_gridspec(2, 2, width_ratios=[1.15, 1.0])
    axes = [figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, 1])]
    for axis in axes:
        _style(axis)
    return figure, axes


def new_panels(title: str, subtitle: str, *, columns: int, rows: int) -> "tuple[Figure, list[Axes]]":
    """A figure of many small axes, row by row.

    Their places are counted out: matplotlib's own layout takes seconds for fifty of them.
    """
    width, height = columns * _PANEL_WIDTH, rows * _PANEL_HEIGHT + 0.75
    figure = _blank(title, subtitle, width, height, automatic=False)
    figure.subplots_adjust(
        left=0.4 / width, right=1 - 0.1 / width, bottom=0.12 / height, top=1 - 1.12 / height, wspace=0.32, hspace=0.85
    )
    axes = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for axis in axes:
        _style(axis)
    return figure, axes


def _blank(title: str, subtitle: str, width: float, height: float, *, automatic: bool = True) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    header = 0.62 if subtitle else 0.42
    layout = ConstrainedLayoutEngine(rect=(0.01, 0.01, 0.98, 0.98 - header / height)) if automatic else None
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)
    figure.text(0.15 / width, 1 - 0.12 / height, title, fontsize=13, fontweight="bold", color=INK, va="top")
    figure.text(0.15 / width, 1 - 0.40 / height, subtitle, fontsize=9.5, color=MUTED, va="top")
    return figure


def horizontal(axis: "Axes") -> None:
    """Bars to the right: the grid lines stand upright."""
    axis.grid(visible=False, axis="y")
    axis.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    axis.tick_params(axis="y", length=0)


def panel_title(axis: "Axes", title: str) -> None:
    """The title of one of several panels, at its left edge."""
    axis.set_title(title, loc="left", fontsize=10.5, color=INK)


def ticks_up_to(axis: "Axes", *, x: float | None = None, y: float | None = None) -> None:
    """No ticks beyond what a value can be: the room there is for labels only."""
    if x is not None:
        axis.set_xticks([tick for tick in axis.get_xticks() if tick <= x * 1.0001])
    if y is not None:
        axis.set_yticks([tick for tick in axis.get_yticks() if tick <= y * 1.0001])


def places(days: Sequence[str]) -> "NDArray[np.int64]":
    """Where days stand on an axis, int64 [days]."""
    return np.array([date.fromisoformat(day).toordinal() for day in days], dtype=np.int64)


def is_daily(days: Sequence[str]) -> bool:
    """Whether days follow one another, so that a week shows."""
    return len(days) > 1 and bool(np.median(np.diff(places(days))) == 1)


def shade_weekends(axis: "Axes", days: Sequence[str]) -> None:
    """Saturdays and Sundays of daily data, so that a weekly season can be distinguished from a trend."""
    for place in places(days) if is_daily(days) else ():
        if (place - 1) % 7 >= _SATURDAY:
            axis.axvspan(place - 0.5, place + 0.5, color=WEEKEND, linewidth=0, zorder=0.1)


def label_days(axis: "Axes", days: Sequence[str], *, most: int = _MOST_DAYS_LABELLED) -> None:
    """At most so many labels, the newest day's among them; with the year if there is more than one."""
    step = max(-(-len(days) // most), 1)
    form = "%d %b" if len({day[:4] for day in days}) <= 1 else "%d %b %Y"
    shown = days[::-1][::step][::-1]
    axis.set_xticks(places(shown), [day_label(day, form) for day in shown])


def day_label(day: str, form: str = "%d %b") -> str:
    """A day as people read it."""
    return f"{date.fromisoformat(day):{form}}".lstrip("0")


def legend(axis: "Axes", **where: Any) -> None:
    """A legend without a frame."""
    axis.legend(frameon=False, fontsize=9, labelcolor=INK, **where)


def to_png(figure: "Figure", path: str | Path | None = None) -> bytes:
    """The figure as PNG, also written to `path`; equal figures, equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    sink = io.BytesIO()
    FigureCanvasAgg(figure).print_png(sink, metadata={"Software": None})
    image = sink.getvalue()
    if path is not None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(image)
    return image


def _style(axis: "Axes") -> None:
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(MUTED)
    axis.tick_params(colors=INK, labelsize=9, length=3, color=MUTED)
    axis.grid(visible=True, axis="y", color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.xaxis.label.set(color=MUTED, fontsize=9.5)
    axis.yaxis.label.set(color=MUTED, fontsize=9.5)
