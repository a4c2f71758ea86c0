"""A stage says everything about its table: what is asked of it is answered from the declaration alone."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.assets.stages import experiment_assets
from ok_ml.config.loader import load_project
from ok_ml.config.pipeline_types import find_type, shipped_types
from ok_ml.errors import NotCommitted
from ok_ml.graph.dagster_io import Workbench
from ok_ml.lake import WHOLE, Lake
from ok_ml.partitions import TrainingCalendar
from ok_ml.pipelines.source_recommendation.settings import Experiment
from ok_ml.pipelines.source_recommendation.stages import TYPE
from ok_ml.resources.graph import graph_resources
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.stage import (
    Grain,
    Joins,
    Made,
    Page,
    Phase,
    PipelineType,
    Read,
    Stage,
    Starts,
    StepContext,
    Table,
    Text,
    in_words,
    single,
)
from tests.small_project import make_project

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")
NUMBERS = Stage[Any](
    "numbers", Phase.DAILY, Grain.DAY, "Numbers.", frozenset({"python"}),
    reads=(Read((c.EVENTS,), lambda pipeline, dt: [dt], of_dataset=True),),
)  # fmt: skip
SUM = Stage[Any](
    "sum", Phase.TRAINING, Grain.WHOLE, "Their sum.", frozenset({"python"}), code="7", trigger=Starts(),
    reads=(Read(("numbers",), lambda pipeline, _dt: pipeline.committed()),),
    more=lambda pipeline, _dt: {"seed": str(pipeline.config.seed)},
)  # fmt: skip
REPORT = Stage[Any](
    "report", Phase.TRAINING, Grain.NEWEST, "What it is like.", frozenset({"python"}), trigger=Joins("sum"),
    reads=(Read(("sum",), lambda _pipeline, _dt: [WHOLE]), Read(("config",))), is_series=True, describes=("sum",),
)  # fmt: skip


@dataclass(frozen=True)
class Toy(Pipeline):
    @property
    def type(self) -> PipelineType[Any]:
        return TOY

    @property
    def features(self) -> tuple[Any, ...]:
        return ()

    def calendar(self, upto: str | None = None) -> TrainingCalendar:
        days = [dt for dt in self.committed() if upto is None or dt <= upto]
        return TrainingCalendar((), (days[-1],), days[-2], days[-1])

    def learnt_dts(self, cut: str) -> list[str]:
        return [dt for dt in self.committed() if dt <= cut]

    def feature_runs(self) -> list[list[str]]:
        return [self.committed()]


def values(toy: Toy, scope: str, table: str, dts: list[str]) -> int:
    return sum(toy.lake.read(scope, table, dts)["value"].to_pylist())


def numbers(toy: Toy, context: StepContext) -> Made:
    for dt in context.days:
        commit(toy, toy.name, "numbers", dt, 10 * values(toy, "toy", c.EVENTS, [dt]))
    return Made([toy.lake.manifest(toy.name, "numbers", dt) for dt in context.days])


def total(toy: Toy, context: StepContext) -> Made:
    context.say("adding")
    commit(toy, toy.name, "sum", WHOLE, values(toy, toy.name, "numbers", toy.committed()))
    return Made(
        [toy.lake.manifest(toy.name, "sum")], {"reason": context.reason, "rows": Table([{"a": 1}]), "left out": None}
    )


def report(toy: Toy, _context: StepContext) -> Made:
    commit(toy, toy.name, "report", DAYS[-1], values(toy, toy.name, "sum", [WHOLE]))
    return Made(
        [toy.lake.manifest(toy.name, "report", DAYS[-1])], {"page": Page("http://localhost"), "text": Text("*so*")}
    )


TOY = PipelineType[Any]("toy", Toy, Experiment, (single(NUMBERS, numbers), single(SUM, total), single(REPORT, report)))


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    project = load_project(make_project(tmp_path))
    found = Toy(project, "toy_sources", Lake(project.lake_root))
    for dt in DAYS:
        commit(found, "toy", c.EVENTS, dt, len(dt))
    return found


def commit(toy: Toy, scope: str, table: str, partition: str, value: int) -> None:
    inputs = toy.inputs_of(table, partition) if scope == toy.name else {}
    toy.lake.write(scope, table, partition, pa.table({"value": [value]}), sort_by=["value"], inputs=inputs)


def test_a_record_names_code_configuration_and_what_is_read(toy: Toy) -> None:
    record = toy.inputs_of("numbers", DAYS[0])
    assert set(record) == {"code", "config", "toy/events"}
    with pytest.raises(NotCommitted, match="toy_sources/numbers"):
        toy.inputs_of("sum")
    for dt in DAYS:
        commit(toy, toy.name, "numbers", dt, 1)
    record = toy.inputs_of("sum")
    assert (record["code"], record["seed"], set(record)) == (
        "7",
        "20201",
        {"code", "config", "toy_sources/numbers", "seed"},
    )


def test_a_partition_is_current_until_something_that_it_was_made_from_changes(toy: Toy) -> None:
    assert not toy.is_current("sum")
    for dt in DAYS:
        commit(toy, toy.name, "numbers", dt, 1)
    commit(toy, toy.name, "sum", WHOLE, 3)
    assert toy.is_current("sum")
    assert all(toy.is_current("numbers", dt) for dt in DAYS)
    commit(toy, "toy", c.EVENTS, DAYS[0], 99)
    assert [toy.is_current("numbers", dt) for dt in DAYS] == [False, True, True]
    assert toy.is_current("sum")  # it reads the numbers, which are as they were
    commit(toy, toy.name, "numbers", DAYS[0], 5)
    assert not toy.is_current("sum")


def test_what_is_read_without_partitions_is_shown_and_not_recorded(toy: Toy) -> None:
    for dt in DAYS:
        commit(toy, toy.name, "numbers", dt, 1)
    commit(toy, toy.name, "sum", WHOLE, 3)
    assert set(toy.inputs_of("report", DAYS[-1])) == {"code", "config", "toy_sources/sum"}


def test_the_partition_that_a_run_makes_follows_from_the_grain(toy: Toy) -> None:
    assert (toy.partition_of("sum"), toy.partition_of("report")) == (WHOLE, DAYS[-1])


def test_a_type_answers_for_its_stages() -> None:
    assert TOY.tables() == ("numbers", "sum", "report")
    assert TOY.tables(Phase.TRAINING) == ("sum", "report")
    assert TOY.series == ("report",)
    assert [stage.name for stage in TOY.made_for("sum")] == ["numbers", "sum"]
    assert in_words(c.FEATURE_TABLES[:2]) == "user features, source features"
    with pytest.raises(KeyError, match="pipeline type toy has no stage 'nonsense'"):
        TOY.stage("nonsense")


def test_its_assets_follow_and_make_its_tables(toy: Toy) -> None:
    assets = experiment_assets(Workbench(toy.project), toy)
    specs = {spec.key.path[-1]: spec for one in assets for spec in one.specs}
    assert {name: spec.group_name for name, spec in specs.items()} == {
        "config": "3_training/toy_sources",
        "numbers": "2_features/toy_sources",
        "sum": "3_training/toy_sources",
        "report": "5_monitoring/toy_sources",
    }
    assert [dep.asset_key.to_user_string() for dep in specs["report"].deps] == ["toy_sources/sum", "toy_sources/config"]
    assert [specs[name].code_version for name in ("numbers", "sum")] == ["1", "7"]
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("toy_dt", list(DAYS))
        daily = {"dagster/asset_partition_range_start": DAYS[0], "dagster/asset_partition_range_end": DAYS[-1]}
        resources = graph_resources(toy.project)
        assert dg.materialize([assets[1]], instance=instance, tags=daily, resources=resources).success
        made = dg.materialize(assets[2:], instance=instance, resources=resources)
    assert made.success
    assert values(toy, toy.name, "report", [DAYS[-1]]) == 10 * values(toy, "toy", c.EVENTS, list(DAYS))
    (shown,) = made.asset_materializations_for_node("toy_sources__sum")
    assert shown.metadata["reason"].value == "asked for by a person"
    assert isinstance(shown.metadata["rows"], dg.TableMetadataValue)
    assert "left out" not in shown.metadata
    (shown,) = made.asset_materializations_for_node("toy_sources__report")
    assert (shown.metadata["page"].value, shown.metadata["text"].value) == ("http://localhost", "*so*")


def test_a_step_works_with_what_the_graph_has_for_it(toy: Toy, tmp_path: Path) -> None:
    """Lake, broker and storage are resources: who builds a graph may give it others, and no step opens its own."""
    seen = []

    def look(given: Toy, _context: StepContext) -> Made:
        seen.append((given.lake.root, given.delivery.kafka.bootstrap_servers, given.delivery.storage.path))
        commit(given, given.name, "sum", WHOLE, 1)
        return Made([given.lake.manifest(given.name, "sum")])

    stage = replace(SUM, reads=())
    types = [
        PipelineType[Any]("toy", Toy, Experiment, (single(stage, look, needs=frozenset(needs)),))
        for needs in ((), ("broker", "storage"))
    ]
    environment = toy.project.environment
    resources = {
        "lake": Lake(tmp_path / "other"),
        "broker": environment.kafka.model_copy(update={"bootstrap_servers": "elsewhere:9092"}),
        "storage": environment.storage.model_copy(update={"path": "elsewhere"}),
    }
    for kind in types:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Toy, "type", kind)
            assert dg.materialize(experiment_assets(Workbench(toy.project), toy)[1:], resources=resources).success
    project = (environment.kafka.bootstrap_servers, environment.storage.path)
    assert seen == [(tmp_path / "other", *project), (tmp_path / "other", "elsewhere:9092", "elsewhere")]
    assert toy.lake.find(toy.name, "sum") is None


@pytest.mark.parametrize("kind", sorted(shipped_types()))
def test_every_registered_type_is_whole(kind: str, toy: Toy) -> None:
    found = find_type(kind, toy.project.root)
    assert found.name == kind
    known = found.tables()
    assert len(set(known)) == len(known)
    for stage in found.stages:
        assert len(stage.about.splitlines()[0]) <= 60, stage.name
        own = {table for read in stage.reads if not read.of_dataset for table in read.tables}
        assert own <= {*known, "config"}, stage.name
        assert stage.trigger is None or stage.phase is not Phase.DAILY, stage.name
        if isinstance(stage.trigger, Joins):
            assert found.stage(stage.trigger.stage).phase is stage.phase
    for phase in (Phase.TRAINING, Phase.SERVING):
        assert [isinstance(found.stage(table).trigger, Starts) for table in found.tables(phase)].count(True) == 1


def test_a_training_s_code_is_that_of_what_the_evaluation_is_made_from() -> None:
    assert [stage.name for stage in TYPE.made_for(c.EVALUATION)] == [
        *c.FEATURE_TABLES,
        c.EMBEDDINGS,
        c.TRAINING_SET,
        c.MODEL,
        c.EVALUATION,
    ]
