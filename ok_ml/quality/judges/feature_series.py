"""Every feature's statistics by day, against the champion's reference: read from the small committed tables alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.lake import Lake
from ok_ml.quality.judges.drift import BLOCK, OK, WARN
from ok_ml.quality.judges.findings import Finding, failures
from ok_ml.quality.judges.verdicts import FEATURE_VERDICT, whole_verdict
from ok_ml.quality.statistics import statistics_columns as q
from ok_ml.quality.statistics.bins import REFERENCE_FILE, FeatureKey
from ok_ml.quality.statistics.divergence import jensen_shannon, js_beyond_chance, psi, psi_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAYS: Final = 60
_NUMBERS: Final = (q.MEAN, q.STD, q.NULL_SHARE, q.MIN, q.MAX, *q.QUANTILES)
_STATES: Final = {"block": 0, "warn": 1, "ok": 2}


@dataclass(frozen=True)
class FeatureSeries:
    """One feature by day.

    Attributes
    ----------
    dts
        ISO dates, ascending, one a number.
    numbers
        Statistic -> float64 [days], NaN where there is none: those of feature_statistics, psi and js beyond chance.
    rows
        Rows by day.
    now, reference
        The newest day's row of feature_statistics, and the champion's, on the same bins or None.
    state
        ok, warn or block, by the newest verdict; `finding` is its worst finding.
    judged
        Whether its drift means something.
    """

    entity: str
    feature: str
    dts: tuple[str, ...]
    numbers: "Mapping[str, NDArray[np.float64]]"
    rows: tuple[int, ...]
    now: Mapping[str, Any]
    reference: Mapping[str, Any] | None
    state: str = OK
    finding: Finding | None = None
    judged: bool = True

    @property
    def anchor(self) -> str:
        """Its place on the page."""
        return f"{self.entity}-{self.feature}"

    def last(self, statistic: str) -> float | None:
        """The newest number, None if there is none."""
        value = float(self.numbers[statistic][-1])
        return None if np.isnan(value) else value


@dataclass(frozen=True)
class FeatureBoard:
    """All features of an experiment, worst first."""

    dts: tuple[str, ...]
    features: tuple[FeatureSeries, ...]

    def of(self, entity: str, feature: str) -> FeatureSeries | None:
        """One of them."""
        return next((one for one in self.features if (one.entity, one.feature) == (entity, feature)), None)


def feature_series(
    lake: Lake, scope: str, *, upto: str | None = None, days: int = DAYS, findings: Sequence[Finding] | None = None
) -> FeatureBoard:
    """Read the newest days of an experiment's feature_statistics.

    Parameters
    ----------
    upto
        The last day; default: the newest one.
    findings
        What the checks found on the last day; default: its committed verdict.
    """
    known = [dt for dt in lake.partitions(scope, c.FEATURE_STATISTICS) if upto is None or dt <= upto][-days:]
    if not known:
        return FeatureBoard((), ())
    table = lake.read(scope, c.FEATURE_STATISTICS, known)
    by_feature: dict[FeatureKey, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        by_feature.setdefault((row[q.ENTITY], row[q.FEATURE]), []).append(row)
    reference = _reference(lake, scope)
    told = findings if findings is not None else committed_findings(lake, scope, known[-1])
    worst, judged = _worst(told), {(one.entity, one.feature) for one in told if one.statistic == q.PSI}
    made = [
        _one(key, rows, reference.get(key), worst.get(key), judged=not judged or key in judged)
        for key, rows in by_feature.items()
    ]
    return FeatureBoard(tuple(known), tuple(sorted(made, key=_order)))


def committed_findings(lake: Lake, scope: str, dt: str) -> Sequence[Finding]:
    """What the committed verdict on a day's features found; nothing if there is none."""
    verdict = lake.find(scope, FEATURE_VERDICT, dt)
    return whole_verdict(lake, verdict).findings if verdict is not None else ()


def _reference(lake: Lake, scope: str) -> dict[FeatureKey, dict[str, Any]]:
    """The champion's pooled statistics by feature; nothing before there is a champion."""
    import pyarrow.parquet as pq

    champion = lake.find(scope, c.CHAMPION)
    path = lake.folder(champion) / REFERENCE_FILE if champion else None
    if path is None or not path.is_file():
        return {}
    return {(row[q.ENTITY], row[q.FEATURE]): row for row in pq.read_table(path).to_pylist()}


def _worst(findings: Sequence[Finding]) -> dict[FeatureKey, Finding]:
    return {(finding.entity, finding.feature): finding for finding in reversed(failures(findings))}


def _one(
    key: FeatureKey,
    rows: list[dict[str, Any]],
    reference: dict[str, Any] | None,
    finding: Finding | None,
    *,
    judged: bool,
) -> FeatureSeries:
    numbers = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in _NUMBERS}
    pairs = [_divergences(row, reference) for row in rows]
    numbers[q.PSI], numbers[q.JS] = (np.array([pair[place] for pair in pairs]) for place in (0, 1))
    comparable = reference is not None and reference[q.BIN_EDGES] == rows[-1][q.BIN_EDGES]
    state = OK if finding is None else BLOCK if finding.severity == "block" else WARN
    return FeatureSeries(
        *key,
        tuple(row[c.DT] for row in rows),
        numbers,
        tuple(row[q.ROWS] for row in rows),
        rows[-1],
        reference if comparable else None,
        state,
        finding,
        judged,
    )


def _divergences(row: dict[str, Any], reference: dict[str, Any] | None) -> tuple[float, float]:
    """PSI and JS beyond chance; NaN where the day was counted on other bins, or holds nothing."""
    if reference is None or row[q.BIN_EDGES] != reference[q.BIN_EDGES] or not row[q.ROWS] or not reference[q.ROWS]:
        return np.nan, np.nan
    counts = row[q.BIN_COUNTS], reference[q.BIN_COUNTS]
    noise = psi_noise(*counts)
    bits = js_beyond_chance(jensen_shannon(*counts), noise)
    return max(psi(*counts) - noise, 0.0), np.nan if bits is None else bits


def _order(one: FeatureSeries) -> tuple[int, bool, float, str, str]:
    return _STATES[one.state], not one.judged, -(one.last(q.PSI) or 0.0), one.entity, one.feature
