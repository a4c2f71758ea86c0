"""One experiment as its type sees it: its configuration, its days, and what each of its tables is made from.

A table's record names the version of everything that went into it: code, configuration, upstream data. A committed partition
with the same record is current; nothing else decides what a run may skip.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import BaseModel

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, ExperimentConfig, Project
from ok_ml.datasets.calendar import declared_range
from ok_ml.datasets.times import partition_days
from ok_ml.errors import NotCommitted
from ok_ml.lake import WHOLE, Lake, fingerprint
from ok_ml.partitions import TrainingCalendar
from ok_ml.stages.blocked_days import blocked_log
from ok_ml.stages.stage import Grain, PipelineType

if TYPE_CHECKING:
    from ok_ml.features.feature import Feature

ATTEMPT_MARK: Final = ".try-"  # between an experiment and its attempt in the name of the attempt's scope
# Fields that came later: unset, they change no record.
_NAMING: Final = {"builder": "candidates", "ranker": "lightgbm", "fallback": "simple"}


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
    """

    project: Project
    name: str
    lake: Lake
    upto: str | None = None

    @property
    @abstractmethod
    def type(self) -> PipelineType[Any]:
        """Its stages, and how they are made."""

    @cached_property
    def config(self) -> ExperimentConfig:
        """The experiment's YAML."""
        return self.project.experiments[self.name]

    @cached_property
    def dataset(self) -> DatasetConfig:
        """The dataset that it reads."""
        return self.project.dataset_of(self.name)

    @property
    def dataset_scope(self) -> str:
        """Scope of the dataset's tables."""
        return self.dataset.dataset

    @property
    @abstractmethod
    def features(self) -> "tuple[Feature, ...]":
        """The features of this experiment: those that are shipped, and those of the project that its YAML names."""

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
        known = self.lake.partitions(self.dataset_scope, c.EVENTS)
        admitted = [dt for dt in known if first <= partition_days(dt, "day") <= last]
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
