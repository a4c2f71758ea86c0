"""The days of a matrix_factorisation."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ok_ml import columns as c
from ok_ml.partitions import TrainingCalendar, training_calendar
from ok_ml.pipelines.matrix_factorisation.settings import Experiment
from ok_ml.quality.ranking.ranking_evaluation import ORACLE
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.recommender.ranking.column_ranker import EMBEDDINGS_ALONE, POPULARITY, RECENT_POPULARITY

if TYPE_CHECKING:
    from ok_ml.stages.evaluator import Evaluator


@dataclass(frozen=True)
class MatrixFactorisation(ListPipeline):
    """One experiment of this type."""

    challenger = EMBEDDINGS_ALONE
    peers = (POPULARITY, RECENT_POPULARITY, ORACLE)
    evaluated_with = frozenset({c.EMBEDDINGS})

    @cached_property
    def config(self) -> Experiment:
        """The experiment's YAML."""
        experiment = self.project.experiments[self.name]
        assert isinstance(experiment, Experiment)  # noqa: S101 - its type has chosen the model
        return experiment

    def calendar(self, upto: str | None = None) -> TrainingCalendar:
        """The newest days judge; everything before them is learnt from. Raises DataError while the history is too short."""
        dts = [dt for dt in self.committed() if upto is None or dt <= upto]
        return training_calendar(dts, 1, self.config.stages.evaluation.days, 0)

    def feature_runs(self) -> list[list[str]]:
        """There are no daily tables."""
        return []

    def evaluator(self) -> "Evaluator[Any]":
        """Its lists compared with those of the baselines."""
        from ok_ml.pipelines.matrix_factorisation.vectors import VectorEvaluator

        return VectorEvaluator(self)
