"""The two-stage model compared with the baselines, on days that it has not seen."""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ok_ml import columns as c
from ok_ml.pipelines.source_recommendation.plan import RankingPlan
from ok_ml.ranked_lists.fits import EVAL, fitted_for
from ok_ml.ranked_lists.list_evaluator import ListEvaluator, cut_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ok_ml.quality.ranking.reliability import Reliability
    from ok_ml.recommender.inference.scoring import ScoringBundle
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
        return self.lists_by(self._bundle.ranker, stage=self._bundle.stage)

    def reliability(self) -> "Reliability | None":
        """Of lists of all users, whether they found anything new or not."""
        from ok_ml.quality.ranking.reliability import Reliability
        from ok_ml.ranked_lists.outcomes import outcomes

        bundle, dts = self._bundle, self.pipeline.calendar().eval_dts
        if bundle.calibration is None:
            return None
        seen = outcomes(self.pipeline, self.cut, dts, bundle.ranker, bundle.stage)
        promised = bundle.calibration.probabilities(seen.scores, seen.met)
        return Reliability(promised, seen.reacted, np.isfinite(seen.scores))

    @cached_property
    def _bundle(self) -> "ScoringBundle":
        from ok_ml.recommender.inference.scoring import ScoringBundle

        lake = self.pipeline.lake
        return ScoringBundle.load(lake.folder(lake.manifest(self.pipeline.name, c.MODEL)))
