"""The checks of an experiment: one loop over what its type has."""

from collections.abc import Iterator

import dagster as dg

from ok_ml import columns as c
from ok_ml.checks.expectations import experiment_expectations
from ok_ml.checks.features import feature_check
from ok_ml.checks.online import online_check
from ok_ml.checks.series import experiment_series_check
from ok_ml.checks.serving import model_check, prediction_checks
from ok_ml.config.models import Project
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.stages.pipeline import Pipeline


def stage_checks(project: Project, pipeline: Pipeline) -> Iterator[dg.AssetChecksDefinition]:
    """What is checked of an experiment's stages."""
    kind = pipeline.type
    if kind.has(c.FEATURE_STATISTICS):
        yield feature_check(project, pipeline)
    if kind.has(c.EVALUATION) and pipeline.floor:
        yield model_check(pipeline)
    if kind.kind is not None:
        yield from prediction_checks(pipeline)
    yield from experiment_expectations(pipeline)
    for table in kind.banded:
        yield experiment_series_check(project, pipeline, table)
    if kind.has(c.ONLINE_METRICS) and isinstance(pipeline, ListPipeline):
        yield online_check(project, pipeline)
