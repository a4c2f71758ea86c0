"""A stage is one table of a pipeline, said once.

Whoever has to know a table asks its stage: the asset graph, jobs, automation conditions, the headless run, attempts, metrics and
pages. A fact about a table that stands in two places is a defect.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel

from ok_ml.config.models import ExperimentConfig
from ok_ml.lake import Manifest
from ok_ml.stages.prediction_kind import PredictionKind
from ok_ml.stages.training import Register


class Experiment(Protocol):
    """What a stage asks of the pipeline that it belongs to."""

    @property
    def name(self) -> str:
        """The experiment, and the scope of its tables."""

    @property
    def dataset_scope(self) -> str:
        """The scope of the dataset's tables."""

    def record(
        self,
        code: str,
        settings: Sequence[BaseModel],
        upstream: Mapping[tuple[str, str], Iterable[str]],
        more: Mapping[str, str],
    ) -> dict[str, str]:
        """Code, configuration and the versions of upstream partitions, by (scope, table), as a record."""


P = TypeVar("P", bound=Experiment)
Tool: TypeAlias = Literal["spark", "mlflow", "broker", "storage"]


class Grain(StrEnum):
    """How a table lies in the lake, and whether its asset has partitions."""

    DAY = "day"
    """A partition a day of the dataset; the asset has the same partitions."""
    NEWEST = "newest"
    """A partition a day, of which a run makes the newest one; the asset has no partitions."""
    WHOLE = "whole"
    """One partition."""


class Phase(StrEnum):
    """With what a table is made: with a new day, with a training, or with a batch of predictions."""

    DAILY = "daily"
    TRAINING = "training"
    SERVING = "serving"


# -- when automation makes a stage ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Starts:
    """A run of its phase begins with it, when something calls for that."""


@dataclass(frozen=True)
class Joins:
    """In the same run as another stage, and at no other time: the steps of a training."""

    stage: str


@dataclass(frozen=True)
class Follows:
    """After another stage, in the same run where that is about to be made."""

    stage: str


Trigger: TypeAlias = Starts | Joins | Follows


# -- what a stage reads --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Read(Generic[P]):
    """Tables that a stage reads.

    Attributes
    ----------
    partitions
        (pipeline, partition of the stage) -> partitions of the tables. Their versions are in the stage's record; None: they are
        not, since what they bring is in the record of another table or in `Stage.more`.
    of_dataset
        Whether they are tables of the dataset; else of the same pipeline.
    in_graph
        Whether the asset graph shows the dependency; if not, another one implies it.
    """

    tables: tuple[str, ...]
    partitions: Callable[[P, str], Sequence[str]] | None = None
    of_dataset: bool = False
    in_graph: bool = True

    def scope(self, pipeline: P) -> str:
        """Where the tables are: the dataset, or the experiment itself."""
        return pipeline.dataset_scope if self.of_dataset else pipeline.name

    @property
    def window(self) -> str:
        """Which partitions, in words: what its function says of itself."""
        return (inspect.getdoc(self.partitions) or "").partition("\n")[0] if self.partitions is not None else ""


def _no_settings(_pipeline: Any) -> Sequence[BaseModel]:
    return ()


def _nothing(_pipeline: Any, _partition: str) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Stage(Generic[P]):
    """One table.

    Attributes
    ----------
    about
        What the UI says of it: first one plain sentence of at most 60 characters, then the rest.
    kinds
        Icons in the UI.
    reads
        What it is made from.
    code
        Raise it when the rows that the code makes from equal inputs change.
    settings
        The parts of the YAML that it depends on.
    more
        (pipeline, partition) -> what else its record names.
    trigger
        When automation makes it; None: with its phase.
    describes
        Tables of the same pipeline that its numbers are about: an incident on it is named after them.
    is_series
        Numbers by day, watched on the monitoring page.
    is_banded
        Whether these are held against the bands of their own past.
    """

    name: str
    phase: Phase
    grain: Grain
    about: str
    kinds: frozenset[str]
    reads: tuple[Read[P], ...]
    code: str = "1"
    settings: Callable[[P], Sequence[BaseModel]] = _no_settings
    more: Callable[[P, str], Mapping[str, str]] = _nothing
    trigger: Trigger | None = None
    describes: tuple[str, ...] = ()
    is_series: bool = False
    is_banded: bool = False

    def record(self, pipeline: P, partition: str) -> dict[str, str]:
        """What a partition would be made from now: code, configuration and the versions of everything that it reads.

        Raises
        ------
        NotCommitted
            Something that it reads is not there.
        """
        versions = {
            (read.scope(pipeline), table): read.partitions(pipeline, partition)
            for read in self.reads
            if read.partitions is not None
            for table in read.tables
        }
        return pipeline.record(self.code, self.settings(pipeline), versions, self.more(pipeline, partition))

    def partitions_read(self, pipeline: P, partition: str) -> Iterator[dict[str, str]]:
        """What a partition reads now, one row a table: how many partitions, the first and the last of them."""
        for read in self.reads:
            partitions = sorted(read.partitions(pipeline, partition)) if read.partitions is not None else []
            if partitions:
                for table in read.tables:
                    yield {
                        "table": f"{read.scope(pipeline)}/{table}",
                        "partitions": str(len(partitions)),
                        "first": partitions[0],
                        "last": partitions[-1],
                    }


