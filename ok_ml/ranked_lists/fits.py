"""Vectors and popularity of a pipeline of lists as of a day."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ok_ml import columns as c
from ok_ml.config.models import EmbeddingsStage
from ok_ml.lake import WHOLE, Manifest, fingerprint, tree_fingerprint
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


def commit_fits(
    pipeline: ListPipeline,
    cuts: Mapping[str, str],
    fit: Callable[[str, Path], None],
    progress: Callable[[str], None],
    **more: str,
) -> Manifest:
    """Fit vectors up to each of some cuts, SERVE among them, and commit them together; a cut that comes twice is fitted once.

    Parameters
    ----------
    cuts
        Name of a fit -> the last day of its events.
    fit
        (cut, folder): fit and save.
    more
        What else the manifest says.
    """
    from ok_ml.recommender.vectors.embeddings import Factors

    inputs, names = pipeline.inputs_of(c.EMBEDDINGS), list(cuts)
    with pipeline.lake.staged(pipeline.name, c.EMBEDDINGS, WHOLE) as folder:
        for number, (name, dt) in enumerate(cuts.items()):
            progress(f"embeddings {number + 1} of {len(cuts)}: {name}, events up to {dt}")
            same_cut = next((other for other in names[:number] if cuts[other] == dt), None)
            if same_cut is not None:
                shutil.copytree(folder / same_cut, folder / name)
            else:
                fit(dt, folder / name)
        served = Factors.load(folder / SERVE)
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
                **more,
            },
        )


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


def factors_of(pipeline: ListPipeline, cut: str) -> "Factors":
    """The committed vectors of a fit: EVAL, SERVE, or another of the type."""
    from ok_ml.recommender.vectors.embeddings import Factors

    return Factors.load(fit_folder(pipeline, cut))


def fit_folder(pipeline: ListPipeline, cut: str) -> Path:
    """Where the vectors of a fit are committed."""
    manifest = pipeline.lake.manifest(pipeline.name, c.EMBEDDINGS)
    return pipeline.lake.folder(manifest) / cut
