"""The YAML of a source_recommendation."""

from collections.abc import Iterator

from ok_ml.config.models import (
    DatasetBase,
    FeaturesStage,
    ListExperiment,
    ListStages,
    ModelStage,
    NeighboursStage,
    TrainingSetStage,
)
from ok_ml.config.sections.code_kinds import BUILDERS, FEATURES, RANKERS, Kind
from ok_ml.config.sections.frozen import KeyPath


class Stages(ListStages):
    """The stages that people set."""

    features: FeaturesStage
    neighbours: NeighboursStage = NeighboursStage()
    training_set: TrainingSetStage = TrainingSetStage()
    model: ModelStage = ModelStage()


class Experiment(ListExperiment):
    """One YAML file."""

    stages: Stages

    @property
    def feature_days(self) -> int:
        """The longest window of its features, days."""
        stage = self.stages.features
        return max(stage.activity_days, stage.affinity_days, stage.popularity_days)

    def code(self) -> Iterator[tuple[Kind, str, KeyPath]]:
        """Everything of the stages that names code."""
        for number, named in enumerate(self.stages.features.extra):
            yield FEATURES, named, ("stages", "features", "extra", number)
        yield from super().code()
        yield BUILDERS, self.stages.training_set.builder, ("stages", "training_set", "builder")
        yield RANKERS, self.stages.model.ranker, ("stages", "model", "ranker")

    @property
    def threads(self) -> int:
        """Threads that a model is trained with."""
        return self.stages.model.num_threads

    def problems(self, dataset: DatasetBase | None) -> Iterator[tuple[KeyPath, str]]:
        """What no single field can check."""
        predictions, evaluation = self.stages.predictions, self.stages.evaluation
        if dataset is not None and dataset.world is not None:
            needed = evaluation.days + self.stages.training_set.label_days + 2
            if dataset.world.days < needed:
                text = f"expected days that fit into the {dataset.world.days} of {dataset.dataset}, got a plan that needs {needed}"
                yield ("stages", "evaluation", "days"), text
        if predictions.top_n > predictions.candidates:
            text = f"expected at most the {predictions.candidates} candidates, got {predictions.top_n}"
            yield ("stages", "predictions", "top_n"), text
        yield from super().problems(dataset)
