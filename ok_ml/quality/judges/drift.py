"""Drift of features: each against the reference that its bins were frozen from, and what the limits of the YAML make of it.

`checks.drift` of an experiment is read here alone: whatever it makes of a divergence or of a jump is a rule with a severity.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml.config.models import DriftConfig, Severity
from ok_ml.errors import DataError
from ok_ml.quality.judges.findings import Finding
from ok_ml.quality.judges.rules import Rule
from ok_ml.quality.statistics import statistics_columns as q
from ok_ml.quality.statistics.bins import FeatureKey, FrozenBins, bin_labels
from ok_ml.quality.statistics.divergence import jensen_shannon, js_beyond_chance, psi, psi_noise

if TYPE_CHECKING:
    import pyarrow as pa

OK: Final = "ok"
WARN: Final = "warn"
BLOCK: Final = "block"
JUMP: Final = "jump"  # statistic: the smaller PSI against the day before and the week before
WAY_OUT: Final = "if it is right, checks.drift.not_judged: [{}] takes it out"
_SEVERITY: Final = {BLOCK: 0, WARN: 1, OK: 2}
_ROWS_A_BIN: Final = 5
_USER, _PAIR = "user", "pair"
_REFERENCE_ADVICE: Final = "the model was trained without it: train again, or take it out of the feature table"
_DRIFT_ADVICE: Final = (
    "see `moved` in the drift table and the plot of its distribution; look for a change in the log of that day"
)


def _limits(config: DriftConfig) -> list[tuple[str, Severity, float]]:
    """Statistic, severity and limit: what of `checks.drift` is set."""
    said: tuple[tuple[str, Severity, float | None], ...] = (
        (q.PSI, "block", config.psi_block),
        (q.PSI, "warn", config.psi_warn),
        (q.JS, "block", config.js_block),
        (q.JS, "warn", config.js_warn),
    )
    return [(statistic, severity, limit) for statistic, severity, limit in said if limit is not None]


def _beyond_chance(row: Mapping[str, Any]) -> dict[str, float | None]:
    """What the limits are held against: a drift table's PSI as it is, and its JS without what sampling explains."""
    return {q.PSI: row[q.PSI], q.JS: js_beyond_chance(row[q.JS], row[q.PSI_NOISE])}


# -- every feature against the reference -----------------------------------------------------------------------------


def drift_table(
    current: "pa.Table", reference: "pa.Table", bins: FrozenBins, config: DriftConfig | None = None
) -> "pa.Table":
    """Every feature of one day judged against the reference.

    Parameters
    ----------
    current, reference
        Tables of `feature_statistics`, counted on `bins`; one row a feature each.
    bins
        The frozen bins of the reference.
    config
        Thresholds on `psi` and `js` beyond chance.

    Returns
    -------
    pa.Table
        Schema `drift_schema`, worst first. `verdict` is ok, warn or block. A feature that is missing today, or has no
        row, blocks; one that the reference does not know warns. `moved` says which bin changed most.

    Raises
    ------
    DataError
        A histogram was counted on other edges than those of `bins`.
    """
    import pyarrow as pa

    limits = config or DriftConfig()
    now, then = (_by_feature(table, bins) for table in (current, reference))
    fewer = _rows_a_user(now), _rows_a_user(then)
    rows = [_judge(key, now.get(key), then.get(key), limits, fewer) for key in sorted(now.keys() | then.keys())]
    rows.sort(key=lambda row: (_SEVERITY[row[q.VERDICT]], -(row.get(q.PSI) or 0.0), row[q.ENTITY], row[q.FEATURE]))
    return pa.Table.from_pylist(rows, schema=q.drift_schema())


def _judge(
    key: FeatureKey,
    now: dict[str, Any] | None,
    then: dict[str, Any] | None,
    limits: DriftConfig,
    fewer: tuple[float, float],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        q.ENTITY: key[0],
        q.FEATURE: key[1],
        q.ROWS: now[q.ROWS] if now else 0,
        q.ROWS_REFERENCE: then[q.ROWS] if then else 0,
        q.NULL_SHARE: now[q.NULL_SHARE] if now else None,
        q.MEAN_NOW: now[q.MEAN] if now else None,
        q.MEAN_REFERENCE: then[q.MEAN] if then else None,
    }
    if not now or not now[q.ROWS]:
        return row | {q.VERDICT: BLOCK, q.MOVED: "no row today" if now else "missing today"}
    if not then or not then[q.ROWS]:
        return row | {q.VERDICT: WARN, q.MOVED: "not in the reference"}
    counts = now[q.BIN_COUNTS], then[q.BIN_COUNTS]
    rows_a_unit = fewer if key[0] == _PAIR else (1.0, 1.0)
    independent = [np.asarray(rows) / each for rows, each in zip(counts, rows_a_unit, strict=True)]
    fewest = min(rows.sum() for rows in independent)
    if fewest < _ROWS_A_BIN * len(counts[0]):
        return row | {q.VERDICT: OK, q.MOVED: f"{fewest:.0f} rows are too few for {len(counts[0])} bins"}
    raw, noise = psi(*counts), psi_noise(*independent)
    numbers = {
        q.PSI: max(raw - noise, 0.0),
        q.PSI_RAW: raw,
        q.PSI_NOISE: noise,
        q.JS: jensen_shannon(*counts),
        q.MOVED: _largest_move(now[q.BIN_EDGES], *counts),
    }
    seen = _beyond_chance(numbers)
    beyond = [severity for statistic, severity, limit in _limits(limits) if (seen[statistic] or 0.0) > limit]
    return row | numbers | {q.VERDICT: min(beyond, key=_SEVERITY.__getitem__, default=OK)}


