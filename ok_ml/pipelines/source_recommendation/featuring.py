"""The feature tables of an experiment's days."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from ok_ml import columns as c
from ok_ml.features.declared.feature import Entity
from ok_ml.features.declared.registry import ENTITY_OF
from ok_ml.lake import Manifest
from ok_ml.pipelines.source_recommendation.plan import RankingPlan


def build_features(
    pipeline: RankingPlan,
    session: Any,
    dts: list[str],
    *,
    progress: Callable[[str], None],
    tables: Sequence[str] = c.FEATURE_TABLES,
) -> dict[str, list[Manifest]]:
    """Compute and commit feature tables of some days in one pass over the events; table -> manifests by day."""
    from ok_ml.features.computing.compute import compute_features

    progress(f"features of {len(dts)} days, {dts[0]} .. {dts[-1]}")
    # Before the code is loaded: a file that changes meanwhile leaves a record that is not current, and is run again.
    records = {(dt, table): pipeline.inputs_of(table, dt) for dt in dts for table in tables}
    return compute_features(
        session,
        pipeline.lake,
        scope=pipeline.name,
        dataset=pipeline.dataset,
        stage=pipeline.config.stages.features,
        dts=dts,
        inputs_for=lambda dt, table: records[dt, table],
        tables=tables,
        features=pipeline.features,
        leave_out=pipeline.blocked(),
    )


def describe_features(pipeline: RankingPlan, table: str) -> list[dict[str, Any]]:
    """One row a feature of a table: family, unit, window, owner; none for a table that is not features by name."""
    from ok_ml.features.declared.registry import describe

    entity = ENTITY_OF.get(table)
    return [dict(row) for row in describe(cast("Entity", entity), pipeline.features)] if entity else []
