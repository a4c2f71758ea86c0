"""A source_recommendation as the ends see it that all types share: how it is compared, what stands in a bundle."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ok_ml.pipelines.source_recommendation.plan import RankingPlan

if TYPE_CHECKING:
    from ok_ml.stages.evaluator import Evaluator
    from ok_ml.stages.training import SimpleModel, Trained


@dataclass(frozen=True)
class SourceRecommendation(RankingPlan):
    """One experiment of this type."""

    def evaluator(self) -> "Evaluator[Any]":
        """Its lists compared with those of the baselines."""
        from ok_ml.pipelines.source_recommendation.evaluating import TwoStageEvaluator

        return TwoStageEvaluator(self)

    def model_file(self, bundle: Path) -> Path:
        """The ranker."""
        from ok_ml.pipelines.source_recommendation.training import model_file

        return model_file(bundle)

    def simple_model(self) -> "SimpleModel | None":
        """The best simple list, where one may be served."""
        from ok_ml.pipelines.source_recommendation.simple_lists import choose_list

        return choose_list(self) if self.simple_suffices() else None

    def put_simple(self, bundle: Path, chosen: "SimpleModel", serve_cut: str) -> "Trained":
        """The simple list in the ranker's place."""
        from ok_ml.pipelines.source_recommendation.simple_lists import put_in_place
        from ok_ml.pipelines.source_recommendation.training import as_trained

        return as_trained(bundle, put_in_place(self, bundle, chosen, serve_cut), {})
