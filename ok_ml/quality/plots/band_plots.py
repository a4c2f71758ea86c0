"""Plots of numbers by day with their expected values: the mean with its band, and what fell outside marked."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.config.calibration import DEFAULT_LIMIT
from ok_ml.quality.bands.daily_bands import Band, Days, judge_day
from ok_ml.quality.bands.short_history_bands import judge_short_history
from ok_ml.quality.plots import plot_style as s
from ok_ml.quality.statistics.number_series import Name, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_MOST_MARKS_LABELLED: Final = 8
_PANEL_HEIGHT: Final = 2.1  # inches
_BAND: Final = "#CFE3F1"
_BEYOND: Final = 1.5  # how many spans of the values a band may stretch the axis beyond them


@dataclass(frozen=True)
class Panel:
    """One axis of a chart.

    Attributes
    ----------
    lines
        Label -> numbers by day; one line without a band needs no label.
    bands
        Day -> what was expected of the first line.
    share
        Values are shares: the axis is in per cent.
    from_zero
        The axis starts at zero.
    """

    title: str
    lines: Mapping[str, Series]
    bands: Mapping[str, Band] = field(default_factory=dict)
    share: bool = False
    from_zero: bool = False

    @property
    def known(self) -> bool:
        """Whether any line has a value."""
        return any(value is not None for one in self.lines.values() for value in one.values)


def band_chart(
    series: Series,
    bands: Mapping[str, Band],
    *,
    title: str | None = None,
    share: bool = False,
    marks: Mapping[str, str] | None = None,
    held: Collection[str] = (),
    path: str | Path | None = None,
) -> bytes:
    """One number by day with its expected band; days outside are marked with a ring and their value.

    Parameters
    ----------
    bands
        Day -> what was expected of it; days without are drawn without a band.
    marks
        Day -> what changed on it: a line and a word.
    held
        Days that were blocked: shaded.
    """
    panel = Panel("", {str(series.name): series}, bands, share)
    return band_panels([panel], title=title or str(series.name), marks=marks, held=held, panel_height=3.2, path=path)


def band_panels(
    panels: Sequence[Panel],
    *,
    title: str,
    marks: Mapping[str, str] | None = None,
    held: Collection[str] = (),
    panel_height: float = _PANEL_HEIGHT,
    path: str | Path | None = None,
) -> bytes:
    """Several numbers by day, one below the other on the same days; weekends of daily data are shaded."""
    days = sorted({dt for panel in panels for one in panel.lines.values() for dt in one.dts})
    height = 0.95 + panel_height * max(len(panels), 1)
    shown = sorted(set(held) & set(days))
    figure, axes = s.new_figure(
        title, _subtitle(days, panels, shown), height=height, rows=max(len(panels), 1), share_x=True
    )
    named: set[tuple[str, ...]] = set()
    for panel, axis in zip(panels, axes, strict=False):
        s.shade_weekends(axis, days)
        _shade_held(axis, shown)
        _draw_panel(axis, panel)
        if len(panel.lines) > 1 and tuple(panel.lines) not in named:  # the same lines are named once
            _name_lines(axis, len(panel.lines))
            named.add(tuple(panel.lines))
        _draw_marks(axis, marks or {}, days, labelled=axis is axes[0])
    s.label_days(axes[-1], days)
    if days:
        axes[-1].set_xlim(_place(days[0]) - 0.8, _place(days[-1]) + 0.8)
    return s.to_png(figure, path)


def bands_of(
    days: Days,
    name: Name,
    *,
    limit: float = DEFAULT_LIMIT,
    leave_out: Collection[str] = (),
    short_history: bool = False,
    regimes: Mapping[str, str] | None = None,
) -> dict[str, Band]:
    """Day -> the band of one number on it, each from the days before; days with too little history have none.

    Parameters
    ----------
    days
        Day -> its numbers.
    leave_out
        Days that were found wrong.
    short_history
        Whether a share has a band before it knows itself; of two bands the narrower one is reported.
    regimes
        Day -> what was the rule on it; see `bands.judge_day`.
    """
    slim = {dt: {name: numbers[name]} for dt, numbers in days.items() if name in numbers}
    judged = {
        dt: judge_day(slim, dt, numbers, limit=limit, leave_out=leave_out, regimes=regimes)
        for dt, numbers in slim.items()
    }
    bands = {dt: deviations[0].band for dt, deviations in judged.items() if deviations}
    for dt, numbers in slim.items() if short_history else ():
        for one in judge_short_history(slim, dt, dict(numbers), limit=limit, leave_out=leave_out):
            known = bands.get(dt)
            if known is None or one.band.high - one.band.low < known.high - known.low:
                bands[dt] = one.band
    return bands


def outside(series: Series, bands: Mapping[str, Band]) -> list[str]:
    """Days whose number is not within its band, ascending."""
    dts = [
        dt
        for dt, value in zip(series.dts, series.values, strict=True)
        if value is not None and dt in bands and not bands[dt].low <= value <= bands[dt].high
    ]
    return sorted(dts)


def _subtitle(days: list[str], panels: Sequence[Panel], held: Sequence[str]) -> str:
    if not days:
        return "no day yet"
    words = [f"{days[0]} .. {days[-1]}"]
    if s.is_daily(days):
        words.append("weekends shaded")
    if any(panel.bands for panel in panels):
        words.append("pale blue: expected; ringed: outside of it")
    if held:
        words.append("shaded red: blocked")
    return "; ".join(words)


def _draw_panel(axis: "Axes", panel: Panel) -> None:
    for index, (label, one) in enumerate(panel.lines.items()):
        colour = s.PALETTE[index % len(s.PALETTE)]
        places, values = _numbers(one)
        if index == 0 and panel.bands:
            _draw_band(axis, one, panel.bands)
        axis.plot(
            places,
            values,
            color=colour,
            linewidth=1.7,
            marker=s.MARKERS[index % len(s.MARKERS)],
            markersize=3.6,
            label=label,
            zorder=3,
        )
        if index == 0:
            _ring(axis, one, panel)
    _limit(axis, panel)
    s.panel_title(axis, _headline(panel))
    axis.yaxis.set_major_formatter(lambda value, _: said(value, share=panel.share))


def _name_lines(axis: "Axes", count: int) -> None:
    """A legend beside the panel's title, of one row."""
    s.legend(
        axis,
        ncols=count,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.1,
        handlelength=1.5,
        columnspacing=1.2,
        handletextpad=0.4,
    )


