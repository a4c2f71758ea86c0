"""What pipelines share whose predictions are ranked lists of the sources of a log of events."""

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

from ok_ml.config.models import DatasetConfig, ListExperiment
from ok_ml.partitions import window
from ok_ml.quality.ranking.ranking_evaluation import ORACLE
from ok_ml.recommender.ranking.baselines import EMBEDDINGS_ALONE, POPULARITY
from ok_ml.stages.pipeline import Pipeline

if TYPE_CHECKING:
    from ok_ml.recommender.ranking.ranking_context import Tables


class ListPipeline(Pipeline):
    """One experiment that makes lists."""

    floor = POPULARITY
    peers = (POPULARITY, EMBEDDINGS_ALONE, ORACLE)

    @cached_property
    def config(self) -> ListExperiment:
        """The experiment's YAML."""
        experiment = self.project.experiments[self.name]
        assert isinstance(experiment, ListExperiment)  # noqa: S101 - its type has chosen the model
        return experiment

    @cached_property
    def dataset(self) -> DatasetConfig:
        """The log that it reads."""
        config = self.project.dataset_of(self.name)
        assert isinstance(config, DatasetConfig)  # noqa: S101 - the rules of the configuration have asked
        return config

    @property
    def tables(self) -> "Tables":
        """Where the recommender finds this experiment's tables."""
        from ok_ml.recommender.ranking.ranking_context import Tables

        return Tables(self.lake, self.dataset_scope, self.name)

    @property
    @abstractmethod
    def popularity_days(self) -> int:
        """Days on which popularity is counted, before decay."""

    def served_days(self) -> list[str]:
        """Committed days on which a generation of this experiment was served."""
        from ok_ml.ranked_lists.online_metrics import served_days

        return served_days(self)

    def learnt_dts(self, cut: str) -> list[str]:
        """Partitions that the embeddings of a cut learn from."""
        return window(self.committed(), cut, self.config.datasets.events.window_days)

    def popularity_dts(self, cut: str) -> list[str]:
        """Partitions on which popularity is counted."""
        return window(self.committed(), cut, self.popularity_days)
