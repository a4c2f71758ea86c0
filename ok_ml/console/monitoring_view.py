"""How the numbers by day are shown: all that is monitored of an experiment, worst first, and one feature in full."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ok_ml.console.health import State
from ok_ml.console.monitoring import Line, MonitoringView
from ok_ml.console.render import number, percent
from ok_ml.console.sparks import HEIGHT, WIDTH, Numbers, Spark, spark
from ok_ml.quality.judges.feature_series import FeatureSeries
from ok_ml.quality.statistics import statistics_columns as q

STATES: Final[dict[str, State]] = {"ok": "ok", "warn": "warn", "block": "fail"}
STATE_WORDS: Final = {"ok": "healthy", "warn": "warning", "block": "blocking"}
TABLE_TITLES: Final = {
    "event_statistics": "Event log",
    "product_metrics": "Product metrics",
    "prediction_statistics": "Predictions",
    "embedding_statistics": "Embeddings",
    "online_metrics": "Online metrics of the served lists",
}
_FACTS: Final = {"Mean": q.MEAN, "Std": q.STD, "Min": q.MIN, "5 %": "q05", "Median": "q50", "95 %": "q95", "Max": q.MAX}
_BY_DAY: Final = {"Mean": q.MEAN, "5 %": "q05", "95 %": "q95", "Nulls": q.NULL_SHARE, "PSI": q.PSI, "JS": q.JS}
BY_DAY_HEAD: Final = ("Day", "Rows", *_BY_DAY)
_DAYS_NAMED: Final = 5


@dataclass(frozen=True)
class Figure:
    """One statistic by day: its newest value in words, its line, and between which values it moved."""

    title: str
    text: str
    spark: Spark
    span: str = ""


@dataclass(frozen=True)
class FeatureRow:
    """One feature in the table, or, with its numbers by day, on its own page."""

    one: FeatureSeries
    figures: list[Figure]
    message: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    days: list[tuple[str, bool, list[str]]] = field(default_factory=list)

    @property
    def state(self) -> State:
        """Of its newest verdict."""
        return STATES[self.one.state]

    @property
    def word(self) -> str:
        """The state in a word."""
        return STATE_WORDS[self.one.state]


@dataclass(frozen=True)
class LineRow:
    """One number by day: where it is expected, and how far outside it is."""

    line: Line
    spark: Spark
    outside: bool


def feature_rows(view: MonitoringView) -> list[FeatureRow]:
    """All features, worst first."""
    return [FeatureRow(one, _figures(view, one)) for one in view.board.features]


def feature_in_full(view: MonitoringView, one: FeatureSeries) -> FeatureRow:
    """One feature: its lines, large, and its numbers by day, newest first."""
    facts = {"Day": one.dts[-1], "Rows": f"{one.rows[-1]:,}"}
    facts |= {word: number(one.last(name)) for word, name in _FACTS.items()}
    facts["Nulls"] = percent(one.last(q.NULL_SHARE))
    days = [
        (one.dts[place], one.dts[place] in view.blocked, [f"{one.rows[place]:,}", *_cells(one, place)])
        for place in reversed(range(len(one.dts)))
    ]
    message = replace(one.finding, look="").message if one.finding is not None else ""
    return FeatureRow(one, _figures(view, one, width=320.0, height=110.0), message, facts, days)


def _cells(one: FeatureSeries, place: int) -> list[str]:
    values = {name: _value(one.numbers[name][place]) for name in _BY_DAY.values()}
    return [percent(value) if name == q.NULL_SHARE else number(value) for name, value in values.items()]


def line_rows(view: MonitoringView, lines: Sequence[Line]) -> list[LineRow]:
    """The numbers of one table."""
    return [_line_row(view, line) for line in lines]


def _line_row(view: MonitoringView, line: Line) -> LineRow:
    newest, series = line.newest, line.series
    outside = newest is not None and newest.outside
    levels = [("limit", newest.band.low), ("limit", newest.band.high)] if newest is not None else []
    state, blocked = "fail" if outside else "ok", _blocked(view, series.dts)
    return LineRow(line, spark(series.values, levels=levels, state=state, marked=blocked), outside)


def _figures(view: MonitoringView, one: FeatureSeries, width: float = WIDTH, height: float = HEIGHT) -> list[Figure]:
    """Mean with its 90 % band, PSI against the limits, and nulls."""
    size: dict[str, Any] = {"width": width, "height": height, "marked": _blocked(view, one.dts)}
    size["state"] = STATES[one.state]
    mean, psi, nulls = (_numbers(one, name) for name in (q.MEAN, q.PSI, q.NULL_SHARE))
    reference = float(one.reference[q.MEAN]) if one.reference and one.reference[q.MEAN] is not None else None
    said = number(one.last(q.MEAN)) + ("" if reference is None else f", reference {number(reference)}")
    levels, (warn, fail) = [] if reference is None else [("reference", reference)], view.psi_limits
    limits = [("warn", warn), ("fail", fail)]
    band = (_numbers(one, "q05"), _numbers(one, "q95"))
    return [
        Figure("Mean", said, spark(mean, band=band, levels=levels, **size), _span(one, mean)),
        Figure("PSI", _psi(one), spark(psi, levels=limits, zero=True, reach=warn, **size), _span(one, psi)),
        Figure(
            "Nulls", percent(one.last(q.NULL_SHARE)), spark(nulls, zero=True, reach=0.01, **size), _span(one, nulls)
        ),
    ]


def _psi(one: FeatureSeries) -> str:
    psi, js = one.last(q.PSI), one.last(q.JS)
    said = "not comparable" if psi is None else f"{psi:.3f}" + ("" if js is None else f", Jensen-Shannon {js:.3f}")
    return said if one.judged else f"{said}; not judged"


def _span(one: FeatureSeries, values: Numbers) -> str:
    known = [value for value in values if value is not None]
    between = f", between {number(min(known))} and {number(max(known))}" if known else ""
    return f"{one.dts[0]} .. {one.dts[-1]}{between}"


def _blocked(view: MonitoringView, dts: Sequence[str]) -> list[int]:
    """Places of the days that were blocked."""
    return [place for place, dt in enumerate(dts) if dt in view.blocked]


def blocked_days(view: MonitoringView) -> str:
    """The newest blocked days in words; empty if there is none."""
    days = sorted(view.blocked)
    more = f"{len(days)} days, the newest " if len(days) > _DAYS_NAMED else ""
    return more + ", ".join(days[-_DAYS_NAMED:])


def _numbers(one: FeatureSeries, name: str) -> list[float | None]:
    return [_value(value) for value in one.numbers[name]]


def _value(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
