"""The two-stage model compared with the baselines, on days that it has not seen."""

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ok_ml import columns as c
from ok_ml.lake import Manifest
from ok_ml.pipelines.source_recommendation.fitting import neighbours_of, popularity_behind, stage_behind
from ok_ml.pipelines.source_recommendation.plan import RankingPlan
from ok_ml.ranked_lists.fits import EVAL, candidate_popularity, factors_of
from ok_ml.ranked_lists.list_evaluator import ListEvaluator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ok_ml.recommender.inference.scoring import ScoringBundle
    from ok_ml.recommender.ranking.gather import FeatureLayout
    from ok_ml.recommender.ranking.ranker import Ranker
    from ok_ml.recommender.ranking.ranking_context import Cut
    from ok_ml.recommender.retrieval.neighbours import Neighbours
    from ok_ml.recommender.retrieval.popularity import Popularity
    from ok_ml.recommender.vectors.embeddings import Factors


class TwoStageEvaluator(ListEvaluator):
    """Candidates of vectors, neighbours and popularity, ordered by the ranker."""

    pipeline: RankingPlan

    @cached_property
    def cut(self) -> "Cut":
        """The day before the evaluation days, with vectors that were fitted up to it."""
        return cut_of_evaluation(self.pipeline)

    def newest(self) -> "NDArray[np.int64]":
        """What the newest model would serve."""
        ranker = _bundle(self.pipeline, self.pipeline.lake.manifest(self.pipeline.name, c.MODEL)).ranker
        return lists_by(self.pipeline, self.users, ranker, self.cut)

    def champion(self, manifest: Manifest) -> "NDArray[np.int64] | None":
        """The champion as it serves: with its own vectors, unless they have already seen the evaluation days.

        A champion that knows features which are not computed any more cannot be ranked with; it is left out.
        """
        from ok_ml.recommender.ranking.baselines import two_stage_lists

        pipeline, bundle = self.pipeline, _bundle(self.pipeline, manifest)
        if not set(bundle.layout.feature_order()) <= set(pipeline.layout().feature_order()):
            return None
        saw_the_days = str(manifest.details["serve_cut"]) > pipeline.calendar().eval_cut
        fitted = _fitted_again(pipeline, bundle, self.cut) if saw_the_days else bundle
        cut = _cut(pipeline, fitted, bundle.layout)
        return two_stage_lists(cut, pipeline.dataset.parts, self.users, self.k, bundle.ranker, bundle.stage.candidates)


def lists_by(pipeline: RankingPlan, users: "NDArray[np.int64]", ranker: "Ranker", cut: "Cut") -> "NDArray[np.int64]":
    """What a ranker would serve at the cut of the evaluation, by the code that serves: int64 [users, max k], padded with -1."""
    from ok_ml.recommender.ranking.baselines import two_stage_lists
    from ok_ml.recommender.ranking.column_ranker import ColumnRanker

    ranker.require_features(cut.layout.feature_order())  # a model of another order of features would score nonsense
    k = max(pipeline.config.stages.evaluation.k)
    if isinstance(ranker, ColumnRanker):
        cut = replace(cut, index=replace(cut.index, popularity=popularity_behind(pipeline, ranker, cut.dt)))
    candidates = stage_behind(pipeline, ranker).candidates
    return two_stage_lists(cut, pipeline.dataset.parts, users, k, ranker, candidates)


def cut_of_evaluation(pipeline: RankingPlan) -> "Cut":
    """The day before the evaluation days, with vectors that were fitted up to it."""
    popularity = candidate_popularity(pipeline, pipeline.calendar().eval_cut)
    return _cut(
        pipeline, _Fit(factors_of(pipeline, EVAL), popularity, neighbours_of(pipeline, EVAL)), pipeline.layout()
    )


class _Fitted(Protocol):
    """What candidates come from, wherever it was fitted."""

    @property
    def factors(self) -> "Factors": ...

    @property
    def popularity(self) -> "Popularity": ...

    @property
    def neighbours(self) -> "Neighbours": ...


class _Fit(NamedTuple):
    factors: "Factors"
    popularity: "Popularity"
    neighbours: "Neighbours"


def _cut(pipeline: RankingPlan, fitted: _Fitted, layout: "FeatureLayout") -> "Cut":
    from ok_ml.recommender.ranking.ranking_context import Cut

    return Cut.load(
        pipeline.tables,
        pipeline.calendar().eval_cut,
        factors=fitted.factors,
        popularity=fitted.popularity,
        layout=layout,
        neighbours=fitted.neighbours,
    )


def _bundle(pipeline: RankingPlan, manifest: Manifest) -> "ScoringBundle":
    from ok_ml.recommender.inference.scoring import ScoringBundle

    return ScoringBundle.load(pipeline.lake.folder(manifest))


def _fitted_again(pipeline: RankingPlan, bundle: "ScoringBundle", eval_cut: "Cut") -> _Fit:
    """What a bundle would hold, fitted up to the evaluation; models of the neighbours that it lacks name no candidates."""
    fitted = eval_cut.index
    models = {name: rows for name, rows in fitted.neighbours.models.items() if name in bundle.neighbours.models}
    popularity = popularity_behind(pipeline, bundle.ranker, eval_cut.dt)
    return _Fit(fitted.factors, popularity, replace(fitted.neighbours, models=models))
