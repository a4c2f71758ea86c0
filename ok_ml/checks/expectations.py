"""Expectations of Great Expectations as checks: one a table that the YAML expects something of, with a row an expectation."""

from collections.abc import Callable, Iterator

import dagster as dg

from ok_ml import columns as c
from ok_ml.checks.findings import nothing_judged, way_out_first
from ok_ml.config.models import DatasetConfig, Project
from ok_ml.graph import keys
from ok_ml.graph.dagster_io import failures, page_metadata, table_metadata
from ok_ml.lake import Lake
from ok_ml.monitoring.judges.expectation_judge import OF_FEATURES, shown
from ok_ml.monitoring.judges.expectation_results import EXPECTATIONS, Expected, in_rows, outcomes_on, page_path
from ok_ml.quality.judges import rules
from ok_ml.quality.judges.acceptance import command_of
from ok_ml.quality.judges.rules import Finding, summary
from ok_ml.stages.pipeline import Pipeline

# The day that is judged, and what was found of it.
Judge = Callable[[], tuple[str, list[Finding]]]


def dataset_expectations(project: Project, dataset: DatasetConfig) -> Iterator[dg.AssetChecksDefinition]:
    """Of the newest day's tables; critical ones block what is made from them, as the rules of the log do."""
    expected = Expected.of(project, dataset.dataset)
    for table in expected.tables:

        def judge(table: str = table) -> tuple[str, list[Finding]]:
            from ok_ml.monitoring.judges.data_judge import settled_verdict

            dt = Lake(project.lake_root).latest(dataset.dataset, c.EVENTS)
            found = settled_verdict(project, dataset, dt).by_kind.get(EXPECTATIONS, ())
            return dt, [one for one in found if one.entity == table]

        yield _check(expected, table, judge, blocking=True)


def experiment_expectations(pipeline: Pipeline) -> Iterator[dg.AssetChecksDefinition]:
    """Of the newest features and lists.

    Those of features do not stop the run: the check of their statistics, which knows of them, does. So a verdict that a person
    can accept is there before anything stops.
    """
    expected = Expected.of(pipeline.project, pipeline.name)
    for table in expected.tables:

        def features(table: str = table) -> tuple[str, list[Finding]]:
            from ok_ml.monitoring.judges.feature_judge import expected_findings

            dt = pipeline.calendar().serve_cut
            return dt, expected_findings(pipeline, dt, table)

        def lists(table: str = table) -> tuple[str, list[Finding]]:
            from ok_ml.monitoring.judges.prediction_judge import expected_findings, judge_predictions

            judged = judge_predictions(pipeline)
            return judged.dt, expected_findings(pipeline, judged, table)

        of_features = table in OF_FEATURES
        yield _check(expected, table, features if of_features else lists, blocking=not of_features)


def _check(expected: Expected, table: str, judge: Judge, *, blocking: bool) -> dg.AssetChecksDefinition:
    names = [one.name for group in expected.groups if group.table == table for one in group.named]
    listed = ", ".join(f"`{name}`" for name in names)

    @dg.asset_check(
        asset=keys.asset_key(expected.scope, table),
        name=EXPECTATIONS,
        blocking=blocking,
        description=f"What checks.expectations of {expected.scope} expects of the newest {table}: {listed}.",
    )
    def expectations(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        with failures():
            dt, found = judge()
        if not found:
            return nothing_judged(f"{dt}: {table} of this day is not there yet: nothing to judge")
        context.log.info(summary(found))
        return _result(expected, table, dt, found)

    return expectations


def _result(expected: Expected, table: str, dt: str, found: list[Finding]) -> dg.AssetCheckResult:
    outcomes, total = outcomes_on(expected, table, dt)
    failed, blocks = rules.failures(found), bool(rules.failures(found, "block"))
    return dg.AssetCheckResult(
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN,
        description=way_out_first(f"{dt}: {summary(found)}", dt, command_of(expected.scope, dt), blocks=blocks),
        metadata={
            "page": page_metadata(expected.project, page_path(expected.project, expected.scope, table, dt)),
            "results": table_metadata(shown(outcomes)),
            "expectations": len(found),
            "failed": len(failed),
            "rows": in_rows(expected, table, total),
        },
    )
