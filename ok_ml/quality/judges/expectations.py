"""What the statistics of features must keep: which rules there are, from the YAML and from the features' declarations."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ok_ml.config.models import FeatureChecks, Range, Severity
from ok_ml.quality.judges.drift import js_beyond_chance
from ok_ml.quality.judges.findings import number
from ok_ml.quality.judges.rules import Rule
from ok_ml.quality.statistics import statistics_columns as q

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class FeatureRule:
    """What a feature declares about its values; None does not limit."""

    entity: str
    feature: str
    min: float | None = None
    max: float | None = None
    null_share: float = 0.0


_ROWS_ADVICE: Final = "see whether the feature table of that day was made, and by which version of the code"
_REFERENCE_ADVICE: Final = "the model was trained without it: train again, or take it out of the feature table"
_RANGE_ADVICE: Final = (
    "see the plot of its distribution; widen checks.ranges in the experiment's YAML only if the value is right"
)
_QUANTILE_ADVICE: Final = "see the plot of its distribution; the bounds are checks.ranges.<feature>.quantiles"
_NULL_ADVICE: Final = "see which of the day's event files are short, and rejected_events of that day"
_DRIFT_ADVICE: Final = (
    "see `moved` in the drift table and the plot of its distribution; look for a change in the log of that day"
)
_LARGEST: Final = 3.4028234663852886e38  # float32: a feature without a range must at least be finite
_ROUNDING: Final = 1e-6  # relative: 0.1 + ... in float32 may end a little above a declared 1


def feature_rules(
    statistics: "pa.Table", drift: "pa.Table | None", rules: Sequence[FeatureRule], limits: FeatureChecks
) -> list[Rule]:
    """The rules of one day's statistics.

    Parameters
    ----------
    statistics
        Of one partition, from `feature_statistics`.
    drift
        From `drift_table` of the same day, or None where there is no reference yet.
    rules
        What the features declare; `limits.ranges` replaces them by feature name. A feature without a rule is held
        against the null share and the drift limits only.
    limits
        `checks` of the experiment.

    Returns
    -------
    list[Rule]
        Those that apply. A feature that has a rule or a reference, but no row today, blocks; one without a reference,
        where there is one for others, warns.
    """
    found = {(row[q.ENTITY], row[q.FEATURE]): row for row in statistics.to_pylist()}
    drifted = {(row[q.ENTITY], row[q.FEATURE]): row for row in drift.to_pylist()} if drift is not None else {}
    declared = {(rule.entity, rule.feature): rule for rule in rules}
    made: list[Rule] = []
    for key in sorted(found.keys() | drifted.keys() | declared.keys()):
        numbers = found.get(key, {q.ROWS: 0})
        made += _of_values(key, numbers, declared.get(key), limits)
        if key in drifted:
            made += _of_drift(key, drifted[key], limits)
    return made


def _of_values(
    key: tuple[str, str], row: Mapping[str, Any], declared: FeatureRule | None, limits: FeatureChecks
) -> Iterator[Rule]:
    """Rows, range, nulls and quantiles of one feature; a statistic without any value has no rule."""
    rule, configured = _rule(key, declared, limits), limits.ranges.get(key[1], Range())
    severity, least, most = configured.severity, _expected(">=", rule.min), _expected("<=", rule.max)
    low, high = _with_rounding(rule.min, -1), _with_rounding(rule.max, 1)
    block = configured.null_share_block
    block = max(rule.null_share, limits.null_share_block) if block is None else block
    wanted: list[tuple[str, Severity, float | None, float | None, str, str]] = [
        (q.ROWS, "block", 1.0, None, "", _ROWS_ADVICE),
        (q.MIN, severity, low, None, least, _RANGE_ADVICE),
        (q.MAX, severity, None, high, most, _RANGE_ADVICE),
        (q.NULL_SHARE, "block", None, block, "", _NULL_ADVICE),
        (q.NULL_SHARE, "warn", None, rule.null_share, "", _NULL_ADVICE),
    ]
    for name, bounds in configured.quantiles.items():
        wanted.append((name, configured.quantile_severity, bounds.min, bounds.max, "", _QUANTILE_ADVICE))
    for statistic, severe, lowest, highest, expected, advice in wanted:
        if row.get(statistic) is not None and (lowest is not None or highest is not None):
            yield Rule(
                *key,
                statistic,
                row[statistic],
                severe,
                low=lowest,
                high=highest,
                expected=expected,
                about=f"{key[0]} feature {key[1]}",
                advice=advice,
            )


def _expected(sign: str, bound: float | None) -> str:
    return "a finite number" if bound is None else f"{sign} {number(bound)}"


def _of_drift(key: tuple[str, str], row: Mapping[str, Any], limits: FeatureChecks) -> Iterator[Rule]:
    """Divergence from the reference, and whether there is one."""
    about, drift = f"{key[0]} feature {key[1]}", limits.drift
    if row[q.ROWS_REFERENCE] is not None:
        yield Rule(*key, q.ROWS_REFERENCE, row[q.ROWS_REFERENCE], "warn", low=1, about=about, advice=_REFERENCE_ADVICE)
    note = f" ({row[q.MOVED]})" if row[q.MOVED] else ""
    wanted: tuple[tuple[str, float | None, Severity], ...] = (
        (q.PSI, drift.psi_block, "block"),
        (q.PSI, drift.psi_warn, "warn"),
        (q.JS, drift.js_block, "block"),
        (q.JS, drift.js_warn, "warn"),
    )
    for statistic, high, severity in wanted:
        seen = row[q.PSI] if statistic == q.PSI else js_beyond_chance(row[q.JS], row[q.PSI_NOISE])
        if high is not None and seen is not None:
            yield Rule(*key, statistic, seen, severity, high=high, about=about, note=note, advice=_DRIFT_ADVICE)


def _rule(key: tuple[str, str], declared: FeatureRule | None, limits: FeatureChecks) -> FeatureRule:
    """The declared range, unless the YAML sets one."""
    configured, known = limits.ranges.get(key[1]), declared or FeatureRule(*key)
    if configured is None:
        return known
    if configured.min is None and configured.max is None:
        return FeatureRule(*key, known.min, known.max, configured.null_share)
    return FeatureRule(*key, configured.min, configured.max, configured.null_share)


def _with_rounding(bound: float | None, sign: int) -> float:
    return sign * _LARGEST if bound is None else bound + sign * _ROUNDING * max(1.0, abs(bound))
