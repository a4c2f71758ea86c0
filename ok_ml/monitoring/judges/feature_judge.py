"""The findings on an experiment's newest features: statistics, drift, keys, columns, and what blocks the data behind them."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.errors import DataError, NotCommitted
from ok_ml.features.declared.registry import ENTITY_OF
from ok_ml.monitoring.judges.data_judge import DAYS_BACK, judge_data, known_verdict, look_further, reported
from ok_ml.monitoring.judges.expectation_judge import OF_FEATURES, expectation_findings
from ok_ml.monitoring.judges.expectation_results import Expected
from ok_ml.monitoring.judges.jumps import step_rules, without_jump
from ok_ml.monitoring.plots.plot_files import plot_path
from ok_ml.quality.judges.acceptance import Judged, told_of
from ok_ml.quality.judges.committed_day import FEATURE_KEYS, read_table
from ok_ml.quality.judges.rules import Finding, Rule, failures, in_order, judge, with_since
from ok_ml.quality.judges.verdicts import DECLARED_VERDICT, FEATURE_VERDICT, FEATURES, from_table
from ok_ml.stages.blocked_days import experiment_guard
from ok_ml.stages.pipeline import Pipeline


def feature_findings(pipeline: Pipeline, dt: str) -> list[Finding]:
    """Every rule of one day, worst first; those that failed say since when, and where to look further.

    What blocks the same day of the dataset blocks here too: a check binds only its own run, this verdict every publication.
    """
    return in_order([*own_findings(pipeline, dt), *blocking_data(pipeline, dt)])


def own_findings(pipeline: Pipeline, dt: str) -> list[Finding]:
    """The rules on the features of a day alone."""
    rules_on, armed = rules_of(pipeline), experiment_guard(pipeline.lake, pipeline.name)
    known = pipeline.lake.partitions(pipeline.name, c.FEATURE_STATISTICS)
    earlier = [other for other in known if other < dt][::-1][:DAYS_BACK]
    found = with_since(judge([*rules_on(dt), *step_rules(pipeline, dt)], dt), earlier, _known_rules(rules_on))
    found = without_jump(pipeline, dt, found) if armed.blocks_on(dt) else found
    expected = Expected.of(pipeline.project, pipeline.name).within(OF_FEATURES)
    found = reported([*found, *expectation_findings(expected, dt)], armed, dt)
    told = [finding if finding.passed else replace(finding, look=_look(pipeline, finding)) for finding in found]
    return _accepted(pipeline, dt, told)


def expected_findings(pipeline: Pipeline, dt: str, table: str) -> list[Finding]:
    """What is expected of one of the feature tables alone, as the verdict on the features tells it."""
    expected = Expected.of(pipeline.project, pipeline.name).within([table])
    found = reported(expectation_findings(expected, dt), experiment_guard(pipeline.lake, pipeline.name), dt)
    return _accepted(pipeline, dt, found)


def _accepted(pipeline: Pipeline, dt: str, findings: list[Finding]) -> list[Finding]:
    """The findings on a day's features, and on the log behind them, with what a person has accepted of them."""
    lake = pipeline.lake
    told = told_of(lake, Judged.now(lake, pipeline.name, FEATURE_VERDICT, dt), findings)
    return told_of(lake, Judged.now(lake, pipeline.dataset_scope, DECLARED_VERDICT, dt), told)


def rules_of(pipeline: Pipeline) -> Callable[[str], list[Rule]]:
    """Day -> the rules of its features.

    A function that raises DataError for a day that was counted on other bins than the champion's.
    """

    @cache
    def rules_on(dt: str) -> list[Rule]:
        return [*_statistics_rules(pipeline, dt), *_table_rules(pipeline, dt)]

    return rules_on


def _known_rules(rules_on: Callable[[str], list[Rule]]) -> Callable[[str], list[Rule]]:
    """The same for earlier days, of which some cannot be judged any more."""

    def known(dt: str) -> list[Rule]:
        try:
            return rules_on(dt)
        except (DataError, NotCommitted):
            return []

    return known


def _statistics_rules(pipeline: Pipeline, dt: str) -> list[Rule]:
    from ok_ml.monitoring.judges.drift_watch import drift_of
    from ok_ml.quality.judges.expectations import FeatureRule, feature_rules

    declared = [FeatureRule(f.entity, f.name, *f.range) for f in pipeline.features]
    statistics = pipeline.lake.read(pipeline.name, c.FEATURE_STATISTICS, [dt])
    return feature_rules(statistics, drift_of(pipeline, dt), declared, pipeline.config.checks)


def _table_rules(pipeline: Pipeline, dt: str) -> list[Rule]:
    """Columns, types and keys of the feature tables of a day."""
    from ok_ml.quality.judges.day_rules import column_rules, key_rules

    checks, lake = pipeline.config.checks, pipeline.lake
    known = [table for table in FEATURE_KEYS if lake.find(pipeline.name, table, dt) is not None]
    tables = {table: read_table(lake, pipeline.name, table, dt, FEATURE_KEYS[table]) for table in known}
    names = {
        table: tuple(f.name for f in pipeline.features if f.entity == entity) for table, entity in ENTITY_OF.items()
    }
    return [*column_rules(tables, checks.columns, names), *key_rules(tables, checks.keys)]


def blocking_data(pipeline: Pipeline, dt: str) -> list[Finding]:
    """What the declared rules of a log of events find on a day that blocks it."""
    dataset = pipeline.dataset
    if not isinstance(dataset, DatasetConfig):
        return []
    try:
        verdict = known_verdict(pipeline.project, dataset, dt)
        verdict = verdict or judge_data(pipeline.project, dataset, dt=dt, commit=False)
    except NotCommitted:
        return []
    return failures(verdict.findings, "block")


def _look(pipeline: Pipeline, finding: Finding) -> str:
    anchor = f"?feature={finding.entity}-{finding.feature}" if finding.entity in ENTITY_OF.values() else ""
    return look_further(pipeline.project, pipeline.name, finding.dt, anchor)


def known_findings(pipeline: Pipeline, dt: str) -> list[Finding]:
    """What the committed verdict of a day found; nothing if there is none, or if it is from before findings were stored."""
    if pipeline.lake.find(pipeline.name, FEATURE_VERDICT, dt) is None:
        return []
    found = from_table(pipeline.lake.read(pipeline.name, FEATURE_VERDICT, [dt])).get(FEATURES, [])
    return in_order(_accepted(pipeline, dt, found))


def plot_finding(pipeline: Pipeline, finding: Finding) -> Path | None:
    """The feature of a finding: its distribution against the reference, and its series; None if it is of no feature."""
    from ok_ml.quality.plots.finding_plots import feature_picture
    from ok_ml.quality.statistics.feature_series import feature_series

    series = feature_series(pipeline.lake, pipeline.name, upto=finding.dt)
    one = series.of(finding.entity, finding.feature)
    if one is None:
        return None
    path = plot_path(pipeline, f"check-{finding.dt}.png")
    rule = next(
        (r for r in rules_of(pipeline)(finding.dt) if (r.key, r.severity) == (finding.key, finding.severity)), None
    )
    feature_picture(one, finding, rule, path=path)
    return path
