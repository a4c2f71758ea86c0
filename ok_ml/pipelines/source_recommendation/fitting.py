"""The fits of an experiment: one a cut, so that nothing that is judged has seen its own future."""

from collections.abc import Callable
from typing import Any, Final

from ok_ml.lake import Manifest
from ok_ml.partitions import TrainingCalendar
from ok_ml.pipelines.source_recommendation.plan import RankingPlan
from ok_ml.ranked_lists.fits import EVAL, commit_fits

TRAIN: Final = "train"


def fit_cuts(pipeline: RankingPlan, session: Callable[[], Any], *, progress: Callable[[str], None]) -> Manifest:
    """Fit for training rows and for the evaluation, and commit both together.

    Parameters
    ----------
    session
        Gives a Spark session; called only if the engine needs one.
    """
    plan = pipeline.calendar()
    cuts = {train_fit(plan, one.cut): one.cut for one in plan.windows}
    return commit_fits(pipeline, {**cuts, EVAL: plan.eval_cut}, session, progress)


def train_fit(plan: TrainingCalendar, cut: str) -> str:
    """Folder of the fit that belongs to a window of labels; the newest window's is TRAIN."""
    return TRAIN if cut == plan.windows[-1].cut else f"{TRAIN}-{cut}"
