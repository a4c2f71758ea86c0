"""Findings of Great Expectations, as rules have them: they join these in the verdicts on data, features and lists.

So what blocks, what only warns, since when, and what a person has accepted is said in one place.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from ok_ml import columns as c
from ok_ml.lake import fingerprint
from ok_ml.monitoring.judges.expectation_results import EXPECTATIONS, Expected, outcomes_on, read_results, results_of
from ok_ml.partitions import run_start
from ok_ml.quality.gx.gx_outcomes import Outcome
from ok_ml.quality.judges.findings import Finding

# These join the verdict on features; the other tables of an experiment that on its lists.
OF_FEATURES: Final = (*c.FEATURE_TABLES, c.TEXT_FEATURES, c.FEATURE_STATISTICS)
_DAYS_BACK: Final = 35
_COMPUTED_ADVICE: Final = "what could not be computed does not pass: correct its arguments under checks.expectations"
_ADVICE: Final = "see its page and the table; change checks.expectations only if the value is right"


def expectation_findings(expected: Expected, dt: str, *, commit: bool = True) -> list[Finding]:
    """One finding an expectation, of the tables that are there; those that failed say since when."""
    return [one for table in expected.tables for one in _of_table(expected, table, dt, commit=commit)]


def _of_table(expected: Expected, table: str, dt: str, *, commit: bool) -> Iterator[Finding]:
    lake, results = expected.lake, results_of(table)
    earlier = [day for day in lake.partitions(expected.scope, results) if day < dt][::-1][:_DAYS_BACK]

    @cache
    def failed_on(day: str) -> set[str]:
        outcomes = read_results(lake, lake.manifest(expected.scope, results, day))
        return {name for name, one in _named(outcomes) if not one.passed}

    def since(name: str) -> str:
        return run_start(dt, earlier, lambda day: name in failed_on(day))

    outcomes, total = outcomes_on(expected, table, dt, commit=commit)
    for name, one in _named(outcomes):
        yield _finding(table, dt, name, one, total, "" if one.passed else since(name))


def _named(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, Outcome]]:
    """Each with a name that tells it from the others of its column, also when the same is expected twice."""
    seen = [(one.expectation, one.column) for one in outcomes]
    for one in outcomes:
        twice = seen.count((one.expectation, one.column)) > 1
        yield f"{one.expectation} {fingerprint({'said': one.arguments})[:6]}" if twice else one.expectation, one


def _finding(table: str, dt: str, name: str, one: Outcome, total: int, since: str) -> Finding:
    return Finding(
        feature=one.column,
        entity=table,
        statistic=name,
        expected=one.expected.rstrip("."),
        seen=one.observed,
        severity="block" if one.severity == "block" else "warn",
        passed=one.passed,
        dt=dt,
        about=f"{table} {one.column}".strip(),
        note="" if one.rows >= total else f" (in {one.rows:,} of {total:,} rows)",
        advice="" if one.passed else _COMPUTED_ADVICE if one.error else _ADVICE,
        since=since,
        kind=EXPECTATIONS,
    )


def shown(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Outcomes as rows of the table on the check's page, failures first."""
    rows = sorted(outcomes, key=lambda one: (one.passed, one.severity))
    return [
        {
            "passed": one.passed,
            "severity": "critical" if one.severity == "block" else "warning",
            "expectation": one.expectation,
            "column": one.column,
            "expected": one.expected,
            "observed": one.observed,
            "unexpected": "" if one.unexpected is None else f"{one.unexpected:,}",
            "percent": "" if one.unexpected_percent is None else f"{one.unexpected_percent:.4g}",
            "examples": ", ".join(one.examples),
        }
        for one in rows
    ]
