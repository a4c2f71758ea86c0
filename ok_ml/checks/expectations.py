"""Expectations of Great Expectations as checks: one a table that the YAML expects something of, with a row an expectation."""

from collections.abc import Callable, Iterator

import dagster as dg

from ok_ml import columns as c
from ok_ml.checks.findings import nothing_judged, result_of
from ok_ml.config.models import DatasetConfig, Project
from ok_ml.graph import keys
from ok_ml.graph.dagster_io import failures, page_metadata, table_metadata
from ok_ml.lake import Lake
from ok_ml.monitoring.judges.expectation_judge import OF_FEATURES, shown
from ok_ml.monitoring.judges.expectation_results import EXPECTATIONS, Expected, in_rows, outcomes_on, page_path
from ok_ml.quality.judges.verdicts import Verdict
from ok_ml.stages.pipeline import Pipeline

Judge = Callable[[], Verdict]


def dataset_expectations(project: Project, dataset: DatasetConfig) -> Iterator[dg.AssetChecksDefinition]:
    """Of the newest day's tables; critical ones block what is made from them, as the rules of the log do."""
    expected = Expected.of(project, dataset.dataset)

    def judge() -> Verdict:
        from ok_ml.monitoring.judges.data_judge import settled_verdict

        return settled_verdict(project, dataset, Lake(project.lake_root).latest(dataset.dataset, c.EVENTS))

    yield from (_check(expected, table, judge, blocking=True) for table in expected.tables)


def experiment_expectations(pipeline: Pipeline) -> Iterator[dg.AssetChecksDefinition]:
    """Of the newest features and lists.

    Those of features do not stop the run: the check of their statistics, which knows of them, does. So a verdict that a person
    can accept is there before anything stops.
    """
    expected = Expected.of(pipeline.project, pipeline.name)
    for table in expected.tables:

        def features(table: str = table) -> Verdict:
            from ok_ml.monitoring.judges.feature_judge import expected_features

            return expected_features(pipeline, table)

        def lists() -> Verdict:
            from ok_ml.monitoring.judges.prediction_judge import judge_predictions

            return judge_predictions(pipeline)

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
            verdict = judge().part(kind=EXPECTATIONS, entity=table)
        dt = verdict.dt
        if not verdict.findings:
            return nothing_judged(f"{dt}: {table} of this day is not there yet: nothing to judge")
        context.log.info(verdict.headline)
        outcomes, total = outcomes_on(expected, table, dt)
        metadata = {
            "page": page_metadata(expected.project, page_path(expected.project, expected.scope, table, dt)),
            "results": table_metadata(shown(outcomes)),
            "rows": in_rows(expected, table, total),
        }
        return result_of(expected.project, verdict, metadata=metadata)

    return expectations
