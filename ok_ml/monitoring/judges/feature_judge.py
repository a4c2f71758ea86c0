"""The verdict on an experiment's newest features: statistics, drift, keys, columns, expectations, and what blocks their log."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.errors import DataError, GateRefused, NotCommitted
from ok_ml.features.declared.registry import ENTITY_OF
from ok_ml.lake import Manifest, fingerprint
from ok_ml.monitoring.judges.data_judge import DAYS_BACK, limits_of, look_further, reported, settled_verdict
from ok_ml.monitoring.judges.event_judge import is_settled, settle_events
from ok_ml.monitoring.judges.expectation_judge import OF_FEATURES, expectation_findings
from ok_ml.monitoring.judges.expectation_results import EXPECTATIONS, Expected
from ok_ml.monitoring.judges.feature_drift import drift_of, jumps_of, step_rules
from ok_ml.monitoring.series.feature_counts import build_compared, build_statistics
from ok_ml.quality.judges.committed_day import FEATURE_KEYS, read_table
from ok_ml.quality.judges.drift import drift_rules, without_jump
from ok_ml.quality.judges.findings import Finding, failures, in_order
from ok_ml.quality.judges.rules import Rule, judge, rule_of, with_since
from ok_ml.quality.judges.verdicts import FEATURE_VERDICT, FEATURES, Verdict, commit, verdict_of, whole_verdict
from ok_ml.quality.statistics import statistics_columns as q
from ok_ml.stages.blocked_days import experiment_guard, of_features, way_out
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.plot_files import plot_path

DRIFTED: Final = "drifted"  # in the details of a verdict
_JUDGE_VERSION: Final = "5"  # raise it when the same statistics may get another verdict


def judge_features(pipeline: Pipeline) -> Verdict:
    """Judge the newest day; keep the verdict that predictions and publication ask for.

    Older days are counted for their history only: what is served next comes from the newest one. What blocks the log of the same
    day blocks here too: a check binds only its own run, this verdict every publication.
    """
    dt, lake = pipeline.calendar().serve_cut, pipeline.lake
    statistics = lake.find(pipeline.name, c.FEATURE_STATISTICS, dt)
    if statistics is None:
        nothing = f"{dt}, the newest day, has no statistics yet: nothing to judge"
        return Verdict(pipeline.name, FEATURE_VERDICT, dt, "none", headline=nothing)
    own = feature_verdict(pipeline, dt)
    whole = own.with_findings(in_order([*own.findings, *_of_log(pipeline, dt)]))
    details = {"blocks": whole.blocks, "headline": whole.headline, DRIFTED: _drifted(own.failed)}
    commit(lake, own, inputs=_judged(pipeline, statistics), **details)
    return replace(whole, plot=plot_finding(pipeline, whole.failed[0]) if whole.failed else None)


def feature_verdict(pipeline: Pipeline, dt: str) -> Verdict:
    """The rules on the features of a day; those that failed say since when, and where to look further."""
    rules_on, armed = rules_of(pipeline), experiment_guard(pipeline.lake, pipeline.name)
    known = pipeline.lake.partitions(pipeline.name, c.FEATURE_STATISTICS)
    earlier = [other for other in known if other < dt][::-1][:DAYS_BACK]
    jumps = cache(lambda: jumps_of(pipeline, dt))
    rules = [*rules_on(dt), *step_rules(pipeline, dt, jumps)]
    judged = with_since(judge(rules, dt), earlier, _known_rules(rules_on))
    if armed.blocks_on(dt):
        judged = without_jump(judged, jumps, pipeline.config.checks.drift)
    expected = Expected.of(pipeline.project, pipeline.name).within(OF_FEATURES)
    findings = [*(replace(one, kind=FEATURES) for one in judged), *expectation_findings(expected, dt)]
    told = [
        one if one.passed else replace(one, look=_look(pipeline, one))
        for one in in_order(reported(findings, armed, dt))
    ]
    return verdict_of(pipeline.lake, pipeline.name, FEATURE_VERDICT, dt, told)


def expected_features(pipeline: Pipeline, table: str) -> Verdict:
    """What is expected of the newest day of one of the feature tables, as the verdict on all features tells it."""
    dt, armed = pipeline.calendar().serve_cut, experiment_guard(pipeline.lake, pipeline.name)
    findings = expectation_findings(Expected.of(pipeline.project, pipeline.name).within([table]), dt)
    return verdict_of(pipeline.lake, pipeline.name, FEATURE_VERDICT, dt, reported(findings, armed, dt))


def known_features(pipeline: Pipeline, dt: str) -> Verdict | None:
    """The committed verdict on a day's features, if it is on what is there now."""
    manifest = pipeline.lake.find(pipeline.name, FEATURE_VERDICT, dt)
    return whole_verdict(pipeline.lake, manifest) if manifest is not None and has_verdict(pipeline, dt) else None


def _of_log(pipeline: Pipeline, dt: str) -> list[Finding]:
    """What the declared rules of a log of events find on a day that blocks it."""
    dataset = pipeline.dataset
    if not isinstance(dataset, DatasetConfig) or pipeline.lake.find(dataset.dataset, c.EVENTS, dt) is None:
        return []
    return failures(settled_verdict(pipeline.project, dataset, dt).findings, "block")


def _drifted(failed: Sequence[Finding]) -> list[str]:
    """The features that are off the champion's reference, worst first, with what was seen: a cause of retraining."""
    off = [one for one in failed if one.statistic in (q.PSI, q.JS)]
    return [f"{one.feature} {one.statistic} {one.seen} (expected {one.expected})" for one in off]


