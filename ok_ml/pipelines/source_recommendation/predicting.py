"""Predictions for every user by the champion, once the day's features are judged."""

from collections.abc import Callable
from typing import Any

from ok_ml.lake import Manifest
from ok_ml.monitoring.judges.feature_judge import require_verdict
from ok_ml.pipelines.source_recommendation.plan import RankingPlan
from ok_ml.ranked_lists import predicting


def predict(pipeline: RankingPlan, session: Any, *, progress: Callable[[str], None]) -> Manifest:
    """As every list; raises GateRefused also where the day's features are not judged, or blocked."""
    verdict = require_verdict(pipeline, pipeline.calendar().serve_cut)
    return predicting.predict(pipeline, session, progress=progress, verdict=verdict.data_version)
