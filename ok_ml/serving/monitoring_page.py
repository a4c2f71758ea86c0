"""Pages of the numbers by day: all that is watched of an experiment, worst first, and one feature in full."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import quote, urlencode

from ok_ml.quality.statistics import statistics_columns as q
from ok_ml.quality.statistics.feature_series import FeatureBoard, FeatureSeries
from ok_ml.serving.health import State
from ok_ml.serving.html import Markup, breakable, tag
from ok_ml.serving.layout import Neighbours, facts, notice, page
from ok_ml.serving.monitoring import Line, MonitoringView, NumbersByDay
from ok_ml.serving.sparks import Numbers, spark

PATH: Final = "/monitoring"
_STATES: Final[dict[str, State]] = {"ok": "ok", "warn": "warn", "block": "fail"}
_WORDS: Final = {"ok": "fine", "warn": "warning", "block": "blocks"}
_TITLES: Final = {
    "event_statistics": "The log of each day", "product_metrics": "What people do", "prediction_statistics": "Lists",
    "embedding_statistics": "Vectors", "online_metrics": "What was served against what people did",
}  # fmt: skip
_FIRST_LINES: Final = 12  # of a table of numbers; the others are folded
_TALL: Final = 110.0
_DAYS_NAMED: Final = 5


def monitoring_page(view: MonitoringView, *, neighbours: Neighbours) -> str:
    """Everything that is watched of one experiment."""
    content = [
        tag(
            "div",
            tag("h1", f"Monitoring of {view.experiment}"),
            tag(
                "p",
                f"Every number by day, worst first; the newest day is {_newest(view.board)}.{_said_held(view)}",
                class_="lead",
            ),
        ),
        _switch(view),
        notice("fail", view.story) if view.story is not None else None,
        *[
            notice("fail" if blocks else "ok" if "rules hold" in text else "warn", text)
            for blocks, text in view.headlines
        ],
        _features(view),
        *[_table(view, table) for table in view.tables],
    ]
    shown = [found for found in content if found is not None]
    return page(f"Monitoring of {view.experiment}", *shown, current=PATH, neighbours=neighbours, wide=True)


def feature_page(view: MonitoringView, one: FeatureSeries, *, neighbours: Neighbours) -> str:
    """One feature: its series, large, and its numbers by day."""
    content = [
        tag(
            "div",
            tag(
                "p",
                tag("a", f"All numbers of {view.experiment}", href=f"{PATH}/{quote(view.experiment)}"),
                class_="small",
            ),
            tag("h1", breakable(one.feature)),
            _pill(one),
        ),
        notice(_STATES[one.state], replace(one.finding, look="").message) if one.finding is not None else None,
        tag("section", tag("h2", "Newest day"), _facts(one), class_="card"),
        tag(
            "div",
            _mean(view, one, tall=True),
            _psi(view, one, tall=True),
            _nulls(view, one, tall=True),
            class_="charts",
        ),
        tag("section", tag("h2", "By day", id="by-day"), _by_day(view, one), class_="card"),
    ]
    return page(
        one.feature, *[found for found in content if found is not None], current=PATH, neighbours=neighbours, wide=True
    )


def _newest(board: FeatureBoard) -> str:
    return board.dts[-1] if board.dts else "not there yet"


def _switch(view: MonitoringView) -> Markup | None:
    if len(view.experiments) < 2:
        return None
    chips = [
        tag(
            "li",
            tag(
                "a",
                name,
                class_="chip",
                href=f"{PATH}/{quote(name)}",
                aria_current="true" if name == view.experiment else None,
            ),
        )
        for name in view.experiments
    ]
    return tag("div", tag("span", "Experiments:", class_="muted small"), tag("ul", *chips), class_="examples")


# -- features --------------------------------------------------------------------------------------------------------


def _features(view: MonitoringView) -> Markup:
    if not view.board.features:
        return notice("", "No statistics of features yet.", f"`ok-ml run {view.experiment}` makes the first ones.")
    names = ("State", "Feature", "Mean, and where 90 % of the values are", "PSI against the reference", "Nulls")
    head = tag("thead", tag("tr", *[tag("th", name, scope="col") for name in names]))
    rows = [_row(view, one) for one in view.board.features]
    table = tag("table", head, tag("tbody", *rows), class_="series")
    return tag(
        "section",
        tag("h2", f"{len(rows)} features", id="features"),
        tag("div", table, class_="table", tabindex=0, role="region", aria_labelledby="features"),
        class_="card",
    )


def _row(view: MonitoringView, one: FeatureSeries) -> Markup:
    link = f"{PATH}/{quote(view.experiment)}?{urlencode({'feature': one.anchor})}"
    return tag(
        "tr",
        tag("td", _pill(one)),
        tag(
            "td",
            tag("a", breakable(one.feature), href=link),
            tag("div", one.entity, class_="muted small"),
            class_="name",
        ),
        tag("td", _mean(view, one)),
        tag("td", _psi(view, one)),
        tag("td", _nulls(view, one)),
        id=one.anchor,
    )


def _pill(one: FeatureSeries) -> Markup:
    return tag("span", _WORDS[one.state], class_=f"state s-{_STATES[one.state]}")


def _mean(view: MonitoringView, one: FeatureSeries, *, tall: bool = False) -> Markup:
    low, high = (_numbers(one, name) for name in ("q05", "q95"))
    reference = one.reference[q.MEAN] if one.reference is not None else None
    levels = [("reference", float(reference))] if reference is not None else []
    said = f"{_said(one.last(q.MEAN))}" + (f", reference {_said(reference)}" if reference is not None else "")
    return _figure(view, "Mean", said, _numbers(one, q.MEAN), band=(low, high), levels=levels, tall=tall, one=one)


def _psi(view: MonitoringView, one: FeatureSeries, *, tall: bool = False) -> Markup:
    psi, js, limits = one.last(q.PSI), one.last(q.JS), view.psi_limits
    said = "not comparable" if psi is None else f"{psi:.3f}" + ("" if js is None else f", Jensen-Shannon {js:.3f}")
    said += "" if one.judged else "; not judged"
    levels = [("warn", limits[0]), ("fail", limits[1])]
    return _figure(
        view, "PSI", said, _numbers(one, q.PSI), levels=levels, zero=True, reach=limits[0], tall=tall, one=one
    )


def _nulls(view: MonitoringView, one: FeatureSeries, *, tall: bool = False) -> Markup:
    share = one.last(q.NULL_SHARE)
    return _figure(
        view, "Nulls", _percent(share), _numbers(one, q.NULL_SHARE), zero=True, reach=0.01, tall=tall, one=one
    )


def _figure(
    view: MonitoringView,
    title: str,
    said: str,
    values: Numbers,
    *,
    one: FeatureSeries,
    band: tuple[Numbers, Numbers] | None = None,
    levels: Sequence[tuple[str, float]] = (),
    zero: bool = False,
    reach: float | None = None,
    tall: bool = False,
) -> Markup:
    """A line and its newest number in words; the large one also says from when to when, and between which values."""
    state, held = _STATES[one.state], _held(view, one.dts)
    if not tall:
        drawn = spark(values, band=band, levels=levels, zero=zero, reach=reach, state=state, marked=held)
        return tag("div", drawn, tag("span", said, class_="last"), class_="spark-cell")
    known = [value for value in values if value is not None]
    span = f"{one.dts[0]} .. {one.dts[-1]}" + (
        f", between {_said(min(known))} and {_said(max(known))}" if known else ""
    )
    return tag(
        "section",
        tag("h2", title),
        tag("p", said, class_="last"),
        spark(
            values, band=band, levels=levels, zero=zero, reach=reach, height=_TALL, width=320, state=state, marked=held
        ),
        tag("p", span, class_="muted small"),
        class_="card",
    )


def _facts(one: FeatureSeries) -> Markup:
    wanted = {
        "Mean": q.MEAN,
        "Deviation": q.STD,
        "Least": q.MIN,
        "5 %": "q05",
        "Median": "q50",
        "95 %": "q95",
        "Most": q.MAX,
    }
    numbers: dict[str, str | Markup | None] = {word: _said(one.last(name)) for word, name in wanted.items()}
    return facts(
        {"Day": one.dts[-1], "Rows": f"{one.rows[-1]:,}", **numbers, "Nulls": _percent(one.last(q.NULL_SHARE))}
    )


def _by_day(view: MonitoringView, one: FeatureSeries) -> Markup:
    names = ("Day", "Rows", "Mean", "5 %", "95 %", "Nulls", "PSI", "JS")
    head = tag("thead", tag("tr", *[tag("th", name, scope="col") for name in names]))
    rows = []
    for place in reversed(range(len(one.dts))):
        mean, low, high, nulls, psi, js = (
            _value(one.numbers[name][place]) for name in (q.MEAN, "q05", "q95", q.NULL_SHARE, q.PSI, q.JS)
        )
        cells = (_said(mean), _said(low), _said(high), _percent(nulls), _said(psi), _said(js))
        rows.append(
            tag(
                "tr",
                tag("th", one.dts[place], " ", _pill_held(view, one.dts[place]), scope="row"),
                tag("td", f"{one.rows[place]:,}"),
                *[tag("td", cell) for cell in cells],
            )
        )
    table = tag("table", head, tag("tbody", *rows), class_="numbers")
    return tag("div", table, class_="table", tabindex=0, role="region", aria_labelledby="by-day")


# -- tables of numbers -------------------------------------------------------------------------------------------------


def _table(view: MonitoringView, found: NumbersByDay) -> Markup:
    title = f"{_TITLES.get(found.table, found.table)}: {found.scope}/{found.table}"
    anchor = f"{found.scope}-{found.table}"
    shown = tag(
        "table", _head(), tag("tbody", *[_line(view, one) for one in found.lines[:_FIRST_LINES]]), class_="series"
    )
    rest = found.lines[_FIRST_LINES:]
    more = None
    if rest:
        table = tag("table", _head(), tag("tbody", *[_line(view, one) for one in rest]), class_="series")
        more = tag(
            "details",
            tag("summary", f"and {len(rest)} more"),
            tag("div", table, class_="table", tabindex=0, role="region", aria_labelledby=anchor),
        )
    return tag(
        "section",
        tag("h2", title, id=anchor),
        tag("div", shown, class_="table", tabindex=0, role="region", aria_labelledby=anchor),
        more,
        class_="card",
    )


def _head() -> Markup:
    return tag(
        "thead",
        tag("tr", *[tag("th", name, scope="col") for name in ("Number", "By day", "Newest", "Expected", "Score")]),
    )


def _line(view: MonitoringView, one: Line) -> Markup:
    series, newest = one.series, one.newest
    outside = newest is not None and newest.outside
    band = newest.band if newest is not None else None
    expected = "too little history" if band is None else f"{_said(band.low)} .. {_said(band.high)}"
    levels = [("limit", band.low), ("limit", band.high)] if band is not None else []
    metric = tag("div", f"of {series.name.group}", class_="muted small") if series.name.group else None
    value = series.values[-1] if series.values else None
    return tag(
        "tr",
        tag("td", breakable(series.name.metric), metric, class_="name"),
        tag(
            "td", spark(series.values, levels=levels, state="fail" if outside else "ok", marked=_held(view, series.dts))
        ),
        tag("td", _said(value), tag("div", series.dts[-1], class_="muted small"), class_="age"),
        tag("td", expected, class_="age"),
        tag(
            "td",
            "" if band is None else tag("span", f"{band.score:+.1f}", class_="state s-fail" if outside else None),
            class_="age",
        ),
    )


# -- days that were held back ------------------------------------------------------------------------------------------


def _held(view: MonitoringView, dts: Sequence[str]) -> list[int]:
    """Places of the days that were held back."""
    return [place for place, dt in enumerate(dts) if dt in view.blocked]


def _said_held(view: MonitoringView) -> str:
    days = sorted(view.blocked)
    if not days:
        return ""
    named = ", ".join(days[-_DAYS_NAMED:])
    return f" Shaded days were held back: {f'{len(days)} days, the newest ' if len(days) > _DAYS_NAMED else ''}{named}."


def _pill_held(view: MonitoringView, dt: str) -> Markup | None:
    return tag("span", "held back", class_="state s-fail") if dt in view.blocked else None


# -- words -------------------------------------------------------------------------------------------------------------


def _numbers(one: FeatureSeries, name: str) -> list[float | None]:
    return [_value(value) for value in one.numbers[name]]


def _value(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _said(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.2%}"
