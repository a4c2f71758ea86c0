"""Plots of runs, models and features as PNG; each function returns the bytes and writes them to `path` if given."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ok_ml.quality.judges.drift import BLOCK, OK, WARN
from ok_ml.quality.plots import plot_style as s
from ok_ml.quality.ranking.bootstrap import Interval
from ok_ml.quality.ranking.ranking_evaluation import ORACLE, ORACLE_TASTES, POPULARITY, EvaluationReport, Score
from ok_ml.quality.statistics import statistics_columns as q

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

_VERDICT_COLOURS = {OK: s.BLUE, WARN: s.ORANGE, BLOCK: s.RED}
_BASELINE_COLOURS = {POPULARITY: s.GREY, ORACLE: s.GREEN, ORACLE_TASTES: s.GREEN}
_OTHER_COLOURS = (s.BLUE, s.SKY, s.ORANGE, s.PINK, s.RED)
_MOST_BLOCKS_DRAWN = 4  # a feature that is broken altogether must not flatten all others


def learning_curve(
    series: Mapping[str, Sequence[float]],
    *,
    metric: str,
    best_iteration: int | None = None,
    path: str | Path | None = None,
) -> bytes:
    """A metric after each iteration (from 1), one line a data set; `best_iteration` is marked."""
    figure, (axis,) = s.new_figure(f"Learning curve: {metric}", "by boosting iteration")
    for (name, values), colour in zip(series.items(), s.PALETTE, strict=False):
        axis.plot(np.arange(1, len(values) + 1), values, color=colour, linewidth=1.8, label=name)
        if best_iteration and best_iteration <= len(values):
            axis.plot(best_iteration, values[best_iteration - 1], "o", color=colour, markersize=6)
    if best_iteration:
        axis.axvline(best_iteration, color=s.MUTED, linewidth=1, linestyle=(0, (3, 3)))
        axis.annotate(
            f" best: {best_iteration}",
            (best_iteration, 0.02),
            xycoords=("data", "axes fraction"),
            fontsize=9,
            color=s.MUTED,
        )
    axis.set_xlabel("iteration")
    axis.set_ylabel(metric)
    s.legend(axis)
    return s.to_png(figure, path)


def evaluation_bars(
    report: EvaluationReport, metrics: Sequence[str], *, stratum: str = "", path: str | Path | None = None
) -> bytes:
    """A panel a metric, a bar a model that has it, with its 95 % interval; the first metric also of a stratum, if there is one."""
    models, unknown = report.models, Interval(math.nan, math.nan, math.nan)
    told = {(one.metric, one.model): one.value for one in report.scores}
    panels = {metric: [told.get((metric, model), unknown) for model in models] for metric in metrics}
    of_stratum = {one.model: one.value for one in report.strata if (one.segment, one.metric) == (stratum, metrics[0])}
    if of_stratum:
        panels[f"{metrics[0]}, {stratum}"] = [of_stratum[model] for model in models]
    figure, axes = s.new_figure(
        "Offline evaluation",
        f"{report.evaluated_users:,} users with a relevant source; bars show 95 % intervals",
        width=2.2 + 2.6 * len(panels),
        height=1.6 + 0.42 * len(models),
        columns=len(panels),
        share_y=True,
    )
    for axis, (title, scores) in zip(axes, panels.items(), strict=True):
        estimates = np.array([score.estimate for score in scores])
        errors = np.array([[x.estimate - x.low for x in scores], [x.high - x.estimate for x in scores]])
        axis.barh(models, estimates, color=list(_colours(models).values()), height=0.62)
        axis.errorbar(estimates, range(len(models)), xerr=errors, fmt="none", ecolor=s.INK, elinewidth=1.2, capsize=3)
        ends = estimates + np.nan_to_num(errors[1])
        room = float(np.nanmax(ends)) or 1.0
        for row, (estimate, end) in enumerate(zip(estimates, ends, strict=True)):
            if math.isnan(estimate):
                continue
            axis.text(end + 0.02 * room, row, f"{estimate:.3f}", va="center", fontsize=9, color=s.INK)
        axis.set_xlim(0, room * 1.22)
        s.panel_title(axis, title)
        s.ticks_up_to(axis, x=room)
        s.horizontal(axis)
    axes[0].invert_yaxis()
    return s.to_png(figure, path)


def segment_chart(
    report: EvaluationReport,
    metric: str,
    models: Sequence[str] | None = None,
    *,
    path: str | Path | None = None,
) -> bytes:
    """One metric in every segment: a marker and an interval a model; the number of users stands at the segment."""
    models = report.models if models is None else models
    scores = [score for score in report.segments if score.metric == metric and score.model in models]
    segments = sorted({score.segment for score in scores})
    figure, (axis,) = s.new_figure(
        f"{metric} by segment",
        "95 % intervals; in brackets: users with a relevant source",
        height=1.7 + 0.5 * max(len(segments), 2),
    )
    colours = _colours(models)
    for index, model in enumerate(models):
        mine = {score.segment: score for score in scores if score.model == model}
        offset = (index - (len(models) - 1) / 2) * 0.24
        look: dict[str, Any] = {"color": colours[model], "fmt": s.MARKERS[index % len(s.MARKERS)], "label": model}
        _segment_points(axis, [mine[name] for name in segments], offset, look)
    users = {score.segment: score.value.users for score in scores}
    axis.set_yticks(range(len(segments)), [f"{name} ({users[name]:,})" for name in segments])
    axis.set_ylim(len(segments) - 0.5, -0.5)
    axis.set_xlim(left=0)
    axis.set_xlabel(metric)
    s.horizontal(axis)
    s.legend(axis, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return s.to_png(figure, path)


def feature_importance(
    names: Sequence[str], gains: "ArrayLike", *, top: int = 20, path: str | Path | None = None
) -> bytes:
    """The features that the model gained most from, as shares of the total gain."""
    values = np.asarray(gains, dtype=np.float64)
    shares = values / values.sum() if values.sum() else values
    order = np.argsort(-shares, kind="stable")[:top]
    rest = 1.0 - shares[order].sum() if values.sum() else 0.0
    subtitle = f"share of the total gain; the other {len(values) - len(order)} features: {rest:.1%}"
    figure, (axis,) = s.new_figure("Feature importance", subtitle, height=1.3 + 0.27 * max(len(order), 3))
    bars = axis.barh([names[index] for index in order], shares[order], color=s.BLUE, height=0.68)
    axis.bar_label(bars, labels=[f" {share:.1%}" for share in shares[order]], fontsize=8.5, color=s.INK)
    axis.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axis.set_xlim(0, float(shares[order].max(initial=0.01)) * 1.12)
    axis.set_ylim(len(order) - 0.4, -0.6)
    s.horizontal(axis)
    return s.to_png(figure, path)


def psi_chart(
    drift: "pa.Table", *, psi_warn: float, psi_block: float, top: int = 15, path: str | Path | None = None
) -> bytes:
    """The features that drifted most, with the lines from which drift warns and blocks; a giant's bar is cut short."""
    rows = [row for row in drift.to_pylist() if row[q.PSI] is not None]
    rows = sorted(rows, key=lambda row: -row[q.PSI])[:top]
    subtitle = f"{len(rows)} worst of {drift.num_rows} features; PSI beyond what sampling explains"
    figure, (axis,) = s.new_figure("Drift against the reference", subtitle, height=1.6 + 0.27 * max(len(rows), 3))
    room = min(max([row[q.PSI] for row in rows] + [psi_block * 1.3]), psi_block * _MOST_BLOCKS_DRAWN)
    values = [min(row[q.PSI], room) for row in rows]
    bars = axis.barh(range(len(rows)), values, color=[_VERDICT_COLOURS[row[q.VERDICT]] for row in rows], height=0.68)
    labels = [f" {row[q.PSI]:.3f}{'' if row[q.VERDICT] == OK else '  ' + row[q.VERDICT].upper()}" for row in rows]
    background = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
    axis.bar_label(bars, labels=labels, fontsize=8.5, color=s.INK, bbox=background, padding=2)
    axis.set_yticks(range(len(rows)), [f"{row[q.ENTITY]} / {row[q.FEATURE]}" for row in rows])
    axis.set_ylim(max(len(rows), 3) - 0.4, -1.3)
    axis.set_xlim(0, room * 1.2)
    for limit, name, colour, side in ((psi_warn, "warn", s.ORANGE, "right"), (psi_block, "block", s.RED, "left")):
        axis.axvline(limit, color=colour, linewidth=1.4, linestyle=(0, (4, 2)))
        axis.text(limit, -0.8, f" {name} {limit:g} ", fontsize=8.5, color=s.INK, va="center", ha=side)
    s.ticks_up_to(axis, x=room)
    axis.set_xlabel("PSI")
    s.horizontal(axis)
    return s.to_png(figure, path)


