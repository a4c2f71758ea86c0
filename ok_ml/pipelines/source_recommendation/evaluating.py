"""The two-stage model compared with the baselines, on days that it has not seen."""

from functools import cached_property
from typing import TYPE_CHECKING

from ok_ml import columns as c
from ok_ml.pipelines.source_recommendation.plan import RankingPlan
from ok_ml.ranked_lists.fits import EVAL, fitted_for
from ok_ml.ranked_lists.list_evaluator import ListEvaluator, cut_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ok_ml.recommender.ranking.ranking_context import Cut


class TwoStageEvaluator(ListEvaluator):
    """Candidates of vectors, neighbours and popularity, ordered by the ranker."""

    pipeline: RankingPlan

    @cached_property
    def cut(self) -> "Cut":
        """The day before the evaluation days, with what was fitted up to it."""
        return cut_of(self.pipeline, fitted_for(self.pipeline, EVAL), self.pipeline.layout())

    def newest(self) -> "NDArray[np.int64]":
        """What the newest model would serve."""
        from ok_ml.recommender.inference.scoring import ScoringBundle

        lake = self.pipeline.lake
        bundle = ScoringBundle.load(lake.folder(lake.manifest(self.pipeline.name, c.MODEL)))
        return self.lists_by(bundle.ranker)
