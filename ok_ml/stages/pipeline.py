"""One experiment as its type sees it: its configuration, its days, and what each of its tables is made from.

A table's record names the version of everything that went into it: code, configuration, upstream data. A committed partition
with the same record is current; nothing else decides what a run may skip.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from pydantic import BaseModel

from ok_ml.config.models import DatasetBase, ExperimentConfig, GateConfig, Project
from ok_ml.config.pipeline_types import find_type
from ok_ml.datasets.canonical.dataset_calendar import declared_range
from ok_ml.delivery.delivery_settings import DeliverySettings
from ok_ml.errors import NotCommitted, UsageError
from ok_ml.lake import WHOLE, Lake, fingerprint
from ok_ml.partitions import TrainingCalendar, day_of
from ok_ml.stages.blocked_days import blocked_log
from ok_ml.stages.evaluator import Evaluator
from ok_ml.stages.prediction_kind import PredictionKind
from ok_ml.stages.stage import Grain, PipelineType
from ok_ml.stages.training import Metrics, SimpleModel, Trained

if TYPE_CHECKING:
    from ok_ml.features.declared.feature import Feature

ATTEMPT_MARK: Final = ".try-"  # between an experiment and its attempt in the name of the attempt's scope
# Fields that came later: unset, they change no record.
_NAMING: Final = {
    "builder": "candidates",
    "ranker": "lightgbm",
    "fallback": "simple",
    "margin": 0.02,
    "base_feature": None,
}


@dataclass(frozen=True)
class Pipeline(ABC):
    """One experiment.

    Parameters
    ----------
    project
        The whole configuration.
    name
        The experiment, which is also its scope in the lake.
    lake
        Where its tables live.
    upto
        Days after it are not seen: what is committed in the middle of a step must not change its calendar.
    resources
        Broker and storage where a step was given them; else those of the project.
    """

    project: Project
    name: str
    lake: Lake
    upto: str | None = None
    resources: DeliverySettings | None = None

    @property
    def type(self) -> PipelineType[Any]:
        """Its stages, and how they are made: the type that its YAML names."""
        named: PipelineType[Any] = find_type(self.config.pipeline_type, self.project.root)
        return named

    @cached_property
    def config(self) -> ExperimentConfig:
        """The experiment's YAML."""
        return self.project.experiments[self.name]

    @cached_property
    def dataset(self) -> DatasetBase:
        """The dataset that it reads."""
        return self.project.dataset_of(self.name)

    @property
    def is_attempt(self) -> bool:
        """Whether it is a trial outside production: it is judged, and never registered, promoted or published."""
        return ATTEMPT_MARK in self.name

    @property
    def dataset_scope(self) -> str:
        """Scope of the dataset's tables."""
        return self.dataset.dataset

    # -- what a type gives to the ends that all types share ------------------------------------------------

    @property
    def kind(self) -> PredictionKind:
        """What its predictions are."""
        kind = self.type.kind
        if kind is None:
            raise UsageError(f"{self.name}: a {self.type.name} has no predictions", why="there is nothing to serve")
        return kind

    @property
    def features(self) -> "tuple[Feature, ...]":
        """The features whose statistics and drift are watched: shipped ones, and those that the YAML names; may be none."""
        return ()

    feature_tables: ClassVar[tuple[str, ...]] = ()
    """The tables that hold them."""
    challenger: ClassVar[str] = "model"
    """The newest model's name in an evaluation."""
    floor: ClassVar[str] = ""
    """The baseline whose metric the gate multiplies."""
    evaluated_with: ClassVar[frozenset[str]] = frozenset()
    """Tables before the model that a champion needs to answer the question of an evaluation."""
    peers: ClassVar[tuple[str, ...]] = ()
    """Baselines with which a run's summary compares the newest model."""

    def evaluator(self) -> Evaluator[Any]:
        """How its models are compared, on the days of its calendar; of every type with a stage `evaluation`."""
        raise NotImplementedError

    def model_file(self, bundle: Path) -> Path:
        """The model itself inside a bundle; of every type with a stage `champion`."""
        raise NotImplementedError

    def simple_suffices(self) -> bool:
        """Whether what needs no learning may become champion: the gate allows it, and no learned model would go for it."""
        return False

    @property
    def serves_simple(self) -> bool:
        """Whether what needs no learning may be served in place of a model that the gate refuses."""
        return False

    def gate_by(self, metrics: Metrics) -> GateConfig:  # noqa: ARG002 - of types that can estimate what they would earn
        """The gate, with the metric that decides about the models of an evaluation."""
        return self.config.gate

    def simple_model(self, metrics: Metrics) -> "SimpleModel | None":  # noqa: ARG002 - of types that have some
        """The best of what needs no learning, which a model has to be better than; None: nothing."""
        return None

    def put_simple(self, bundle: Path, chosen: "SimpleModel") -> Trained:
        """Replace the model of a bundle by the simple one; all else of it stays."""
        raise NotImplementedError

    def evaluated_days(self) -> str:
        """The days that an evaluation judges, in words."""
        days = self.calendar().eval_dts
        return f"{days[0]} .. {days[-1]}"

    def served_days(self) -> list[str]:
        """Committed days on which a generation of this experiment was served, where what people then did is measured."""
        return []

    def champion_uses(self) -> Mapping[str, str]:
        """What a champion on the evaluation days is made from, besides its own bundle: table -> data version."""
        return {}

    @property
    def delivery(self) -> DeliverySettings:
        """Broker and storage."""
        return self.resources or DeliverySettings.of(self.project)

    # -- days ----------------------------------------------------------------------------------------------

    def pinned(self) -> Self:
        """The same experiment as of now, for one step: days that are committed from here on are not seen."""
        known = self.committed()
        return replace(self, upto=known[-1] if known else None)

    def committed(self) -> list[str]:
        """Partitions that may be learnt from, ascending: committed, admitted by the configuration, and not blocked."""
        blocked = self.blocked()
        return [dt for dt in self.admitted() if dt not in blocked]

    def blocked(self) -> dict[str, str]:
        """Day -> headline, of the days of the log that block: no label, window or reference holds one."""
        return blocked_log(self.lake, self.dataset_scope)

    def newest_blocked(self) -> str | None:
        """The newest day of the log, if it blocks."""
        days = self.admitted()
        return days[-1] if days and days[-1] in self.blocked() else None

    def admitted(self) -> list[str]:
        """Partitions of the log that the configuration admits, ascending, those that block among them."""
        first, last = declared_range(self.dataset)
        known = self.lake.partitions(self.dataset_scope, self.dataset.kind)
        admitted = [dt for dt in known if first <= day_of(dt) <= last]
        return admitted if self.upto is None else [dt for dt in admitted if dt <= self.upto]

    @abstractmethod
    def calendar(self, upto: str | None = None) -> TrainingCalendar:
        """Which days train, which evaluate, which serve, as of the newest committed partition (or `upto`).

        Raises
        ------
        DataError
            The history is too short.
        """

    def newest(self) -> str:
        """The newest day that may be served. Raises DataError while the history is too short."""
        return self.calendar().serve_cut

    @abstractmethod
    def learnt_dts(self, cut: str) -> list[str]:
        """Partitions of events that a model of a cut learns from."""

    @abstractmethod
    def feature_runs(self) -> list[list[str]]:
        """Runs of consecutive days of which the daily tables are needed, as of now."""

    def trained_dts(self) -> list[str]:
        """Days whose daily tables a training and an evaluation read, ascending."""
        return [dt for run in self.feature_runs() for dt in run]

    # -- what a table is made from ---------------------------------------------------------------------------

    def partition_of(self, table: str) -> str:
        """The partition of a table that a run makes now, where its asset has no partitions."""
        return WHOLE if self.type.stage(table).grain is Grain.WHOLE else self.newest()

    def inputs_of(self, table: str, partition: str = WHOLE) -> dict[str, str]:
        """The record that a partition of a table would have now."""
        return self.type.stage(table).record(self, partition)

    def is_current(self, table: str, partition: str = WHOLE) -> bool:
        """Whether a partition is committed and was made from exactly what is there now."""
        try:
            wanted = self.inputs_of(table, partition)
        except NotCommitted:
            return False
        return self.lake.is_current(self.name, table, partition, wanted)

    def record(
        self,
        code: str,
        settings: Sequence[BaseModel],
        upstream: Mapping[tuple[str, str], Iterable[str]],
        more: Mapping[str, str],
    ) -> dict[str, str]:
        """Code, configuration and the versions of upstream partitions, by (scope, table), as a record."""
        config = fingerprint({"configs": [said_of(one) for one in settings]})
        versions = {
            f"{scope.partition(ATTEMPT_MARK)[0]}/{table}": self.version(scope, table, dts)
            for (scope, table), dts in upstream.items()
        }
        return {"code": code, "config": config, **versions, **more}

    def version(self, scope: str, table: str, dts: Iterable[str]) -> str:
        """One version of some partitions of a table."""
        return fingerprint({dt: self.lake.manifest(scope, table, dt).data_version for dt in dts})


def said_of(config: BaseModel) -> dict[str, Any]:
    """What a stage's YAML says of the shipped code; code of the project stands in the record by its hash."""
    said = config.model_dump(mode="json", exclude={"extra"})
    unset = {name for name in ("options", *_NAMING) if name in said and getattr(config, name) == _NAMING.get(name, {})}
    return {name: value for name, value in said.items() if name not in unset}
