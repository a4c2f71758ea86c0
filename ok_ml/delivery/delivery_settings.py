"""What the materialiser needs to know, as a file between processes. It holds no secret."""

from pathlib import Path
from typing import Final

from pydantic import Field

from ok_ml.config.models import Frozen, KafkaConfig, Project, StorageConfig
from ok_ml.delivery.storage import PredictionStore, open_store
from ok_ml.signing import load_key

DEFAULT_KEEP: Final = 3


class DeliverySettings(Frozen):
    """Broker, storage and experiments of one deployment.

    Attributes
    ----------
    root
        Relative paths are below it.
    keep_generations
        Experiment -> generations that stay.
    """

    root: Path
    state_dir: Path
    kafka: KafkaConfig
    storage: StorageConfig
    signing_key_env: str | None = None
    keep_generations: dict[str, int] = Field(default_factory=dict)

    @classmethod
    def of(cls, project: Project) -> "DeliverySettings":
        """The settings of a project."""
        environment = project.environment
        return cls(
            root=project.root,
            state_dir=project.state_dir,
            kafka=environment.kafka,
            storage=environment.storage,
            signing_key_env=environment.signing_key_env,
            keep_generations={name: one.delivery.keep_generations for name, one in project.experiments.items()},
        )

    def serves(self, experiment: str) -> bool:
        """Whether its topic is consumed: on a broker of our own every one is, on a shared one those of the configuration."""
        return experiment in self.keep_generations or self.kafka.mode == "embedded"

    def keep(self, experiment: str) -> int:
        """Generations of an experiment that stay."""
        return self.keep_generations.get(experiment, DEFAULT_KEEP)

    def store(self) -> PredictionStore:
        """The storage. Raises as `open_store`."""
        return open_store(self.storage, self.root)

    def signing_key(self) -> bytes:
        """The key of control records. Raises as `ok_ml.signing.load_key`."""
        return load_key(self.state_dir, self.signing_key_env)

    @property
    def folder(self) -> Path:
        """Where the materialiser keeps its lock, its log and its settings."""
        return self.state_dir / "materialiser"
