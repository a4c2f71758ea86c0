"""Lists for every user by the champion, on what was fitted for the day."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ok_ml import columns as c
from ok_ml.lake import Manifest
from ok_ml.ranked_lists.fits import retrieval_of
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.release.gate.promoting import champion_bundle

DIVERSITY: Final = "diversity"  # in the details of predictions: what their first places were ordered with


def predict(pipeline: ListPipeline, session: Any, *, progress: Callable[[str], None], **details: str) -> Manifest:
    """Rank for every user of the newest day with the champion's bundle, verified; commit.

    Parameters
    ----------
    details
        What else the manifest says.

    Raises
    ------
    GateRefused
        There is no champion.
    IntegrityError
        The champion's record or bytes were changed.
    """
    from ok_ml.recommender.inference.batch import part_mapper, score_all, warm_kernels
    from ok_ml.recommender.inference.scoring import ScoringBundle, ScoringJob

    dt = pipeline.calendar().serve_cut
    bundle, record = champion_bundle(pipeline)
    inputs = pipeline.inputs_of(c.PREDICTIONS, dt)
    warm_kernels()
    progress(f"predictions of {dt} with model version {record.model_version}")
    loaded = ScoringBundle.load(bundle)
    said = {c.SCORES: loaded.scores_are, DIVERSITY: loaded.stage.diversity}
    folders, root = (str(bundle), str(retrieval_of(pipeline, dt))), str(pipeline.lake.root)
    job = ScoringJob(*folders, root, pipeline.dataset_scope, pipeline.name, dt, pipeline.exploration)
    return score_all(
        session,
        partial(part_mapper, job),
        pipeline.lake,
        pipeline.name,
        dt,
        pipeline.dataset.parts,
        inputs=inputs,
        details={
            "model_version": record.model_version,
            "data_dt": dt,
            "exploration": pipeline.exploration,
            **said,
            **details,
        },
    )
