"""What pipelines share whose predictions are ranked lists of the sources of a log of events."""

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, ListExperiment
from ok_ml.monitoring.series.live_history import Served, live_history, served_on
from ok_ml.partitions import window
from ok_ml.quality.ranking.ranking_evaluation import ORACLE
from ok_ml.recommender.ranking.baselines import EMBEDDINGS_ALONE, POPULARITY
from ok_ml.stages.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        """Committed days on which a generation of this experiment was served, ascending."""
        history = live_history(self.lake, self.name)
        days = self.committed() if history else []
        return [dt for dt in days if isinstance(served_on(self.lake, self.name, self.dataset, dt, history), Served)]

    def learnt_dts(self, cut: str) -> list[str]:
        """Partitions that the embeddings of a cut learn from."""
        return window(self.committed(), cut, self.config.datasets.events.window_days)

    def popularity_dts(self, cut: str) -> list[str]:
        """Partitions on which popularity is counted."""
        return window(self.committed(), cut, self.popularity_days)

    def champion_uses(self) -> "Mapping[str, str]":
        """Its vectors, fitted up to the evaluation, of a type that fits some."""
        fits = self.lake.find(self.name, c.EMBEDDINGS) if self.type.has(c.EMBEDDINGS) else None
        return {c.EMBEDDINGS: fits.data_version} if fits is not None else {}
