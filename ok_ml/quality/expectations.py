"""Great Expectations on the small statistics table: every rule of every feature in one suite run.

A rule a feature would be hundreds of expectations at about 10 ms each. So the limits are columns beside the statistics,
and one expectation compares two columns for all features at once: eight expectations, whatever the number of features.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from ok_ml.columns import DT
from ok_ml.config.models import ChecksConfig
from ok_ml.errors import DataError
from ok_ml.quality import columns as q

if TYPE_CHECKING:
    import pyarrow as pa

Severity: TypeAlias = Literal["warn", "block"]
LOWEST: Final = "lowest_allowed"
HIGHEST: Final = "highest_allowed"
NULLS_WARN: Final = "null_share_warn"
NULLS_BLOCK: Final = "null_share_block"
PSI_WARN: Final = "psi_warn"
PSI_BLOCK: Final = "psi_block"


@dataclass(frozen=True)
class FeatureRule:
    """What a feature declares about its values; None does not limit."""

    entity: str
    feature: str
    min: float | None = None
    max: float | None = None
    null_share: float = 0.0


@dataclass(frozen=True)
class Finding:
    """One statistic of one feature held against its rule."""

    feature: str
    entity: str
    statistic: str
    expected: str
    seen: str
    severity: Severity
    passed: bool
    message: str


@dataclass(frozen=True)
class _Check:
    """One expectation: `low` <= `high`, both columns of the table."""

    statistic: str
    low: str
    high: str
    severity: Severity
    comparison: str
    advice: str


_DECLARED: Final = "declared"
_AT_LEAST_ONE: Final = "at_least_one"
_ROWS_ADVICE: Final = "see whether the feature table of that day was made, and by which version of the code"
_REFERENCE_ADVICE: Final = "the model was trained without it: train again, or take it out of the feature table"
_RANGE_ADVICE: Final = (
    "see the plot of its distribution; widen checks.ranges in the experiment's YAML only if the value is right"
)
_NULL_ADVICE: Final = "see which of the day's event files are short, and rejected_events of that day"
_PSI_ADVICE: Final = (
    "see `moved` in the drift table and the plot of its distribution; look for a change in the log of that day"
)
_LARGEST: Final = 3.4028234663852886e38  # float32: a feature without a range must at least be finite
_ROUNDING: Final = 1e-6  # relative: 0.1 + ... in float32 may end a little above a declared 1
_CHECKS: Final = (
    _Check(q.ROWS, _AT_LEAST_ONE, q.ROWS, "block", ">=", _ROWS_ADVICE),
    _Check(q.ROWS_REFERENCE, _AT_LEAST_ONE, q.ROWS_REFERENCE, "warn", ">=", _REFERENCE_ADVICE),
    _Check(q.MIN, LOWEST, q.MIN, "block", ">=", _RANGE_ADVICE),
    _Check(q.MAX, q.MAX, HIGHEST, "block", "<=", _RANGE_ADVICE),
    _Check(q.NULL_SHARE, q.NULL_SHARE, NULLS_BLOCK, "block", "<=", _NULL_ADVICE),
    _Check(q.NULL_SHARE, q.NULL_SHARE, NULLS_WARN, "warn", "<=", _NULL_ADVICE),
    _Check(q.PSI, q.PSI, PSI_BLOCK, "block", "<=", _PSI_ADVICE),
    _Check(q.PSI, q.PSI, PSI_WARN, "warn", "<=", _PSI_ADVICE),
)


def validate_statistics(
    statistics: "pa.Table", drift: "pa.Table | None", rules: Sequence[FeatureRule], limits: ChecksConfig
) -> list[Finding]:
    """Hold the statistics of one day against the rules of its features.

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
    list[Finding]
        One a feature and rule that applies: failures first, blocking ones before warnings. A feature that has a rule
        or a reference, but no row today, blocks; one without a reference, where there is one for others, warns.
    """
    rows = _with_limits(statistics, drift, rules, limits)
    failed = _run_suite(rows)
    findings = [
        _finding(check, row, failed[check])
        for check in _CHECKS
        for row in rows
        if _applies(check, row) and not _already_blocks(check, row, failed)
    ]
    order = {"block": 0, "warn": 1}
    return sorted(findings, key=lambda f: (f.passed, order[f.severity], f.entity, f.feature, f.statistic))


def failures(findings: Sequence[Finding], severity: Severity | None = None) -> list[Finding]:
    """The findings that did not pass, all or of one severity."""
    return [f for f in findings if not f.passed and severity in (None, f.severity)]


def summary(findings: Sequence[Finding]) -> str:
    """One line for the description of a check: counts, and the worst finding in words."""
    bad = failures(findings)
    if not bad:
        return f"all {len(findings)} rules hold"
    blocking = len(failures(bad, "block"))
    return f"{blocking} blocking and {len(bad) - blocking} warning of {len(findings)} rules: {bad[0].message}"


def _with_limits(
    statistics: "pa.Table", drift: "pa.Table | None", rules: Sequence[FeatureRule], limits: ChecksConfig
) -> list[dict[str, Any]]:
    """One row a feature: its statistics, its drift and its limits side by side."""
    found = {(row[q.ENTITY], row[q.FEATURE]): row for row in statistics.to_pylist()}
    drifted = {(row[q.ENTITY], row[q.FEATURE]): row for row in drift.to_pylist()} if drift is not None else {}
    declared = {(rule.entity, rule.feature): rule for rule in rules}
    day = next((row[DT] for row in found.values()), "")
    rows = []
    for key in sorted(found.keys() | drifted.keys() | declared.keys()):
        rule = _rule(key, declared.get(key), limits)
        judged = drifted.get(key, {})
        rows.append(
            {q.ENTITY: key[0], q.FEATURE: key[1], q.ROWS: 0, **found.get(key, {}), DT: day, **_limits(rule, limits)}
            | {q.PSI: judged.get(q.PSI), q.MOVED: judged.get(q.MOVED), _AT_LEAST_ONE: 1}
            | {_DECLARED: {LOWEST: rule.min, HIGHEST: rule.max}}
            | {q.ROWS_REFERENCE: judged.get(q.ROWS_REFERENCE)}
        )
    return rows


def _rule(key: tuple[str, str], declared: FeatureRule | None, limits: ChecksConfig) -> FeatureRule:
    configured = limits.ranges.get(key[1])
    if configured is not None:
        return FeatureRule(*key, configured.min, configured.max, configured.null_share)
    return declared or FeatureRule(*key)


def _limits(rule: FeatureRule, limits: ChecksConfig) -> dict[str, float]:
    low = -_LARGEST if rule.min is None else rule.min - _ROUNDING * max(1.0, abs(rule.min))
    high = _LARGEST if rule.max is None else rule.max + _ROUNDING * max(1.0, abs(rule.max))
    return {
        LOWEST: low, HIGHEST: high, NULLS_WARN: rule.null_share,
        NULLS_BLOCK: max(rule.null_share, limits.null_share_block),
        PSI_WARN: limits.drift.psi_warn, PSI_BLOCK: limits.drift.psi_block,
    }  # fmt: skip


def _applies(check: _Check, row: Mapping[str, Any]) -> bool:
    return row.get(check.low) is not None and row.get(check.high) is not None


def _already_blocks(check: _Check, row: Mapping[str, Any], failed: Mapping[_Check, set[tuple[str, str]]]) -> bool:
    """Whether a warning would repeat what a blocking finding says."""
    key = (row[q.ENTITY], row[q.FEATURE])
    stricter = [c for c in _CHECKS if c.statistic == check.statistic and c.severity == "block"]
    return check.severity == "warn" and any(key in failed[c] for c in stricter)


def _finding(check: _Check, row: Mapping[str, Any], failed: set[tuple[str, str]]) -> Finding:
    entity, feature = row[q.ENTITY], row[q.FEATURE]
    column = check.low if check.high == check.statistic else check.high
    limit = row[_DECLARED].get(column, row[column])
    seen = f"{row[check.statistic]:.6g}"
    expected = "a finite number" if limit is None else f"{check.comparison} {limit:.6g}"
    passed = (entity, feature) not in failed
    moved = f" ({row[q.MOVED]})" if check.statistic == q.PSI and row[q.MOVED] else ""
    message = f"{entity} feature {feature} on {row[DT]}: {check.statistic} is {seen}{moved}, expected {expected}"
    return Finding(
        feature=feature, entity=entity, statistic=check.statistic, expected=expected, seen=seen, severity=check.severity,
        passed=passed, message=message if passed else f"{message}; {check.advice}",
    )  # fmt: skip


@contextmanager
def _without_spark_connect() -> Iterator[None]:
    """Keep an import from reaching for Spark Connect.

    In a spawned process, as Dagster's runs are, `pyspark.sql.connect` takes itself for a doctest and ends the process
    with exit code 0 if one of its own dependencies is missing.
    """
    name = "pyspark.sql.connect"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = cast("ModuleType", None)
    try:
        yield
    finally:
        del sys.modules[name]


def _run_suite(rows: list[dict[str, Any]]) -> dict[_Check, set[tuple[str, str]]]:
    """Which (entity, feature) failed each check, as Great Expectations found it."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the package is imported
    with _without_spark_connect():
        import great_expectations as gx
        from great_expectations.expectations import ExpectColumnPairValuesAToBeGreaterThanB as AtLeast
    import pandas as pd

    limits_and_numbers = sorted({name for check in _CHECKS for name in (check.low, check.high)})
    frame = pd.DataFrame(rows, columns=[q.ENTITY, q.FEATURE, *limits_and_numbers])
    frame[limits_and_numbers] = frame[limits_and_numbers].astype("float64")
    expectations = [
        AtLeast(column_A=check.high, column_B=check.low, or_equal=True, ignore_row_if="either_value_is_missing")
        for check in _CHECKS
    ]
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("statistics").add_dataframe_asset("features")
    batch = asset.add_batch_definition_whole_dataframe("day").get_batch({"dataframe": frame})
    result = batch.validate(
        gx.ExpectationSuite(name="feature statistics", expectations=expectations),
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [q.ENTITY, q.FEATURE]},
    )
    return _failed_features(result.results)


def _failed_features(results: Sequence[Any]) -> dict[_Check, set[tuple[str, str]]]:
    """Results in the order of their columns; an expectation that raised is an error of ours, never a pass."""
    by_columns = {}
    for result in results:
        arguments = result.expectation_config.kwargs
        if result.exception_info.get("raised_exception"):
            raise DataError(
                f"expectation {arguments['column_B']} <= {arguments['column_A']} could not be computed:"
                f" {result.exception_info.get('exception_message')}",
                why="a rule that was not checked must not count as kept", remedy="look at the row types of feature_statistics",
            )  # fmt: skip
        bad = result.result.get("unexpected_index_list") or []
        by_columns[arguments["column_B"], arguments["column_A"]] = {(row[q.ENTITY], row[q.FEATURE]) for row in bad}
    return {check: by_columns[check.low, check.high] for check in _CHECKS}