# -- who asks for a verdict ------------------------------------------------------------------------------------------


def is_judged(pipeline: Pipeline, dt: str) -> bool:
    """Whether a day's features have a verdict on their current statistics, champion and limits, and on the log behind them."""
    log_is_settled = is_settled(pipeline.project, pipeline.dataset, pipeline.lake, dt)
    return log_is_settled and pipeline.is_current(c.FEATURE_STATISTICS, dt) and has_verdict(pipeline, dt)


def has_verdict(pipeline: Pipeline, dt: str) -> bool:
    """Whether a verdict on a day's features is about the statistics that are there, by the limits and the champion of now."""
    verdict = pipeline.lake.find(pipeline.name, FEATURE_VERDICT, dt)
    statistics = pipeline.lake.find(pipeline.name, c.FEATURE_STATISTICS, dt)
    return verdict is not None and statistics is not None and verdict.inputs == _judged(pipeline, statistics)


def settle_verdict(pipeline: Pipeline) -> Verdict | None:
    """Count and judge what the newest day's features hang on, and them, where something of it is not of now; None if all is.

    A new champion brings a reference of its own, and a day that was judged against the old one has not been judged.
    """
    dt = pipeline.calendar().serve_cut
    if is_judged(pipeline, dt):
        return None
    settle_events(pipeline.project, pipeline.dataset, pipeline.lake)
    if pipeline.is_current(c.FEATURE_STATISTICS, dt):
        build_compared(pipeline, dt)
    else:
        build_statistics(pipeline, [dt])
    return judge_features(pipeline)


def require_verdict(pipeline: Pipeline, dt: str) -> Manifest:
    """The verdict on a day's features; publication asks again, because a check binds only its own run.

    Raises
    ------
    GateRefused
        The features of that day were never judged, were judged in another version or against another champion, or are
        blocked.
    """
    verdict = pipeline.lake.find(pipeline.name, FEATURE_VERDICT, dt)
    if verdict is None or not has_verdict(pipeline, dt):
        raise GateRefused(
            f"{pipeline.name}: the features of {dt} have no verdict for their current version",
            why="predictions from features that were not checked could harm every user at once",
            remedy=f"materialise {pipeline.name}/{c.FEATURE_STATISTICS} for {dt}; its check writes the verdict",
        )
    blocked = of_features(pipeline.project, pipeline.name, dt)
    if blocked:
        raise GateRefused(
            f"{pipeline.name}: the features of {dt} are blocked. {verdict.details.get('headline')}",
            why="a new generation would carry the fault to every user; what is served stays",
            remedy="; ".join(way_out(one, pipeline.dataset_scope) for one in blocked),
        )
    return verdict


def _judged(pipeline: Pipeline, statistics: Manifest) -> dict[str, str]:
    """What a verdict hangs on: the statistics, the champion's reference, the limits."""
    champion, dt = pipeline.lake.find(pipeline.name, c.CHAMPION), statistics.partition
    of_log = Expected.of(pipeline.project, pipeline.dataset_scope)
    return {
        "statistics": statistics.data_version,
        "champion": champion.data_version if champion else "none",
        "limits": fingerprint(
            pipeline.config.checks.model_dump(mode="json", exclude={"predictions", "online", EXPECTATIONS})
        ),
        "code": _JUDGE_VERSION,
        "declared": limits_of(pipeline.dataset),
        "armed": "may block" if experiment_guard(pipeline.lake, pipeline.name).blocks_on(dt) else "reported",
        **Expected.of(pipeline.project, pipeline.name).within(OF_FEATURES).version(dt),
        **{f"log_{name}": version for name, version in of_log.version(dt).items()},
    }


# -- rules -----------------------------------------------------------------------------------------------------------


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
    from ok_ml.quality.judges.value_rules import FeatureRule, value_rules

    declared, checks = [FeatureRule(f.entity, f.name, *f.range) for f in pipeline.features], pipeline.config.checks
    statistics, drift = pipeline.lake.read(pipeline.name, c.FEATURE_STATISTICS, [dt]), drift_of(pipeline, dt)
    if drift is None:
        return [*value_rules(statistics, declared, checks)]
    known = zip(drift[q.ENTITY].to_pylist(), drift[q.FEATURE].to_pylist(), strict=True)
    return [*value_rules(statistics, declared, checks, [*known]), *drift_rules(drift, checks.drift)]


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


def _look(pipeline: Pipeline, finding: Finding) -> str:
    anchor = f"?feature={finding.entity}-{finding.feature}" if finding.entity in ENTITY_OF.values() else ""
    return look_further(pipeline.project, pipeline.name, finding.dt, anchor)


def plot_finding(pipeline: Pipeline, finding: Finding) -> Path | None:
    """The feature of a finding: its distribution against the reference, and its series; None if it is of no feature."""
    from ok_ml.quality.judges.feature_series import feature_series
    from ok_ml.quality.plots.finding_plots import feature_picture

    series = feature_series(pipeline.lake, pipeline.name, upto=finding.dt)
    one = series.of(finding.entity, finding.feature)
    if one is None:
        return None
    path = plot_path(pipeline, f"check-{finding.dt}.png")
    feature_picture(one, finding, rule_of(finding, rules_of(pipeline)(finding.dt)), path=path)
    return path
