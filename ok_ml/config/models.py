"""The configuration as one tree of frozen pydantic models. `ok_ml.config.loader` reads the YAML into it.

Every field says its unit and range; an unknown key is an error. Secrets are names of environment variables.
All models can be imported from here; they are written down by kind of file.
"""

from pathlib import Path
from typing import Final

from pydantic import Field

from ok_ml.config.check_models import (
    NULLABLE,
    TABLE_OF_CATEGORY,
    Categories,
    DatasetChecks,
    DataTimeCheck,
    NullLimits,
    Severity,
    VolumeCheck,
)
from ok_ml.config.dataset_models import (
    BLANKS,
    CANONICAL_COLUMNS,
    DatasetConfig,
    EventsMapping,
    Incident,
    JoinMapping,
    PartitionConfig,
    ReactionsMapping,
    SubscriptionRule,
    SubscriptionsMapping,
    TableMapping,
    TasteChange,
    TimeMapping,
    WorldConfig,
)
from ok_ml.config.environment_models import (
    AlertChannel,
    AlertsConfig,
    DagsterConfig,
    EnvironmentConfig,
    HeartbeatConfig,
    KafkaConfig,
    LakeConfig,
    MlflowConfig,
    ServiceConfig,
    SparkConfig,
    StorageConfig,
    WorldClockConfig,
)
from ok_ml.config.experiment_models import (
    Bounds,
    ChecksConfig,
    DatasetsInput,
    DeliveryConfig,
    DriftConfig,
    EmbeddingsStage,
    EvaluationStage,
    EventsInput,
    ExperimentConfig,
    FeaturesStage,
    FreshnessConfig,
    GateConfig,
    ModelStage,
    NeighboursStage,
    OnlineChecks,
    PredictionChecks,
    PredictionsStage,
    Range,
    ReleaseConfig,
    RetrainingConfig,
    Stages,
    TrainingSetStage,
)
from ok_ml.config.frozen import Frozen
from ok_ml.config.topic_models import TopicConfig

__all__ = [
    "BLANKS",
    "CANONICAL_COLUMNS",
    "NULLABLE",
    "TABLE_OF_CATEGORY",
    "AlertChannel",
    "AlertsConfig",
    "Bounds",
    "Categories",
    "ChecksConfig",
    "DagsterConfig",
    "DataTimeCheck",
    "DatasetChecks",
    "DatasetConfig",
    "DatasetsInput",
    "DeliveryConfig",
    "DriftConfig",
    "EmbeddingsStage",
    "EnvironmentConfig",
    "EvaluationStage",
    "EventsInput",
    "EventsMapping",
    "ExperimentConfig",
    "FeaturesStage",
    "FreshnessConfig",
    "Frozen",
    "GateConfig",
    "HeartbeatConfig",
    "Incident",
    "JoinMapping",
    "KafkaConfig",
    "LakeConfig",
    "MlflowConfig",
    "ModelStage",
    "NeighboursStage",
    "NullLimits",
    "OnlineChecks",
    "PartitionConfig",
    "PredictionChecks",
    "PredictionsStage",
    "Project",
    "Range",
    "ReactionsMapping",
    "ReleaseConfig",
    "RetrainingConfig",
    "ServiceConfig",
    "Severity",
    "SparkConfig",
    "Stages",
    "StorageConfig",
    "SubscriptionRule",
    "SubscriptionsMapping",
    "TableMapping",
    "TasteChange",
    "TimeMapping",
    "TopicConfig",
    "TrainingSetStage",
    "VolumeCheck",
    "WorldClockConfig",
    "WorldConfig",
]


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
    datasets: dict[str, DatasetConfig]
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

    def dataset_of(self, experiment: str) -> DatasetConfig:
        """The dataset that an experiment reads."""
        return self.datasets[self.experiments[experiment].datasets.events.name]
