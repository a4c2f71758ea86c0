"""Embeddings and popularity of an experiment: one fit a cut, so that nothing that is judged has seen its own future."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ok_ml.config.models import PredictionsStage
from ok_ml.lake import Manifest
from ok_ml.partitions import TrainingCalendar
from ok_ml.pipelines.source_recommendation.plan import RankingPlan
from ok_ml.ranked_lists.fits import (
    EVAL,
    SERVE,
    candidate_popularity,
    commit_fits,
    fit_factors,
    fit_folder,
    plain_popularity,
    recent_popularity,
)

if TYPE_CHECKING:
    from ok_ml.recommender.ranking.ranker import Ranker
    from ok_ml.recommender.retrieval.neighbours import Neighbours
    from ok_ml.recommender.retrieval.popularity import Popularity

TRAIN: Final = "train"
_NEIGHBOURS: Final = "neighbours"


def fit_cuts(pipeline: RankingPlan, session: Callable[[], Any], *, progress: Callable[[str], None]) -> Manifest:
    """Fit vectors for training rows, for the evaluation and for serving, and commit them together.

    Parameters
    ----------
    session
        Gives a Spark session; called only if the engine needs one.
    """
    plan = pipeline.calendar()
    cuts = {train_fit(plan, one.cut): one.cut for one in plan.windows}
    cuts |= {EVAL: plan.eval_cut, SERVE: plan.serve_cut}

    def fit(dt: str, folder: Path) -> None:
        fit_factors(pipeline, dt, session).save(folder)
        _fit_neighbours(pipeline, dt).save(folder / _NEIGHBOURS)

    models = ", ".join(pipeline.config.stages.neighbours.models) or "none"
    return commit_fits(pipeline, cuts, fit, progress, neighbours=models)


def _fit_neighbours(pipeline: RankingPlan, cut: str) -> "Neighbours":
    from ok_ml.recommender.retrieval.neighbour_fits import fit_neighbours
    from ok_ml.recommender.retrieval.neighbours import Neighbours
    from ok_ml.recommender.vectors.interactions import interactions_from_events

    stage = pipeline.config.stages.neighbours
    if not stage.models:
        return Neighbours.none()
    interactions = interactions_from_events(
        pipeline.lake,
        pipeline.dataset_scope,
        pipeline.learnt_dts(cut),
        pipeline.dataset.weights,
        cut,
        stage.half_life_days,
    )
    return fit_neighbours(interactions, stage)


def train_fit(plan: TrainingCalendar, cut: str) -> str:
    """Folder of the vectors that belong to a window of labels; the newest window's is TRAIN."""
    return TRAIN if cut == plan.windows[-1].cut else f"{TRAIN}-{cut}"


def neighbours_of(pipeline: RankingPlan, cut: str) -> "Neighbours":
    """The committed neighbours of the same fits."""
    from ok_ml.recommender.retrieval.neighbours import Neighbours

    return Neighbours.load(fit_folder(pipeline, cut) / _NEIGHBOURS)


def popularity_behind(pipeline: RankingPlan, ranker: "Ranker", dt: str) -> "Popularity":
    """What a ranker's popular candidates, fallback list and popularity features come from; a simple list brings its own."""
    from ok_ml.recommender.ranking.baselines import POPULARITY, RECENT_POPULARITY
    from ok_ml.recommender.ranking.column_ranker import ColumnRanker

    own = {POPULARITY: plain_popularity, RECENT_POPULARITY: recent_popularity}
    named = ranker.simple_list if isinstance(ranker, ColumnRanker) else ""
    return own.get(named, candidate_popularity)(pipeline, dt)


def stage_behind(pipeline: RankingPlan, ranker: "Ranker") -> PredictionsStage:
    """How many candidates a ranker weighs: of a simple list so many that all of its own best are among them."""
    from ok_ml.recommender.ranking.column_ranker import ColumnRanker
    from ok_ml.recommender.retrieval.candidates import NEIGHBOURS_SHARE, POPULAR_SHARE

    stages = pipeline.config.stages
    if not isinstance(ranker, ColumnRanker):
        return stages.predictions
    depth = max(stages.predictions.top_n, *stages.evaluation.k)
    enough = math.ceil(depth / min(POPULAR_SHARE, NEIGHBOURS_SHARE)) + 1
    return stages.predictions.model_copy(update={"candidates": max(stages.predictions.candidates, enough)})
