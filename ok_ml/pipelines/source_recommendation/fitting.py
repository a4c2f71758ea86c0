"""Embeddings and popularity of an experiment: one fit a cut, so that nothing that is judged has seen its own future."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ok_ml import columns as c
from ok_ml.config.models import PredictionsStage
from ok_ml.lake import WHOLE, Manifest, fingerprint, tree_fingerprint
from ok_ml.partitions import TrainingCalendar, window
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation

if TYPE_CHECKING:
    from ok_ml.recommender.embeddings import Factors
    from ok_ml.recommender.neighbours import Neighbours
    from ok_ml.recommender.popularity import Popularity
    from ok_ml.recommender.ranker import Ranker

TRAIN: Final = "train"
EVAL: Final = "eval"
SERVE: Final = "serve"
_NEIGHBOURS: Final = "neighbours"
# Half-lives in popularity windows: what candidates come from forgets slower than the baseline "what is hot just now".
_CANDIDATE_HALF_LIFE: Final = 1 / 3
_RECENT_HALF_LIFE: Final = 1 / 7


def fit_cuts(
    pipeline: SourceRecommendation, session: Callable[[], Any], *, progress: Callable[[str], None]
) -> Manifest:
    """Fit vectors for training rows, for the evaluation and for serving, and commit them together.

    Parameters
    ----------
    session
        Gives a Spark session; called only if the engine needs one.
    """
    plan, inputs = pipeline.calendar(), pipeline.inputs_of(c.EMBEDDINGS)
    cuts = {train_fit(plan, one.cut): one.cut for one in plan.windows}
    cuts |= {EVAL: plan.eval_cut, SERVE: plan.serve_cut}
    with pipeline.lake.staged(pipeline.name, c.EMBEDDINGS, WHOLE) as folder:
        shapes: dict[str, Any] = {}
        for number, (name, dt) in enumerate(cuts.items(), 1):
            twin = next((other for other in list(cuts)[: number - 1] if cuts[other] == dt), None)
            progress(f"embeddings {number} of {len(cuts)}: {name}, events up to {dt}")
            if twin:
                shutil.copytree(folder / twin, folder / name)
            else:
                _fit(pipeline, dt, session).save(folder / name)
                _fit_neighbours(pipeline, dt).save(folder / name / _NEIGHBOURS)
            shapes[name] = load_factors(folder / name)
        served = shapes[SERVE]
        return pipeline.lake.commit(
            folder,
            rows=len(served.user_ids) + len(served.source_ids),
            inputs=inputs,
            data_version=fingerprint({name: tree_fingerprint(folder / name) for name in cuts}),
            details={
                **{f"{name}_cut": dt for name, dt in cuts.items()},
                "users": len(served.user_ids),
                "sources": len(served.source_ids),
                "factors": served.width,
                "engine": pipeline.config.stages.embeddings.engine,
                "neighbours": ", ".join(pipeline.config.stages.neighbours.models) or "none",
            },
        )


def _fit(pipeline: SourceRecommendation, cut: str, session: Callable[[], Any]) -> "Factors":
    from ok_ml.recommender.embeddings import create_engine, require_factors
    from ok_ml.recommender.interactions import embedding_weights, interactions_from_events

    stage = pipeline.config.stages.embeddings
    interactions = interactions_from_events(
        pipeline.lake,
        pipeline.dataset_scope,
        pipeline.learnt_dts(cut),
        embedding_weights(pipeline.dataset.weights, stage),
        cut,
        stage.half_life_days,
    )
    engine = create_engine(stage.engine, session=session, root=pipeline.project.root)
    return require_factors(engine.fit(interactions, stage, pipeline.config.seed), interactions, stage.engine)


def _fit_neighbours(pipeline: SourceRecommendation, cut: str) -> "Neighbours":
    from ok_ml.recommender.interactions import interactions_from_events
    from ok_ml.recommender.neighbour_fits import fit_neighbours
    from ok_ml.recommender.neighbours import Neighbours

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


def load_factors(folder: Path) -> "Factors":
    """Vectors of one folder, mapped into memory."""
    from ok_ml.recommender.embeddings import Factors

    return Factors.load(folder)


def factors_of(pipeline: SourceRecommendation, cut: str) -> "Factors":
    """The committed vectors of a fit: TRAIN, EVAL, SERVE, or what `train_fit` names."""
    return load_factors(_folder_of(pipeline, cut))


def neighbours_of(pipeline: SourceRecommendation, cut: str) -> "Neighbours":
    """The committed neighbours of the same fits."""
    from ok_ml.recommender.neighbours import Neighbours

    return Neighbours.load(_folder_of(pipeline, cut) / _NEIGHBOURS)


def _folder_of(pipeline: SourceRecommendation, cut: str) -> Path:
    manifest = pipeline.lake.manifest(pipeline.name, c.EMBEDDINGS)
    return pipeline.lake.folder(manifest) / cut


def candidate_popularity(pipeline: SourceRecommendation, dt: str) -> "Popularity":
    """What popular candidates, the fallback list and the popularity features come from, as of `dt`."""
    return _popularity(pipeline, dt, _CANDIDATE_HALF_LIFE)


def recent_popularity(pipeline: SourceRecommendation, dt: str) -> "Popularity":
    """The baseline of what is hot just now."""
    return _popularity(pipeline, dt, _RECENT_HALF_LIFE)


def plain_popularity(pipeline: SourceRecommendation, dt: str) -> "Popularity":
    """The classic baseline: everything in the window of the embeddings, without decay."""
    from ok_ml.recommender.popularity import popularity_from_events

    return popularity_from_events(
        pipeline.lake, pipeline.dataset_scope, pipeline.learnt_dts(dt), pipeline.dataset.weights, dt
    )


def popularity_behind(pipeline: SourceRecommendation, ranker: "Ranker", dt: str) -> "Popularity":
    """What a ranker's popular candidates, fallback list and popularity features come from; a simple list brings its own."""
    from ok_ml.recommender.baselines import POPULARITY, RECENT_POPULARITY
    from ok_ml.recommender.column_ranker import ColumnRanker

    own = {POPULARITY: plain_popularity, RECENT_POPULARITY: recent_popularity}
    named = ranker.simple_list if isinstance(ranker, ColumnRanker) else ""
    return own.get(named, candidate_popularity)(pipeline, dt)


def stage_behind(pipeline: SourceRecommendation, ranker: "Ranker") -> PredictionsStage:
    """How many candidates a ranker weighs: of a simple list so many that all of its own best are among them."""
    from ok_ml.recommender.candidates import NEIGHBOURS_SHARE, POPULAR_SHARE
    from ok_ml.recommender.column_ranker import ColumnRanker

    stages = pipeline.config.stages
    if not isinstance(ranker, ColumnRanker):
        return stages.predictions
    depth = max(stages.predictions.top_n, *stages.evaluation.k)
    enough = math.ceil(depth / min(POPULAR_SHARE, NEIGHBOURS_SHARE)) + 1
    return stages.predictions.model_copy(update={"candidates": max(stages.predictions.candidates, enough)})


def _popularity(pipeline: SourceRecommendation, dt: str, half_lives: float) -> "Popularity":
    from ok_ml.recommender.popularity import popularity_from_events

    days = pipeline.config.stages.features.popularity_days
    return popularity_from_events(
        pipeline.lake,
        pipeline.dataset_scope,
        window(pipeline.committed(), dt, days),
        pipeline.dataset.weights,
        dt,
        days * half_lives,
    )