def over_time(
    days: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    title: str,
    unit: str = "",
    lines: Mapping[str, float] | None = None,
    from_zero: bool = False,
    path: str | Path | None = None,
) -> bytes:
    """Numbers by day, one line each; weekends of daily data are shaded.

    Parameters
    ----------
    days
        ISO dates, ascending.
    series
        Name -> a number a day; None leaves a gap.
    lines
        Name -> height of a horizontal line: a limit, a target.
    from_zero
        Whether the axis starts at zero: for counts.
    """
    subtitle = f"{days[0]} .. {days[-1]}{'; weekends shaded' if s.is_daily(days) else ''}" if days else "no day yet"
    figure, (axis,) = s.new_figure(title, subtitle)
    s.shade_weekends(axis, days)
    for index, (name, values) in enumerate(series.items()):
        colour, marker = s.PALETTE[index % len(s.PALETTE)], s.MARKERS[index % len(s.MARKERS)]
        numbers = [np.nan if value is None else value for value in values]
        axis.plot(s.places(days), numbers, linewidth=1.8, markersize=4.5, label=name, color=colour, marker=marker)
    for name, height in (lines or {}).items():
        axis.axhline(height, color=s.MUTED, linewidth=1.2, linestyle=(0, (4, 2)))
        axis.annotate(
            name, (1, height), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8.5, color=s.INK
        )
    if from_zero:
        axis.set_ylim(bottom=min(axis.get_ylim()[0], 0))
    s.label_days(axis, days)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}")
    axis.set_ylabel(unit)
    s.legend(axis, ncols=max(min(len(series), 4), 1), loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1)
    return s.to_png(figure, path)


