"""Pictures of one finding: what is out of bounds, by day, with its bounds; of a feature also its distribution."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.quality.judges.feature_series import FeatureSeries
from ok_ml.quality.judges.findings import Finding, number
from ok_ml.quality.judges.rules import Rule
from ok_ml.quality.plots import plot_style as s
from ok_ml.quality.plots.evaluation_plots import over_time
from ok_ml.quality.statistics import statistics_columns as q
from ok_ml.quality.statistics.bins import bin_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

BAND: Final = "#CFE3F1"
_MOST_BINS_LABELLED: Final = 14
_BEYOND: Final = 1.5  # a limit further away than so many spans of the values is named at the edge, not drawn


def number_by_day(finding: Finding, rules: Mapping[str, Rule | None], *, path: str | Path | None = None) -> bytes:
    """What was seen on each day, and the limits of the newest one.

    Parameters
    ----------
    rules
        Day -> the finding's rule on that day, ascending; None where there is none. Of words, those that are not allowed are
        counted.
    """
    newest = next((rule for rule in reversed(list(rules.values())) if rule is not None), None)
    lines = {}
    if newest is not None and not isinstance(newest.seen, tuple):
        bounds = {"least expected": newest.low, "most expected": newest.high}
        lines = {name: bound for name, bound in bounds.items() if bound is not None}
    values = [_number(rule) for rule in rules.values()]
    words = newest is not None and isinstance(newest.seen, tuple)
    name = "words that are not allowed" if words else finding.statistic.replace("_", " ")
    return over_time(
        list(rules), {name: values}, title=f"{finding.about}: {name}", lines=lines, from_zero=True, path=path
    )


def feature_picture(
    one: FeatureSeries, finding: Finding | None = None, rule: Rule | None = None, *, path: str | Path | None = None
) -> bytes:
    """A feature: its distribution against the reference, the statistic that is out of bounds by day, and its mean by day.

    Parameters
    ----------
    finding, rule
        What failed; without them the divergence from the reference is drawn.
    """
    statistic = finding.statistic if finding is not None else q.PSI
    statistic = statistic if statistic in one.numbers or statistic == q.ROWS else q.NULL_SHARE
    figure, (left, *right) = s.new_grid(f"{one.entity} / {one.feature}", _subtitle(one, finding))
    _distribution(left, one)
    _line(right[0], one, statistic, rule)
    mean_band(right[1], one)
    return s.to_png(figure, path)


def mean_band(axis: "Axes", one: FeatureSeries) -> None:
    """The mean by day within its 5 % and 95 % quantiles, and the reference's mean."""
    places = s.places(one.dts)
    axis.fill_between(places, one.numbers["q05"], one.numbers["q95"], color=BAND, linewidth=0, label="5 .. 95 %")
    axis.plot(places, one.numbers[q.MEAN], color=s.BLUE, marker="o", markersize=3.5, linewidth=1.6, label="mean")
    if one.reference is not None and one.reference[q.MEAN] is not None:
        axis.axhline(
            one.reference[q.MEAN], color=s.MUTED, linewidth=1.2, linestyle=(0, (4, 2)), label="reference's mean"
        )
    s.panel_title(axis, "mean, and where 90 % of the values are")
    s.label_days(axis, one.dts, most=6)
    s.legend(axis, ncols=3, loc="upper left", bbox_to_anchor=(0, -0.16), borderaxespad=0.0)


