"""Fits, bundle and evaluation of vectors alone."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ok_ml import columns as c
from ok_ml.lake import WHOLE, Manifest
from ok_ml.ranked_lists.bundles import as_trained
from ok_ml.ranked_lists.fits import EVAL, commit_fits, fitted_for, recipe_of_fits
from ok_ml.ranked_lists.list_evaluator import ListEvaluator, cut_of
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.release.model_record import commit_model
from ok_ml.stages.training import Register

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ok_ml.recommender.ranking.ranking_context import Cut


def fit_vectors(pipeline: ListPipeline, session: Callable[[], Any], *, progress: Callable[[str], None]) -> Manifest:
    """Fit vectors for the evaluation; those that serve are fitted every day, by the same recipe."""
    return commit_fits(pipeline, {EVAL: pipeline.calendar().eval_cut}, session, progress)


def bundle_vectors(pipeline: ListPipeline, register: Register, *, dagster_run_id: str) -> Manifest:
    """How the vectors are fitted and ordered, registered and committed."""
    from ok_ml.recommender.inference.scoring import ScoringBundle
    from ok_ml.recommender.ranking.column_ranker import EMBEDDINGS_ALONE, ColumnRanker, layout_of

    inputs, trained = pipeline.inputs_of(c.MODEL), ColumnRanker.of(EMBEDDINGS_ALONE)
    factors, stage = fitted_for(pipeline, EVAL).factors, pipeline.config.stages.predictions
    with pipeline.lake.staged(pipeline.name, c.MODEL, WHOLE) as folder:
        bundle = ScoringBundle(trained.ranker, layout_of(EMBEDDINGS_ALONE), stage, recipe_of_fits(pipeline))
        bundle.save(folder, trained.sample)
        counts = {"users": float(len(factors.user_ids)), "sources": float(len(factors.source_ids))}
        return commit_model(
            pipeline,
            as_trained(folder, trained, counts),
            register,
            inputs,
            rows=len(factors.source_ids),
            bins="none",
            dagster_run_id=dagster_run_id,
        )


class VectorEvaluator(ListEvaluator):
    """Exact best of the vectors."""

    @cached_property
    def cut(self) -> "Cut":
        """The day before the evaluation days, with vectors that were fitted up to it."""
        return cut_of(self.pipeline, fitted_for(self.pipeline, EVAL), self.pipeline.layout())

    def newest(self) -> "NDArray[np.int64]":
        """What the newest vectors would serve."""
        from ok_ml.recommender.ranking.column_ranker import ColumnRanker

        return self.lists_by(ColumnRanker.of(self.challenger).ranker)
