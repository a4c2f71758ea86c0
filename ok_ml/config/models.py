"""The configuration as one tree of frozen pydantic models. `ok_ml.config.loader` reads the YAML into it.

Every field says its unit and range; an unknown key is an error. Secrets are names of environment variables.
The models of every kind of file can be imported from here.
"""

from pathlib import Path
from typing import Final

from pydantic import Field

from ok_ml.config.sections.check_models import (
    NULLABLE,
    TABLE_OF_CATEGORY,
    Categories,
    Severity,
)
from ok_ml.config.sections.dataset_models import (
    BLANKS,
    CANONICAL_COLUMNS,
    DatasetBase,
    DatasetConfig,
    EventsMapping,
    FileShape,
    Incident,
    JoinMapping,
    ReactionsMapping,
    SubscriptionsMapping,
    TableMapping,
    TasteChange,
    TextsConfig,
    TextsMapping,
    TimeMapping,
    WorldConfig,
)
from ok_ml.config.sections.environment_models import (
    EnvironmentConfig,
    KafkaConfig,
    ServiceConfig,
    SparkConfig,
    StorageConfig,
)
from ok_ml.config.sections.experiment_models import (
    Bounds,
    DriftConfig,
    ExperimentConfig,
    FeatureChecks,
    FreshnessConfig,
    GateConfig,
    Range,
    RetrainingConfig,
)
from ok_ml.config.sections.frozen import Frozen
from ok_ml.config.sections.recommender_models import (
    EmbeddingsStage,
    FeaturesStage,
    ListExperiment,
    ListGate,
    ListStages,
    ModelStage,
    NeighboursStage,
    PredictionChecks,
    PredictionsStage,
    TrainingSetStage,
)
from ok_ml.config.sections.text_models import (
    TextChecksConfig,
    TextDatasetsInput,
    TextGate,
    TextModelStage,
    TextStages,
)
from ok_ml.config.sections.topic_models import TopicConfig

DEFAULT_SIZE: Final = "default"


class Project(Frozen):
    """Everything that the YAML says, resolved for one environment and one size.

    Attributes
    ----------
    recipes
        Experiment -> recipe -> the experiment with it, the simplest first; of experiments whose YAML has some.
    chosen
        Experiment -> the recipe in force, which `experiments` has; none before the first run.
    """

    root: Path
    size: str = DEFAULT_SIZE
    environment: EnvironmentConfig
    datasets: dict[str, DatasetBase]
    experiments: dict[str, ExperimentConfig]
    recipes: dict[str, dict[str, ExperimentConfig]] = Field(default_factory=dict)
    chosen: dict[str, str] = Field(default_factory=dict)

    @property
    def state_dir(self) -> Path:
        """The folder of all local state, absolute."""
        return self.root / self.environment.state_dir

    @property
    def lake_root(self) -> str:
        """Folder of the lake, absolute; every size but the default has its own, so that no run mixes two scales."""
        suffix = "" if self.size == DEFAULT_SIZE else f"-{self.size}"
        return f"{self.root / self.environment.lake.uri}{suffix}"

    @property
    def event_logs(self) -> dict[str, DatasetConfig]:
        """The datasets of events, by name."""
        return {name: dataset for name, dataset in sorted(self.datasets.items()) if isinstance(dataset, DatasetConfig)}

    def dataset_of(self, experiment: str) -> DatasetBase:
        """The dataset that an experiment reads."""
        return self.datasets[self.experiments[experiment].dataset]
