"""Scores of the newest texts by the champion."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.lake import Manifest
from ok_ml.monitoring.judges.feature_judge import require_verdict
from ok_ml.pipelines.text_classification.plan import LabelPlan
from ok_ml.pipelines.text_classification.training import SERVE
from ok_ml.release.gate.promoting import champion_bundle
from ok_ml.texts.label_scorer import LabelScorer

DECIDED = "decided"


def predict(pipeline: LabelPlan, *, progress: Callable[[str], None]) -> Manifest:
    """Score every text of the scored days with the champion's bundle, verified; commit one file a part.

    Raises
    ------
    GateRefused
        There is no champion, or the day's features are not judged or blocked.
    """
    dt = pipeline.calendar().serve_cut
    verdict = require_verdict(pipeline, dt)
    bundle, record = champion_bundle(pipeline)
    inputs, scorer = pipeline.inputs_of(c.PREDICTIONS, dt), LabelScorer.load(bundle / SERVE)
    rows = pipeline.texts_of(pipeline.scored_dts())
    progress(f"scores of {rows.num_rows:,} texts with model version {record.model_version}")
    probabilities = scorer.probabilities(rows[c.TEXT].to_pylist())
    offsets = np.arange(0, probabilities.size + 1, max(len(scorer.labels), 1), dtype=np.int32)
    scored = pa.table(
        {
            c.TEXT_ID: rows[c.TEXT_ID],
            c.PART: rows[c.PART],
            c.SCORES: pa.ListArray.from_arrays(pa.array(offsets), pa.array(probabilities.ravel())),
            DECIDED: pa.array(scorer.decide(probabilities)),
        }
    )
    details = {
        "model_version": record.model_version,
        "data_dt": dt,
        "verdict": verdict.data_version,
        "labels": list(scorer.labels),
    }
    return pipeline.lake.write(
        pipeline.name,
        c.PREDICTIONS,
        dt,
        scored,
        sort_by=[c.TEXT_ID],
        inputs=inputs,
        details=details,
        by_part=True,
    )
