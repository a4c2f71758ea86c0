"""One look for all plots, and the sparkline that fits into a metadata field.

Colours are those of Okabe and Ito (2008), which people with colour blindness can tell apart; what a colour says is
always said by a position, a marker or a word too. Figures are made without pyplot, so nothing is global.
"""

import io
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
DPI: Final = 110  # 8 inches are 880 pixels: what the UI shows beside its side bar at 1440
SPARKLINE_LIMIT: Final = 900  # characters; Dagster shows Markdown inline only below 1,000


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
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    header = 0.62 if subtitle else 0.42
    layout = ConstrainedLayoutEngine(rect=(0.01, 0.01, 0.98, 0.98 - header / height))
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)
    figure.text(0.15 / width, 1 - 0.12 / height, title, fontsize=13, fontweight="bold", color=INK, va="top")
    figure.text(0.15 / width, 1 - 0.40 / height, subtitle, fontsize=9.5, color=MUTED, va="top")
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


def new_panels(
    title: str, subtitle: str, *, columns: int, rows: int, panel: tuple[float, float] = (2.0, 1.25)
) -> "tuple[Figure, list[Axes]]":
    """A figure of many small axes, `panel` inches wide and high each, row by row.

    Their places are counted out: matplotlib's own layout takes seconds for fifty of them.
    """
    width, height = columns * panel[0], rows * panel[1] + 0.75
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

    layout = ConstrainedLayoutEngine(rect=(0.01, 0.01, 0.98, 0.98 - 0.62 / height)) if automatic else None
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


def sparkline_svg(values: Sequence[float | None], *, points: int = 64) -> str:
    """A line of the newest values as an SVG data URI of less than 900 characters, for `![](...)` in Markdown.

    Parameters
    ----------
    values
        Oldest first; None and NaN leave a gap. More than `points` are averaged in equal groups.
    points
        Most points drawn.
    """
    numbers = _condense(np.array([np.nan if value is None else value for value in values], dtype=np.float64), points)
    uri = _svg_uri(numbers)
    while len(uri) >= SPARKLINE_LIMIT:
        points -= 8
        uri = _svg_uri(_condense(numbers, points))
    return uri


def _style(axis: "Axes") -> None:
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(MUTED)
    axis.tick_params(colors=INK, labelsize=9, length=3, color=MUTED)
    axis.grid(visible=True, axis="y", color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.xaxis.label.set(color=MUTED, fontsize=9.5)
    axis.yaxis.label.set(color=MUTED, fontsize=9.5)


def _condense(numbers: "np.ndarray[Any, np.dtype[np.float64]]", points: int) -> "np.ndarray[Any, np.dtype[np.float64]]":
    if len(numbers) <= points:
        return numbers
    groups = np.array_split(numbers, points)
    return np.array([np.nanmean(group) if not np.isnan(group).all() else np.nan for group in groups])


def _svg_uri(numbers: "np.ndarray[Any, np.dtype[np.float64]]") -> str:
    """160 x 24 units; integers only, relative moves, a dot on the newest value."""
    known = numbers[~np.isnan(numbers)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
    span = (high - low) or 1.0
    heights = 21 - (numbers - low) / span * 18 if high > low else np.where(np.isnan(numbers), np.nan, 12.0)
    xs = np.linspace(2, 156, max(len(numbers), 2))[: len(numbers)]
    drawn = [(round(x), round(y)) for x, y in zip(xs, heights, strict=True) if not np.isnan(y)]
    path, previous = "", None
    for x, y, gap in zip(*zip(*drawn, strict=True), _gaps(heights), strict=True) if drawn else ():
        path += f"M{x} {y}" if previous is None or gap else f"l{x - previous[0]} {y - previous[1]}".replace(" -", "-")
        previous = (x, y)
    dot = f"<circle cx='{previous[0]}' cy='{previous[1]}' r='2' fill='{RED}'/>" if previous else ""
    svg = (
        "<svg xmlns='http://www.w3.org/2000/svg' width='160' height='24'>"
        f"<path d='{path}' fill='none' stroke='{BLUE}' stroke-width='1.5'/>{dot}</svg>"
    )
    return "data:image/svg+xml;base64," + b64encode(svg.encode()).decode()


def _gaps(heights: "np.ndarray[Any, np.dtype[np.float64]]") -> list[bool]:
    """For each known value whether an unknown one stands before it."""
    unknown = np.isnan(heights)
    return [bool(index and unknown[index - 1]) for index in np.flatnonzero(~unknown)]