def _rows_a_user(rows: dict[FeatureKey, dict[str, Any]]) -> float:
    """How many rows of pairs a user has, at least one; 1 where nothing is known of users."""
    users, pairs = (
        max((row[q.ROWS] for key, row in rows.items() if key[0] == one), default=0) for one in (_USER, _PAIR)
    )
    return max(pairs / users, 1.0) if users else 1.0


def _largest_move(edges: list[float], now: list[int], then: list[int]) -> str:
    p, r = np.asarray(now) / sum(now), np.asarray(then) / sum(then)
    index = int(np.argmax(np.abs(p - r)))
    return f"{bin_labels(edges)[index]}: {r[index]:.1%} -> {p[index]:.1%}"


def _by_feature(table: "pa.Table", bins: FrozenBins) -> dict[FeatureKey, dict[str, Any]]:
    rows = {(row[q.ENTITY], row[q.FEATURE]): row for row in table.to_pylist()}
    if len(rows) != table.num_rows:
        raise DataError(
            f"a statistics table has {table.num_rows} rows for {len(rows)} features, expected one a feature",
            why="drift compares one day with one reference",
            remedy="filter the table to one partition",
        )
    for key, row in rows.items():
        frozen = bins.edges.get(key)
        if frozen is not None and tuple(row[q.BIN_EDGES]) != tuple(frozen):
            raise DataError(
                f"{'/'.join(key)} was counted on {len(row[q.BIN_EDGES])} edges that are not the {len(frozen)} frozen ones",
                why="histograms on different bins cannot be compared",
                remedy="compute feature_statistics of that day again with bins= of the model that is judged",
            )
    return rows


def drift_rules(drift: "pa.Table", config: DriftConfig) -> Iterator[Rule]:
    """The rules of a drift table: each divergence against its limits, and that there is a reference to be held against."""
    for row in drift.to_pylist():
        key = row[q.ENTITY], row[q.FEATURE]
        about, note = f"{key[0]} feature {key[1]}", f" ({row[q.MOVED]})" if row[q.MOVED] else ""
        yield Rule(*key, q.ROWS_REFERENCE, row[q.ROWS_REFERENCE], "warn", low=1, about=about, advice=_REFERENCE_ADVICE)
        seen = _beyond_chance(row)
        for statistic, severity, high in _limits(config):
            value = seen[statistic]
            if value is not None:
                yield Rule(*key, statistic, value, severity, high=high, about=about, note=note, advice=_DRIFT_ADVICE)


# -- drift and jumps -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Jumps:
    """How far each feature is from the days before.

    Attributes
    ----------
    psi
        (entity, feature) -> the smaller PSI beyond chance of the two comparisons.
    against
        The day before and the same weekday of the week before.
    silent
        Why nothing may block by it; empty: it may.
    """

    psi: Mapping[FeatureKey, float]
    against: tuple[str, ...] = ()
    silent: str = ""

    def any_beyond(self, config: DriftConfig) -> bool:
        """Whether a feature jumped."""
        return any(seen > config.psi_block for seen in self.psi.values())


def jump_rules(keys: Sequence[FeatureKey], jumps: Jumps, config: DriftConfig) -> Iterator[Rule]:
    """The rules of features that only grow, so that their level says nothing: they may not jump."""
    for entity, name in keys if not jumps.silent else ():
        seen = jumps.psi.get((entity, name))
        if seen is not None:
            yield Rule(
                entity,
                name,
                JUMP,
                seen,
                "block",
                high=config.psi_block,
                about=f"{entity} feature {name}",
                note=f" (PSI against {' and '.join(jumps.against)}, the smaller one)",
                advice=f"the log of the day is as expected, so look at how it was computed; {WAY_OUT.format(name)}",
            )


def without_jump(findings: Sequence[Finding], jumps_of: Callable[[], Jumps], config: DriftConfig) -> list[Finding]:
    """The findings of a day; drift from the reference that is no jump warns, and says so.

    Parameters
    ----------
    jumps_of
        Asked only where something drifted.
    """
    return [_told_apart(one, jumps_of(), config.psi_block) if _is_drift(one) else one for one in findings]


def _is_drift(one: Finding) -> bool:
    return not one.passed and one.severity == "block" and one.statistic in (q.PSI, q.JS)


def _told_apart(one: Finding, jumps: Jumps, limit: float) -> Finding:
    seen, against = jumps.psi.get((one.entity, one.feature)), " and ".join(jumps.against)
    jumped = not jumps.silent and seen is not None and seen > limit
    if jumps.silent:
        told = f"it blocks nothing: {jumps.silent}"
    elif jumped:
        told = f"it jumped ({seen:.3f} against {against}) and the log did not; {WAY_OUT.format(one.feature)}"
    else:
        told = f"it blocks nothing: it is a drift, no jump ({seen or 0.0:.3f} against {against})"
    advice = "; ".join(part for part in (one.advice, told) if part)
    return replace(one, severity="block" if jumped else "warn", advice=advice)