def overview(features: Sequence[FeatureSeries], *, title: str, path: str | Path | None = None) -> bytes:
    """Every feature as a small panel, worst first: the mean within its quantiles, the last value, PSI where there is one."""
    columns, rows = 6, max(-(-len(features) // 6), 1)
    days = features[0].dts if features else ()
    subtitle = f"{days[0]} .. {days[-1]}; " if days else "no day yet; "
    figure, axes = s.new_panels(
        title,
        f"{subtitle}mean (line) within 5 .. 95 % (band), reference (dashed); worst first",
        columns=columns,
        rows=rows,
    )
    for axis, one in zip(axes, features, strict=False):
        _small(axis, one)
    for axis in axes[len(features) :]:
        axis.set_visible(False)
    return s.to_png(figure, path)


def _small(axis: "Axes", one: FeatureSeries) -> None:
    places = s.places(one.dts)
    colour = {"block": s.RED, "warn": s.ORANGE}.get(one.state, s.BLUE)
    axis.fill_between(places, one.numbers["q05"], one.numbers["q95"], color=BAND, linewidth=0)
    axis.plot(places, one.numbers[q.MEAN], color=colour, linewidth=1.4)
    axis.plot(places[-1:], one.numbers[q.MEAN][-1:], "o", color=colour, markersize=3.5)
    if one.reference is not None and one.reference[q.MEAN] is not None:
        axis.axhline(one.reference[q.MEAN], color=s.MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
    mean, psi = one.last(q.MEAN), one.last(q.PSI)
    said = "no value" if mean is None else number(float(f"{mean:.3g}"))
    said += f"   PSI {psi:.2f}{'' if one.judged else ' not judged'}" if psi is not None else ""
    word = "" if one.state == "ok" else f"  {one.state.upper()}"
    axis.set_title(f"{one.feature}\n{said}{word}", loc="left", fontsize=7.5, color=s.INK, linespacing=1.35)
    axis.set_xticks([])
    axis.tick_params(labelsize=6.5, pad=1)
    axis.locator_params(axis="y", nbins=3)


def _subtitle(one: FeatureSeries, finding: Finding | None) -> str:
    if finding is None:
        psi = one.last(q.PSI)
        return f"{one.dts[-1]}: PSI {'none' if psi is None else f'{psi:.3f}'}"
    since = f", since {finding.since}" if finding.since and finding.since != finding.dt else ""
    return f"{finding.dt}: {finding.statistic} is {finding.seen}, expected {finding.expected}{since}"


def _distribution(axis: "Axes", one: FeatureSeries) -> None:
    labels = bin_labels(one.now[q.BIN_EDGES])
    places = np.arange(len(labels))
    rows = [(one.reference, s.REFERENCE, -0.21), (one.now, s.BLUE, 0.21)]
    for row, colour, offset in rows:
        if row is not None:
            shares = np.asarray(row[q.BIN_COUNTS]) / max(row[q.ROWS], 1)
            name = (
                f"reference ({row[q.ROWS]:,} rows)" if row is one.reference else f"{one.dts[-1]} ({row[q.ROWS]:,} rows)"
            )
            axis.bar(places + offset, shares, 0.42, color=colour, label=name)
    step = -(-len(labels) // _MOST_BINS_LABELLED)
    axis.set_xticks(places[::step], labels[::step], rotation=45, ha="right", rotation_mode="anchor", fontsize=7.5)
    axis.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    axis.set_ylim(0, axis.get_ylim()[1] * 1.15)
    s.panel_title(axis, "share of rows by value")
    s.legend(axis, loc="upper right")


def _line(axis: "Axes", one: FeatureSeries, statistic: str, rule: Rule | None) -> None:
    places = s.places(one.dts)
    values = np.asarray(one.rows, dtype=np.float64) if statistic == q.ROWS else one.numbers[statistic]
    axis.plot(places, values, color=s.RED if rule is not None else s.BLUE, marker="o", markersize=3.5, linewidth=1.6)
    s.panel_title(axis, statistic.upper() if statistic in (q.PSI, q.JS) else statistic.replace("_", " "))
    far = []
    for word, limit in (("least", rule.low), ("most", rule.high)) if rule is not None else ():
        if limit is None or abs(limit) > 1e30:
            continue
        if _is_near(limit, values):
            axis.axhline(limit, color=s.INK, linewidth=1.2, linestyle=(0, (4, 2)))
            axis.annotate(
                f"{word} allowed {number(limit)} ",
                (1, limit),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                fontsize=8,
                color=s.INK,
            )
        else:
            far.append(f"{word} allowed: {number(limit)}")
    if far:
        axis.annotate("; ".join(far), (1, 1.03), xycoords="axes fraction", ha="right", fontsize=8, color=s.INK)
    s.label_days(axis, one.dts, most=6)


def _is_near(limit: float, values: "NDArray[np.float64]") -> bool:
    known = values[np.isfinite(values)]
    if not len(known):
        return True
    low, high = float(known.min()), float(known.max())
    room = _BEYOND * max(high - low, abs(high) * 0.5, 1e-9)
    return low - room <= limit <= high + room


def _number(rule: Rule | None) -> float | None:
    if rule is None:
        return None
    return float(len(set(rule.seen) - set(rule.allowed))) if isinstance(rule.seen, tuple) else rule.seen
