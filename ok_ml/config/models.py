"""The configuration as one tree of frozen pydantic models. `ok_ml.config.loader` reads the YAML into it.

Every field says its unit and range; an unknown key is an error. Secrets are names of environment variables.
All models can be imported from here; they are written down by kind of file.
"""

from pathlib import Path
from typing import Final

from pydantic import Field

from ok_ml.config.sections.check_models import (
    NULLABLE,
    TABLE_OF_CATEGORY,
    Categories,
    DatasetChecks,
    DataTimeCheck,
    NullLimits,
    Severity,
    VolumeCheck,
)
from ok_ml.config.sections.dataset_models import (
    BLANKS,
    CANONICAL_COLUMNS,
    DatasetBase,
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
    TextChecks,
    TextsConfig,
    TextsMapping,
    TimeMapping,
    WorldConfig,
)
from ok_ml.config.sections.environment_models import (
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
from ok_ml.config.sections.experiment_models import (
    Bounds,
    DatasetInput,
    DeliveryConfig,
    DriftConfig,
    EvaluationDays,
    ExperimentConfig,
    FeatureChecks,
    FreshnessConfig,
    GateConfig,
    ModelThreads,
    Range,
    ReleaseConfig,
    RetrainingConfig,
)
from ok_ml.config.sections.frozen import Frozen
from ok_ml.config.sections.recommender_models import (
    DatasetsInput,
    EmbeddingsStage,
    EvaluationStage,
    EventsInput,
    FeaturesStage,
    ListChecks,
    ListExperiment,
    ListGate,
    ListStages,
    ModelStage,
    NeighboursStage,
    OnlineChecks,
    PredictionChecks,
    PredictionsStage,
    TrainingSetStage,
)
from ok_ml.config.sections.text_models import (
    LabelChecks,
    TextChecksConfig,
    TextDatasetsInput,
    TextGate,
    TextModelStage,
    TextStages,
)
from ok_ml.config.sections.topic_models import TopicConfig

__all__ = [
    "BLANKS",
    "CANONICAL_COLUMNS",
    "NULLABLE",
    "TABLE_OF_CATEGORY",
    "AlertChannel",
    "AlertsConfig",
    "Bounds",
    "Categories",
    "DagsterConfig",
    "DataTimeCheck",
    "DatasetBase",
    "DatasetChecks",
    "DatasetConfig",
    "DatasetInput",
    "DatasetsInput",
    "DeliveryConfig",
    "DriftConfig",
    "EmbeddingsStage",
    "EnvironmentConfig",
    "EvaluationDays",
    "EvaluationStage",
    "EventsInput",
    "EventsMapping",
    "ExperimentConfig",
    "FeatureChecks",
    "FeaturesStage",
    "FreshnessConfig",
    "Frozen",
    "GateConfig",
    "HeartbeatConfig",
    "Incident",
    "JoinMapping",
    "KafkaConfig",
    "LabelChecks",
    "LakeConfig",
    "ListChecks",
    "ListExperiment",
    "ListGate",
    "ListStages",
    "MlflowConfig",
    "ModelStage",
    "ModelThreads",
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
    "StorageConfig",
    "SubscriptionRule",
    "SubscriptionsMapping",
    "TableMapping",
    "TasteChange",
    "TextChecks",
    "TextChecksConfig",
    "TextDatasetsInput",
    "TextGate",
    "TextModelStage",
    "TextStages",
    "TextsConfig",
    "TextsMapping",
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

    @property
    def text_sets(self) -> dict[str, TextsConfig]:
        """The datasets of texts, by name."""
        return {name: dataset for name, dataset in sorted(self.datasets.items()) if isinstance(dataset, TextsConfig)}

    def dataset_of(self, experiment: str) -> DatasetBase:
        """The dataset that an experiment reads."""
        return self.datasets[self.experiments[experiment].dataset]
