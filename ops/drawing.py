"""A dashboard as one picture: the JSON's own grid, titles, units and thresholds, drawn with matplotlib.

Grafana itself comes from no package registry, so its pages are drawn here from the same file and the same answers.
"""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ops.answers import Line
from ops.units import written

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Ask = Callable[[Mapping[str, Any]], list[Line]]

WIDTH: Final = 1440
_DPI: Final = 100
_CELL: Final = (WIDTH - 16) / 24
_STEP: Final = 30  # pixels of one unit of height
_HEAD: Final = 56
_GAP: Final = 4
_PAGE, _CARD, _EDGE, _TEXT, _FAINT, _GRID = "#111217", "#181b1f", "#2c3235", "#ccccdc", "#8e8ea0", "#2a2e33"
_COLORS: Final = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#96d98d", "#ffcb7d", "#c0d8ff", "#ca95e5", "#fa6400",
)  # fmt: skip
_NAMED: Final = {"green": "#73bf69", "yellow": "#f2cc0c", "red": "#f2495c"}
_LEGEND_LINES: Final = 4


@dataclass(frozen=True)
class Box:
    """Where something is: pixels from the upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def inner(self, left: float, top: float, right: float, bottom: float) -> "Box":
        """Smaller by margins."""
        return Box(self.x + left, self.y + top, self.width - left - right, self.height - top - bottom)


class Sheet:
    """The picture that panels are put on."""

    def __init__(self, height: float) -> None:
        from matplotlib.figure import Figure

        self.height = height
        self.figure: Figure = Figure(figsize=(WIDTH / _DPI, height / _DPI), dpi=_DPI, facecolor=_PAGE)

    def axes(self, box: Box) -> "Axes":
        """Axes in a box."""
        place = (box.x / WIDTH, 1 - (box.y + box.height) / self.height, box.width / WIDTH, box.height / self.height)
        return self.figure.add_axes(place)

    def card(self, box: Box) -> None:
        """The background of a panel."""
        axes = self.axes(box)
        axes.set_facecolor(_CARD)
        axes.set(xticks=[], yticks=[])
        for side in axes.spines.values():
            side.set(color=_EDGE, linewidth=0.8)

    def write(self, x: float, y: float, text: str, **style: Any) -> None:
        """Text whose upper left corner is there."""
        settings = {"fontsize": 9, "color": _TEXT, "va": "top", "ha": "left", **style}
        self.figure.text(x / WIDTH, 1 - y / self.height, text, **settings)


def draw(dashboard: Mapping[str, Any], ask: Ask, start: float, end: float, path: Path) -> list[str]:
    """Draw a dashboard and write it as a PNG.

    Parameters
    ----------
    ask
        The series of one query of a panel.
    start, end
        Unix time, seconds.

    Returns
    -------
    Titles of panels without any data, which say so in the picture.
    """
    panels, empty = dashboard["panels"], []
    bottom = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in panels)
    sheet = Sheet(_HEAD + bottom * _STEP + 30)
    moments = [datetime.fromtimestamp(at, UTC).strftime("%H:%M") for at in (start, end)]
    sheet.write(12, 12, dashboard["title"], fontsize=14, fontweight="bold")
    sheet.write(12, 35, dashboard["description"], color=_FAINT)
    sheet.write(WIDTH - 12, 16, f"{moments[0]} to {moments[1]} UTC", color=_FAINT, ha="right")
    for panel in panels:
        grid = panel["gridPos"]
        box = Box(8 + grid["x"] * _CELL, _HEAD + grid["y"] * _STEP, grid["w"] * _CELL - _GAP, grid["h"] * _STEP - _GAP)
        if panel["type"] == "row":
            sheet.write(box.x + 4, box.y + 8, panel["title"], fontsize=10.5, fontweight="bold")
        elif not _panel(sheet, box, panel, [line for target in panel["targets"] for line in ask(target)], (start, end)):
            empty.append(panel["title"])
    note = "Panels drawn from the dashboard's JSON and Prometheus' answers to its queries."
    sheet.write(12, sheet.height - 20, note, color=_FAINT, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.figure.savefig(path, dpi=_DPI, facecolor=_PAGE)
    return empty


def _panel(sheet: Sheet, box: Box, panel: Mapping[str, Any], lines: list[Line], span: tuple[float, float]) -> bool:
    """Draw one panel; returns whether it has data."""
    sheet.card(box)
    most = int(box.width / 6.6)
    sheet.write(box.x + 8, box.y + 7, textwrap.shorten(panel["title"], most, placeholder=" ..."), fontsize=9)
    if not lines:
        middle = {"ha": "center", "va": "center", "color": _FAINT}
        sheet.write(box.x + box.width / 2, box.y + box.height / 2 + 6, "No data", **middle)
        return False
    {"stat": _stat, "timeseries": _lines, "bargauge": _bars}[panel["type"]](sheet, box, panel, lines, span)
    return True


def _unit(panel: Mapping[str, Any]) -> str:
    return str(panel["fieldConfig"]["defaults"].get("unit", "none"))


def _steps(panel: Mapping[str, Any]) -> list[tuple[float, str]]:
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    return [(float("-inf") if one["value"] is None else one["value"], _NAMED[one["color"]]) for one in steps]


def _color_of(panel: Mapping[str, Any], value: float, otherwise: str) -> str:
    return next((color for least, color in reversed(_steps(panel)) if value >= least), otherwise)


def _stat(sheet: Sheet, box: Box, panel: Mapping[str, Any], lines: Sequence[Line], span: tuple[float, float]) -> None:
    line = lines[0]
    value, color = line.values[-1], _color_of(panel, line.values[-1], _TEXT)
    axes = sheet.axes(box.inner(1, box.height * 0.62, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(*span)
    axes.set_ylim(0, 1.1 * max(line.values) or 1)
    area = color if color != _TEXT else "#5794f2"
    axes.plot(*_with_gaps(line), color=area, linewidth=1.1)
    axes.fill_between(*_with_gaps(line), color=area, alpha=0.22)
    where = (box.x + box.width / 2, box.y + box.height * 0.49)
    sheet.write(*where, written(value, _unit(panel)), fontsize=21, color=color, ha="center", va="center")


def _lines(sheet: Sheet, box: Box, panel: Mapping[str, Any], lines: Sequence[Line], span: tuple[float, float]) -> None:
    shown = sorted(lines, key=lambda line: -line.values[-1])
    legend = min(len(shown), _LEGEND_LINES)
    axes = sheet.axes(box.inner(58, 30, 14, 26 + 15 * legend))
    colors = {line.name: _COLORS[number % len(_COLORS)] for number, line in enumerate(lines)}
    _plot(axes, panel, lines, colors)
    _frame(axes, panel, lines, span)
    for number, line in enumerate(shown[:legend]):
        y = box.y + box.height - 17 - 15 * (legend - 1 - number)
        more = f"  (+ {len(shown) - legend} more)" if number == legend - 1 and len(shown) > legend else ""
        _legend(sheet, box, y, line, colors[line.name], _unit(panel), more)


def _plot(axes: "Axes", panel: Mapping[str, Any], lines: Sequence[Line], colors: Mapping[str, str]) -> None:
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    if custom.get("stacking", {}).get("mode") == "normal":
        times = sorted({at for line in lines for at in line.times})
        values = [[dict(zip(line.times, line.values, strict=True)).get(at, 0.0) for at in times] for line in lines]
        axes.stackplot(times, values, colors=[colors[line.name] for line in lines], alpha=0.75, linewidth=0)
        return
    for line in lines:
        axes.plot(*_with_gaps(line), color=colors[line.name], linewidth=1.3)
        if len(lines) == 1:
            axes.fill_between(*_with_gaps(line), color=colors[line.name], alpha=0.1)


def _with_gaps(line: Line) -> tuple[list[float], list[float]]:
    """Times and values, with a break where answers are missing."""
    times, values, step = list[float](), list[float](), min((b - a for a, b in pairwise(line.times)), default=0.0)
    for at, value in zip(line.times, line.values, strict=True):
        if times and at - times[-1] > 2.5 * step:
            times.append(at)
            values.append(float("nan"))
        times.append(at)
        values.append(value)
    return times, values


def _ticks(top: float, unit: str) -> list[float]:
    """Three to five round values from 0 to the top; times are round in minutes, hours or days."""
    scales = {"s": (86_400.0, 3600.0, 60.0), "bytes": (2.0**30, 2.0**20, 2.0**10)}.get(unit, ())
    scale = next((size for size in scales if top >= 1.5 * size), 1.0)
    rough = top / scale / 4
    size = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = scale * next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    return [step * number for number in range(int(top / step) + 1)]


def _frame(axes: "Axes", panel: Mapping[str, Any], lines: Sequence[Line], span: tuple[float, float]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter

    axes.set_facecolor(_CARD)
    axes.set_xlim(*span)
    _, high = axes.get_ylim()
    limits = [(at, color) for at, color in _steps(panel) if at > float("-inf")]
    top = max([high, *(at * 1.1 for at, _ in limits)])
    axes.set_ylim(0, top if any(value for line in lines for value in line.values) or limits else 1)
    for at, color in limits:
        axes.axhline(at, color=color, linewidth=1, linestyle=(0, (5, 4)), alpha=0.8)
    axes.yaxis.set_major_locator(FixedLocator(_ticks(axes.get_ylim()[1], _unit(panel))))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _at: written(value, _unit(panel))))
    shares = (0.1, 0.37, 0.64, 0.9) if axes.get_window_extent().width > 200 else (0.15, 0.85)
    axes.set_xticks([span[0] + share * (span[1] - span[0]) for share in shares])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _n: datetime.fromtimestamp(at, UTC).strftime("%H:%M")))
    axes.tick_params(colors=_FAINT, labelsize=7.5, length=0)
    axes.grid(color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def _legend(sheet: Sheet, box: Box, y: float, line: Line, color: str, unit: str, more: str) -> None:
    sheet.write(box.x + 10, y, "—", color=color, fontsize=9, fontweight="bold", va="center")
    numbers = f"{written(line.values[-1], unit)}   max {written(max(line.values), unit)}"
    room = int((box.width - 40) / 5.4) - len(numbers)
    name = line.name if len(line.name) <= room else f"{line.name[: max(room - 3, 8)]}..."
    sheet.write(box.x + 26, y, name + more, fontsize=7.5, va="center")
    sheet.write(box.x + box.width - 12, y, numbers, fontsize=7.5, color=_FAINT, ha="right", va="center")


def _bars(sheet: Sheet, box: Box, panel: Mapping[str, Any], lines: Sequence[Line], _span: tuple[float, float]) -> None:
    shown = sorted(lines, key=lambda line: -line.values[-1])[:12]
    top = max(line.values[-1] for line in shown) or 1.0
    height = (box.height - 36) / len(shown)
    left = 190
    for number, line in enumerate(shown):
        y = box.y + 30 + (number + 0.5) * height
        value = line.values[-1]
        sheet.write(box.x + left - 8, y, line.name.split("/")[-1][:30], fontsize=7.5, ha="right", va="center")
        bar = Box(box.x + left, y - 0.35 * height, max(1.5, (box.width - left - 76) * value / top), 0.7 * height)
        axes = sheet.axes(bar)
        axes.set_facecolor(_color_of(panel, value, _COLORS[0]))
        axes.set(xticks=[], yticks=[])
        for side in axes.spines.values():
            side.set_visible(False)
        sheet.write(bar.x + bar.width + 6, y, written(value, _unit(panel)), fontsize=7.5, va="center")