# -- what makes stages ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plot:
    """A picture below the state folder."""

    path: Path


@dataclass(frozen=True)
class Table:
    """Rows that all have the keys of the first."""

    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Page:
    """An address."""

    url: str


@dataclass(frozen=True)
class Text:
    """Markdown."""

    text: str


Shown: TypeAlias = Plot | Table | Page | Text | float | int | str | None


@dataclass(frozen=True)
class Made:
    """What a step made of one stage.

    Attributes
    ----------
    shown
        What its page shows in addition to the counts of the manifests; None is left out.
    """

    manifests: Sequence[Manifest]
    shown: Mapping[str, Shown] = field(default_factory=dict)


class StepContext(Protocol):
    """What a step works with. Tools are there where `Step.needs` names them."""

    @property
    def days(self) -> list[str]:
        """Partitions to make, ascending; of stages without partitions there are none."""

    @property
    def tables(self) -> frozenset[str] | None:
        """Those of the step's tables that are wanted; None: all."""

    @property
    def reason(self) -> str:
        """Why this run was started."""

    @property
    def run_id(self) -> str:
        """The Dagster run."""

    def say(self, text: str) -> None:
        """Tell how far it is."""

    def session(self) -> Any:
        """The Spark session; the first call starts it."""

    def tracked(self) -> AbstractContextManager[Any]:
        """An active MLflow run that ends with the block's outcome."""

    def training(self) -> AbstractContextManager[Register]:
        """As `tracked`; what it gives logs a training there and makes it a version of the registry."""

    def registry(self) -> Any:
        """An MlflowClient."""

    def observe(self, table: str, partition: str | None, facts: Mapping[str, Any]) -> None:
        """Report another table that was brought up to date meanwhile, without making it look new."""


@dataclass(frozen=True)
class Step(Generic[P]):
    """Stages that one call makes together.

    Attributes
    ----------
    make
        (pipeline, context) -> what was made of each stage, by name.
    needs
        Resources of the graph in addition to the lake, which every step has.
    pool
        Name of the pool that bounds how many such steps run at once.
    """

    name: str
    stages: tuple[Stage[P], ...]
    make: Callable[[P, StepContext], Mapping[str, Made]]
    needs: frozenset[Tool] = frozenset()
    pool: str | None = None


def single(stage: Stage[P], make: Callable[[P, StepContext], Made], **more: Any) -> Step[P]:
    """A step that makes one stage."""
    return Step(stage.name, (stage,), lambda pipeline, context: {stage.name: make(pipeline, context)}, **more)


@dataclass(frozen=True)
class PipelineType(Generic[P]):
    """A kind of pipeline.

    Attributes
    ----------
    name
        As the YAML says it; `ok_ml.config.pipeline_types` finds it by the name of its folder.
    open
        (project, experiment, lake) -> the pipeline of an experiment.
    config
        The model of its YAML.
    steps
        In the order in which they are made.
    kind
        What its predictions are; None: it serves none.
    starts
        The kind of dataset (`events`, `texts`) for which a first experiment of this type is written; at most one type a kind.
    """

    name: str
    open: Callable[..., P]
    config: type[ExperimentConfig]
    steps: tuple[Step[P], ...]
    kind: PredictionKind | None = None
    starts: str = ""

    @property
    def stages(self) -> Iterator[Stage[P]]:
        """Every stage, in order."""
        return (stage for step in self.steps for stage in step.stages)

    def stage(self, table: str) -> Stage[P]:
        """The stage of a table. Raises KeyError if the type has none."""
        for stage in self.stages:
            if stage.name == table:
                return stage
        raise KeyError(f"pipeline type {self.name} has no stage {table!r}")

    def tables(self, *phases: Phase) -> tuple[str, ...]:
        """Names of the stages of some phases, or of all, in order."""
        return names(stage for stage in self.stages if not phases or stage.phase in phases)

    def made_for(self, table: str) -> list[Stage[P]]:
        """A stage, and those from which it is made, in order."""
        wanted = {table}
        for stage in reversed([*self.stages]):
            if stage.name in wanted:
                wanted |= {name for read in stage.reads if read.partitions is not None for name in read.tables}
        return [stage for stage in self.stages if stage.name in wanted]

    def has(self, table: str) -> bool:
        """Whether the type has such a stage."""
        return any(stage.name == table for stage in self.stages)

    @property
    def series(self) -> tuple[str, ...]:
        """Names of the stages that are numbers by day."""
        return names(stage for stage in self.stages if stage.is_series)

    @property
    def banded(self) -> tuple[str, ...]:
        """Names of those that are held against the bands of their own past."""
        return names(stage for stage in self.stages if stage.is_banded)


def names(stages: Iterable[Stage[Any]]) -> tuple[str, ...]:
    """The tables of some stages."""
    return tuple(stage.name for stage in stages)


def in_words(tables: Iterable[str]) -> str:
    """Tables as a person names them: ``training set, model``."""
    return ", ".join(table.replace("_", " ") for table in tables)