def _draw_band(axis: "Axes", series: Series, bands: Mapping[str, Band]) -> None:
    """A step a day, so that a band does not slope between a Friday and a Saturday that it knows apart."""
    known = [(_place(dt), bands[dt]) for dt in series.dts if dt in bands]
    edges = [edge for place, _ in known for edge in (place - 0.5, place + 0.5, np.nan)]
    low, middle, high = (
        [height for _, band in known for height in (value(band), value(band), np.nan)]
        for value in (attrgetter("low"), attrgetter("expected"), attrgetter("high"))
    )
    axis.fill_between(edges, low, high, color=_BAND, linewidth=0, zorder=1)
    axis.plot(edges, middle, color=s.MUTED, linewidth=1.0, linestyle=(0, (3, 2)), zorder=2)


def _ring(axis: "Axes", series: Series, panel: Panel) -> None:
    values = {dt: value for dt, value in zip(series.dts, series.values, strict=True) if value is not None}
    days = outside(series, panel.bands)
    axis.plot(
        [_place(dt) for dt in days],
        [values[dt] for dt in days],
        "o",
        markersize=10,
        markerfacecolor="none",
        markeredgecolor=s.RED,
        markeredgewidth=2.0,
        zorder=4,
    )


def _headline(panel: Panel) -> str:
    """The panel's title, and the newest day if it is outside its band."""
    line = next(iter(panel.lines.values()), None)
    days = outside(line, panel.bands) if line is not None else []
    if line is None or not days or days[-1] != line.dts[-1]:
        return panel.title
    seen, expected = (said(value, share=panel.share) for value in (line.values[-1], panel.bands[days[-1]].expected))
    news = f"{s.day_label(days[-1])}: {seen}, expected {expected}"
    return f"{panel.title}   {news}" if panel.title else news


def _limit(axis: "Axes", panel: Panel) -> None:
    """The values decide the height: the wide band of a young series does not flatten what was seen."""
    values = np.concatenate([_numbers(one)[1] for one in panel.lines.values()] or [np.zeros(0)])
    values = values[np.isfinite(values)]
    if not len(values):
        return
    span = float(np.ptp(values)) or abs(float(values[0])) * 0.1 or 1.0
    low, high = float(values.min()), float(values.max())
    lows = [max(band.low, low - _BEYOND * span) for band in panel.bands.values()]
    highs = [min(band.high, high + _BEYOND * span) for band in panel.bands.values()]
    low, high = min([low, *lows]), max([high, *highs])
    room = 0.12 * (high - low or span)
    axis.set_ylim(0 if panel.from_zero and low >= 0 else low - room, high + room)


def _draw_marks(axis: "Axes", marks: Mapping[str, str], days: list[str], *, labelled: bool) -> None:
    shown = {dt: text for dt, text in sorted(marks.items()) if days and days[0] <= dt <= days[-1]}
    for dt, text in shown.items():
        axis.axvline(_place(dt) - 0.5, color=s.MUTED, linewidth=1.0, linestyle=(0, (1, 2)), zorder=1.5)
        if labelled and len(shown) <= _MOST_MARKS_LABELLED:
            axis.annotate(
                f" {text}",
                (_place(dt) - 0.5, 0.98),
                xycoords=("data", "axes fraction"),
                fontsize=8,
                color=s.MUTED,
                va="top",
            )


def _shade_held(axis: "Axes", held: Sequence[str]) -> None:
    for dt in held:
        axis.axvspan(_place(dt) - 0.5, _place(dt) + 0.5, color=s.RED, alpha=0.22, linewidth=0, zorder=0.2)


def _numbers(series: Series) -> "tuple[NDArray[np.int64], NDArray[np.float64]]":
    values = np.array([np.nan if value is None else value for value in series.values], dtype=np.float64)
    return s.places(series.dts), values


def _place(dt: str) -> int:
    return date.fromisoformat(dt).toordinal()


def said(value: float | None, *, share: bool = False) -> str:
    """A number for people: four digits that count, or per cent."""
    if value is None:
        return "none"
    if share:
        return f"{100 * value:.3g}%"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
