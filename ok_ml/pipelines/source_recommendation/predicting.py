"""Predictions for every user by the champion, and what they must look like before they are served."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ok_ml import columns as c
from ok_ml.lake import Manifest
from ok_ml.monitoring.judges.feature_judge import require_verdict
from ok_ml.pipelines.source_recommendation.plan import RankingPlan
from ok_ml.release.gate.promoting import champion_bundle


def predict(pipeline: RankingPlan, session: Any, *, progress: Callable[[str], None]) -> Manifest:
    """Rank for every user of the newest day with the champion's bundle, verified; commit.

    Raises
    ------
    GateRefused
        There is no champion, or the day's features are not judged or blocked.
    IntegrityError
        The champion's record or bytes were changed.
    """
    from ok_ml.recommender.inference.batch import part_mapper, score_all, warm_kernels

    dt = pipeline.calendar().serve_cut
    verdict = require_verdict(pipeline, dt)
    bundle, record = champion_bundle(pipeline)
    inputs = pipeline.inputs_of(c.PREDICTIONS, dt)
    warm_kernels()
    progress(f"predictions of {dt} with model version {record.model_version}")
    where = (str(bundle), str(pipeline.lake.root), pipeline.dataset_scope, pipeline.name, dt)
    return score_all(
        session,
        partial(part_mapper, *where),
        pipeline.lake,
        pipeline.name,
        dt,
        pipeline.dataset.parts,
        inputs=inputs,
        details={"model_version": record.model_version, "data_dt": dt, "verdict": verdict.data_version},
    )
