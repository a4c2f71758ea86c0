"""The YAML of a text_classification."""

from collections.abc import Iterator

from ok_ml.config.models import (
    DatasetBase,
    ExperimentConfig,
    TextChecksConfig,
    TextDatasetsInput,
    TextGate,
    TextStages,
)
from ok_ml.config.problems import one_of
from ok_ml.config.sections.frozen import KeyPath

_METRICS = ("pr_auc", "f1", "precision", "recall", "accuracy")


class Experiment(ExperimentConfig):
    """One YAML file."""

    datasets: TextDatasetsInput
    stages: TextStages = TextStages()
    gate: TextGate = TextGate()
    checks: TextChecksConfig = TextChecksConfig()

    @property
    def threads(self) -> int:
        """Threads that a model is trained with."""
        return self.stages.model.num_threads

    def problems(self, dataset: DatasetBase | None) -> Iterator[tuple[KeyPath, str]]:
        """What no single field can check."""
        yield from super().problems(dataset)
        if self.gate.metric not in _METRICS:
            yield ("gate", "metric"), f"expected {one_of(_METRICS)}, of which more is better, got {self.gate.metric!r}"
        for name in ("word_ngrams", "char_ngrams"):
            shortest, longest = getattr(self.stages.model, name)
            if not 1 <= shortest <= longest:
                yield ("stages", "model", name), f"expected 1 <= shortest <= longest, got {shortest}, {longest}"
