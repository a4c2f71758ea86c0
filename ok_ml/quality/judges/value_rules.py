"""What the values of features must keep, from the YAML and from the features' declarations: rows, range, nulls, quantiles."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ok_ml.config.models import FeatureChecks, Range, Severity
from ok_ml.quality.judges.findings import number
from ok_ml.quality.judges.rules import Rule
from ok_ml.quality.statistics import statistics_columns as q
from ok_ml.quality.statistics.bins import FeatureKey

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
_RANGE_ADVICE: Final = (
    "see the plot of its distribution; widen checks.ranges in the experiment's YAML only if the value is right"
)
_QUANTILE_ADVICE: Final = "see the plot of its distribution; the bounds are checks.ranges.<feature>.quantiles"
_NULL_ADVICE: Final = "see which of the day's event files are short, and rejected_events of that day"
_LARGEST: Final = 3.4028234663852886e38  # float32: a feature without a range must at least be finite
_ROUNDING: Final = 1e-6  # relative: 0.1 + ... in float32 may end a little above a declared 1


def value_rules(
    statistics: "pa.Table", declared: Sequence[FeatureRule], limits: FeatureChecks, known: Collection[FeatureKey] = ()
) -> Iterator[Rule]:
    """The rules of one day's statistics.

    Parameters
    ----------
    statistics
        Of one partition, from `feature_statistics`.
    declared
        What the features declare; `limits.ranges` replaces them by feature name. A feature without a rule is held
        against the null share only.
    limits
        `checks` of the experiment.
    known
        Features of the reference: one of them, or of those declared, that has no row today blocks.
    """
    rows = {(row[q.ENTITY], row[q.FEATURE]): row for row in statistics.to_pylist()}
    rules = {(rule.entity, rule.feature): rule for rule in declared}
    for key in sorted(rows.keys() | rules.keys() | {*known}):
        yield from _of_values(key, rows.get(key, {q.ROWS: 0}), rules.get(key, FeatureRule(*key)), limits)


def _of_values(key: FeatureKey, row: Mapping[str, Any], declared: FeatureRule, limits: FeatureChecks) -> Iterator[Rule]:
    """Rows, range, nulls and quantiles of one feature; a statistic without any value has no rule."""
    configured = limits.ranges.get(key[1])
    rule, configured = _with_range(declared, configured), configured or Range()
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


def _with_range(declared: FeatureRule, configured: Range | None) -> FeatureRule:
    """The declared range, unless the YAML sets one."""
    if configured is None:
        return declared
    given = declared if configured.min is None and configured.max is None else configured
    return FeatureRule(declared.entity, declared.feature, given.min, given.max, configured.null_share)


def _with_rounding(bound: float | None, sign: int) -> float:
    return sign * _LARGEST if bound is None else bound + sign * _ROUNDING * max(1.0, abs(bound))
