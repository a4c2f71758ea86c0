"""A source_recommendation as the ends see it that all types share: how it is compared."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ok_ml.pipelines.source_recommendation.plan import RankingPlan

if TYPE_CHECKING:
    from ok_ml.stages.evaluator import Evaluator


@dataclass(frozen=True)
class SourceRecommendation(RankingPlan):
    """One experiment of this type."""

    def evaluator(self) -> "Evaluator[Any]":
        """Its lists compared with those of the baselines."""
        from ok_ml.pipelines.source_recommendation.evaluating import TwoStageEvaluator

        return TwoStageEvaluator(self)
