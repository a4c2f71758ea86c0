"""Vectors and popularity of a pipeline of lists as of a day."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ok_ml import columns as c
from ok_ml.config.models import EmbeddingsStage
from ok_ml.ranked_lists.pipeline import ListPipeline

if TYPE_CHECKING:
    from ok_ml.recommender.retrieval.popularity import Popularity
    from ok_ml.recommender.vectors.embeddings import Factors

EVAL: Final = "eval"
SERVE: Final = "serve"
# Half-lives in popularity windows: what candidates come from forgets slower than the baseline "what is hot just now".
_CANDIDATE_HALF_LIFE: Final = 1 / 3
_RECENT_HALF_LIFE: Final = 1 / 7


def fit_factors(
    pipeline: ListPipeline, cut: str, session: Callable[[], Any], stage: EmbeddingsStage | None = None
) -> "Factors":
    """Vectors of users and sources from the events up to a cut.

    Parameters
    ----------
    session
        Gives Spark where the engine asks for it.
    stage
        How they are fitted; default: as the YAML says.
    """
    from ok_ml.recommender.vectors.embeddings import create_engine, require_factors
    from ok_ml.recommender.vectors.interactions import embedding_weights, interactions_from_events

    stage = stage or pipeline.config.stages.embeddings
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


def candidate_popularity(pipeline: ListPipeline, dt: str) -> "Popularity":
    """What popular candidates, the fallback list and the popularity features come from, as of `dt`."""
    return _popularity(pipeline, dt, _CANDIDATE_HALF_LIFE)


def recent_popularity(pipeline: ListPipeline, dt: str) -> "Popularity":
    """The baseline of what is hot just now."""
    return _popularity(pipeline, dt, _RECENT_HALF_LIFE)


def plain_popularity(pipeline: ListPipeline, dt: str) -> "Popularity":
    """The classic baseline: everything in the window of the embeddings, without decay."""
    from ok_ml.recommender.retrieval.popularity import popularity_from_events

    return popularity_from_events(
        pipeline.lake, pipeline.dataset_scope, pipeline.learnt_dts(dt), pipeline.dataset.weights, dt
    )


def _popularity(pipeline: ListPipeline, dt: str, half_lives: float) -> "Popularity":
    from ok_ml.recommender.retrieval.popularity import popularity_from_events

    days = pipeline.popularity_days
    return popularity_from_events(
        pipeline.lake,
        pipeline.dataset_scope,
        pipeline.popularity_dts(dt),
        pipeline.dataset.weights,
        dt,
        days * half_lives,
    )


def load_factors(folder: Path) -> "Factors":
    """Vectors of one folder, mapped into memory."""
    from ok_ml.recommender.vectors.embeddings import Factors

    return Factors.load(folder)


def factors_of(pipeline: ListPipeline, cut: str) -> "Factors":
    """The committed vectors of a fit: EVAL, SERVE, or another of the type."""
    return load_factors(fit_folder(pipeline, cut))


def fit_folder(pipeline: ListPipeline, cut: str) -> Path:
    """Where the vectors of a fit are committed."""
    manifest = pipeline.lake.manifest(pipeline.name, c.EMBEDDINGS)
    return pipeline.lake.folder(manifest) / cut
