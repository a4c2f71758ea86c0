"""What pipelines share whose predictions are ranked lists of the sources of a log of events."""

from functools import cached_property
from typing import TYPE_CHECKING

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, GateConfig, ListExperiment, NeighboursStage
from ok_ml.monitoring.series.live_history import Served, live_history, served_on
from ok_ml.partitions import window
from ok_ml.quality.ranking.policy_value import REACTION_RATE
from ok_ml.quality.ranking.ranking_evaluation import ORACLE
from ok_ml.recommender.ranking.column_ranker import EMBEDDINGS_ALONE, OWN_PAST, POPULARITY, RECENT_POPULARITY
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.training import SIMPLE_LIST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ok_ml.recommender.ranking.gather import FeatureLayout
    from ok_ml.recommender.ranking.ranking_context import Tables
    from ok_ml.stages.training import Metrics, SimpleModel, Trained


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
    def popularity_half_life_days(self) -> float:
        """How fast the popularity forgets that candidates come from."""
        return self.config.datasets.events.window_days / 3

    @property
    def activity_half_life_days(self) -> float:
        """How fast it is forgotten what a user met."""
        return self.config.datasets.events.window_days / 7

    def layout(self) -> "FeatureLayout":
        """The features of its ranker, in order: none."""
        from ok_ml.recommender.ranking.gather import FeatureLayout

        return FeatureLayout((), (), (), {}, ())

    @property
    def neighbours_stage(self) -> NeighboursStage:
        """Which neighbours are fitted beside the vectors: none."""
        return NeighboursStage(models=())

    @property
    def exploration(self) -> float:
        """Share of the places of served lists that explore: 0 where the log cannot say what came of it."""
        told = c.GENERATION in self.dataset.events.columns
        return self.config.stages.predictions.exploration if told else 0.0

    def served_days(self) -> list[str]:
        """Committed days on which a generation of this experiment was served, ascending."""
        history = live_history(self.lake, self.name)
        days = self.committed() if history else []
        return [dt for dt in days if isinstance(served_on(self.lake, self.name, self.dataset, dt, history), Served)]

    def learnt_dts(self, cut: str) -> list[str]:
        """Partitions that the embeddings of a cut learn from."""
        return window(self.committed(), cut, self.config.datasets.events.window_days)

    # -- simple lists ----------------------------------------------------------------------------------------

    @property
    def simple_lists(self) -> tuple[str, ...]:
        """What needs no learning and may be served instead of a model, popularity first; each is judged with every model."""
        return tuple(
            name for name in (POPULARITY, RECENT_POPULARITY, OWN_PAST, EMBEDDINGS_ALONE) if name != self.challenger
        )

    @property
    def nothing_new(self) -> str:
        """What is said where an evaluation has no user."""
        return f"no user found anything new on {self.evaluated_days()}"

    @property
    def serves_simple(self) -> bool:
        """Whether a simple list may become champion."""
        return self.config.gate.fallback == "simple"

    def simple_suffices(self) -> bool:
        """The same, where no learned model would go for it."""
        champion = self.lake.find(self.name, c.CHAMPION)
        return self.serves_simple and (champion is None or SIMPLE_LIST in champion.details)

    def gate_by(self, metrics: "Metrics") -> GateConfig:
        """By what lists would earn, where the log can tell; else they are judged by what was shown, whoever chose it."""
        gate = self.config.gate
        return gate.model_copy(update={"metric": REACTION_RATE}) if REACTION_RATE in metrics(self.challenger) else gate

    def simple_model(self, metrics: "Metrics") -> "SimpleModel":
        """The best simple list of an evaluation."""
        from ok_ml.ranked_lists.bundles import best_list

        return best_list(self.simple_lists, self.gate_by(metrics).metric, metrics, lambda: self.nothing_new)

    def put_simple(self, bundle: "Path", chosen: "SimpleModel") -> "Trained":
        """A simple list in the ranker's place."""
        from ok_ml.ranked_lists.bundles import put_in_place

        return put_in_place(bundle, chosen)

    def model_file(self, bundle: "Path") -> "Path":
        """The ranker."""
        from ok_ml.ranked_lists.bundles import model_file

        return model_file(bundle)

    def champion_uses(self) -> "Mapping[str, str]":
        """Its vectors, fitted up to the evaluation, of a type that fits some."""
        fits = self.lake.find(self.name, c.EMBEDDINGS) if self.type.has(c.EMBEDDINGS) else None
        return {c.EMBEDDINGS: fits.data_version} if fits is not None else {}
