"""A text_classification as the ends see it that all types share: how it is compared, and its model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ok_ml.pipelines.text_classification.plan import LabelPlan

if TYPE_CHECKING:
    from ok_ml.stages.evaluator import Evaluator


@dataclass(frozen=True)
class TextClassification(LabelPlan):
    """One experiment of this type."""

    def evaluator(self) -> "Evaluator[Any]":
        """Its scores compared with those of the baselines."""
        from ok_ml.pipelines.text_classification.label_evaluator import LabelEvaluator

        return LabelEvaluator(self)

    def model_file(self, bundle: Path) -> Path:
        """The serving model."""
        from ok_ml.pipelines.text_classification.training import SERVE
        from ok_ml.texts.label_scorer import MODEL_FILE

        return bundle / SERVE / MODEL_FILE