def score_distribution(
    scores: "Mapping[str, ArrayLike]",
    *,
    title: str = "Scores of the served predictions",
    path: str | Path | None = None,
) -> bytes:
    """Histograms of scores on common bins, as shares, one a name (a day, a version, a segment)."""
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in scores.items()}
    everything = np.concatenate(list(arrays.values()))
    edges = np.histogram_bin_edges(everything[np.isfinite(everything)], bins=50)
    figure, (axis,) = s.new_figure(title, "share of all scores in 50 equal bins")
    for (name, values), colour in zip(arrays.items(), s.PALETTE, strict=False):
        shares = np.histogram(values, edges)[0] / max(len(values), 1)
        label = f"{name} (n {len(values):,}, median {np.median(values):.3g})" if len(values) else name
        axis.stairs(shares, edges, color=colour, fill=True, alpha=0.18)
        axis.stairs(shares, edges, color=colour, linewidth=1.8, label=label)
    axis.yaxis.set_major_formatter(lambda share, _: f"{share:.1%}")
    axis.set_xlabel("score")
    axis.set_ylim(bottom=0)
    s.legend(axis)
    return s.to_png(figure, path)


def reliability_chart(
    curves: "Mapping[str, NDArray[np.float64]]", *, told: str = "", path: str | Path | None = None
) -> bytes:
    """Probabilities against what came, a panel a name, each of a `Reliability.curve`."""
    figure, axes = s.new_figure("Probabilities against what came", told, columns=len(curves), width=4.4 * len(curves))
    for axis, (name, curve) in zip(axes, curves.items(), strict=True):
        draw_reliability(axis, curve)
        axis.set_xlabel("mean probability of a bin")
        axis.set_ylabel("share with a reaction")
        s.panel_title(axis, name)
    return s.to_png(figure, path)


def draw_reliability(axis: "Axes", curve: "NDArray[np.float64]") -> None:
    """Points of bins with 95 % intervals beside the diagonal, on which promise and outcome are equal."""
    promised, came, half = curve
    top = 1.05 * float(max(promised.max(initial=0.0), (came + half).max(initial=0.0))) or 1.0
    axis.plot([0, top], [0, top], color=s.MUTED, linewidth=1, linestyle=(0, (3, 3)))
    axis.errorbar(
        promised, came, yerr=half, fmt="o-", color=s.BLUE, linewidth=1.4, markersize=5, elinewidth=1.2, capsize=3
    )
    axis.set_xlim(0, top)
    axis.set_ylim(0, top)


def _segment_points(axis: "Axes", scores: Sequence[Score], offset: float, look: dict[str, Any]) -> None:
    estimates = np.array([score.value.estimate for score in scores])
    errors = [[x.value.estimate - x.value.low for x in scores], [x.value.high - x.value.estimate for x in scores]]
    axis.errorbar(
        estimates, np.arange(len(scores)) + offset, xerr=errors, markersize=6.5, elinewidth=1.6, capsize=3, **look
    )


def _colours(models: Sequence[str]) -> dict[str, str]:
    """The first model is blue, popularity grey and an oracle green; too many others to tell apart by colour are alike."""
    others = [model for model in models if model not in _BASELINE_COLOURS]
    few = len(others) <= len(_OTHER_COLOURS)
    colours = {model: _OTHER_COLOURS[index if few else min(index, 1)] for index, model in enumerate(others)}
    return {model: {**_BASELINE_COLOURS, **colours}[model] for model in models}
