"""The numbers of a log by day: judged, blocking, repaired, released."""

from dataclasses import dataclass
from types import SimpleNamespace

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner

from ok_ml import columns as c
from ok_ml.assets.monitoring import event_statistics_asset
from ok_ml.checks.series import event_check
from ok_ml.cli.commands.accept import accept
from ok_ml.cli.context import Settings
from ok_ml.config.loader import load_project
from ok_ml.config.models import Incident, Project
from ok_ml.console.monitoring import numbers_by_day
from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.errors import UsageError
from ok_ml.graph import keys
from ok_ml.graph.dagster_io import Workbench
from ok_ml.lake import Lake
from ok_ml.monitoring.accepting import accept_day
from ok_ml.monitoring.judges.event_judge import event_watch, is_settled, settle_events
from ok_ml.monitoring.judges.feature_judge import judge_features, require_verdict, settle_verdict
from ok_ml.monitoring.judges.series_watch import PAST_REPORT
from ok_ml.monitoring.series.event_series import build_event_statistics
from ok_ml.monitoring.series.feature_counts import build_statistics
from ok_ml.monitoring.series.live_history import Served, record_live
from ok_ml.pipelines.source_recommendation.featuring import build_features
from ok_ml.quality.judges.verdicts import EVENT_VERDICT
from ok_ml.resources.graph import graph_resources
from ok_ml.stages.blocked_days import blocked_log
from ok_ml.stages.opening import open_pipeline
from ok_ml.world.behaviour.exposure import ServedLists
from ok_ml.world.log.raw_log import export_days
from ok_ml.world.population.network import World
from tests.small_project import ROOT

DATASET, EXPERIMENT, DAYS, HIT = "ok_world", "prod_discovery", 22, 20
PARTITIONS = [f"experiments.{name}.delivery.partitions" for name in ("prod_discovery", "discovery_mf")]  # its readers
OVERRIDES = {
    "users": 600, "sources": 200, "days": DAYS, "users_per_block": 600,
}  # fmt: skip


@dataclass
class Log:
    """A small simulated log in a lake of its own."""

    project: Project

    @property
    def lake(self) -> Lake:
        return Lake(self.project.lake_root)

    def arrive(self, days: range, incidents: tuple[Incident, ...] = (), served: ServedLists | None = None) -> list[str]:
        """Export and ingest some days, on which these lists were served."""
        dataset = self.project.datasets[DATASET]
        world = World(dataset.world.model_copy(update={"incidents": incidents}), dataset.parts)
        dts = [world.date_of(day) for day in days]
        export_days(world, self.lake, DATASET, dts, served=served, workers=1)
        ingest_events(dataset, self.lake, dts, root=self.project.root)
        build_snapshots(dataset, self.lake, dts, root=self.project.root)
        return dts

    def settle(self) -> dict[str, bool]:
        """Day -> whether it blocks, of the days that were judged now."""
        found = settle_events(self.project, self.project.datasets[DATASET], self.lake)
        return {verdict.dt: verdict.blocks for verdict in found}

    def blocked(self) -> dict[str, str]:
        return blocked_log(self.lake, DATASET)

    def serve(self, dt: str) -> None:
        """A generation made from the days up to this one goes live: from here on there is something to protect."""
        record_live(self.lake, EXPERIMENT, Served(1, "first", dt, 1, "v-1", dt))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """Quiet days, then one in seconds where milliseconds are expected, then a quiet one."""
    made = new_log(tmp_path_factory)
    made.serve(made.arrive(range(HIT))[-1])
    made.arrive(range(HIT, HIT + 1), (Incident(day=HIT, kind="unit"),))
    return made


def new_log(tmp_path_factory: pytest.TempPathFactory, *, days: int = DAYS) -> Log:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OK_ML_PROJECT", "OK_ML_SIZE", "OK_ML_ENV"):
            patch.delenv(name, raising=False)
        patch.setenv("OK_ML_STATE", str(tmp_path_factory.mktemp("state")))
        world = {**OVERRIDES, "days": days}
        overrides = {f"datasets.{DATASET}.world.{name}": value for name, value in world.items()}
        project = load_project(
            ROOT,
            "default",
            "local",
            {**overrides, f"datasets.{DATASET}.parts": 1, **dict.fromkeys(PARTITIONS, 1)},
        )
    return Log(project)


def test_a_network_that_has_just_begun_to_be_served_is_judged_by_its_new_level(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Nothing is judged while nobody knows what lists do; from the fourth day on a broken day is seen, and no quiet one."""
    log = new_log(tmp_path_factory)
    log.arrive(range(HIT))
    dataset = log.project.datasets[DATASET]
    world = World(dataset.world, dataset.parts)
    users = np.sort(world.user_ids(HIT))
    everybody = ServedLists(users, np.tile(world.sources_table(HIT)["ownerId"].to_numpy()[:20], (len(users), 1)))
    log.arrive(range(HIT, HIT + 4), served=everybody)
    (broken,) = log.arrive(range(HIT + 4, HIT + 5), (Incident(day=HIT + 4, kind="unit"),), served=everybody)
    build_event_statistics(dataset, log.lake, log.lake.partitions(DATASET, c.EVENTS))
    watch = event_watch(log.project, dataset, log.lake)
    found = {dt: watch.look(dt) for dt in log.lake.partitions(DATASET, c.EVENTS)[HIT:]}
    assert [bool(deviations) for deviations in found.values()] == [False, False, False, True, True]
    assert [dt for dt, deviations in found.items() if any(one.outside for one in deviations)] == [broken]
    page = numbers_by_day(log.lake, DATASET, c.EVENT_STATISTICS, limit=watch.limit.value)
    shown = {line.newest.name: line.newest.band for line in page.lines if line.newest is not None}
    assert shown == {one.name: one.band for one in found[broken]}, "the page judges as the check does"


def run_check(log: Log, dt: str) -> dg.AssetCheckEvaluation:
    """Materialise the numbers of a day in Dagster, and what its check says."""
    dataset, instance = log.project.datasets[DATASET], dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(keys.partitions_name(DATASET), [dt])
    graph = [event_statistics_asset(Workbench(log.project), dataset), event_check(log.project, dataset)]
    resources = graph_resources(log.project)
    done = dg.materialize(graph, partition_key=dt, instance=instance, resources=resources, raise_on_error=False)
    assert done.asset_materializations_for_node(keys.op_name(DATASET, c.EVENT_STATISTICS))
    (found,) = done.get_asset_check_evaluations()
    return found


def test_a_broken_day_blocks_is_released_and_is_repaired(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """One story, told in order: each step stands on the one before."""
    dataset, lake = log.project.datasets[DATASET], log.lake
    hit = lake.latest(DATASET, c.EVENTS)
    assert not is_settled(log.project, dataset, lake, hit)
    checked = run_check(log, hit)
    assert (checked.passed, checked.severity, checked.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    for said in (hit, "duration_ms", "expected", f"since {hit}", f"ok-ml accept {DATASET} {hit}"):
        assert said in checked.description
    assert {"worst", "plot", "limit_origin"} <= checked.metadata.keys()
    verdicts = log.settle()
    assert [dt for dt, blocks in verdicts.items() if blocks] == [hit]
    assert is_settled(log.project, dataset, lake, hit)
    assert "duration_ms" in log.blocked()[hit]
    assert "expected" in log.blocked()[hit]

    # a quiet day after it is quiet, and is served: no window, label or reference holds the bad one
    (after,) = log.arrive(range(HIT + 1, HIT + 2))
    assert log.settle() == {after: False}
    assert list(log.blocked()) == [hit]
    pipeline = open_pipeline(log.project, EXPERIMENT)
    assert hit not in pipeline.committed()
    assert pipeline.calendar().serve_cut == after
    build_features(pipeline, None, [after], progress=lambda _line: None)
    build_statistics(pipeline, [after])
    assert not judge_features(pipeline).blocks
    require_verdict(pipeline, after)
    without = log.lake.manifest(EXPERIMENT, c.PAIR_FEATURES, after)
    checked = run_check(log, after)
    assert (checked.passed, checked.severity) == (False, dg.AssetCheckSeverity.WARN), (
        "the open day is told, and stops no other"
    )
    assert f"ok-ml accept {DATASET} {hit}" in checked.description

    # released by a person, who is named
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    with pytest.raises(UsageError, match="nothing is open on"):
        accept_day(log.project, DATASET, after, "no reason")
    ((judged, accepted),) = accept_day(log.project, DATASET, hit, "a new client")
    assert (judged.table, accepted.who, accepted.reason) == ("event_verdict", "alice", "a new client")
    assert log.blocked() == {}

    # so windows hold it again, and what was made without it is made anew
    assert not pipeline.is_current(c.PAIR_FEATURES, after)
    build_features(pipeline, None, [after], progress=lambda _line: None)
    with_it = log.lake.manifest(EXPERIMENT, c.PAIR_FEATURES, after)
    assert with_it.rows > without.rows
    settled = settle_verdict(pipeline)
    assert settled is not None
    assert not settled.blocks
    require_verdict(pipeline, after)

    # ingested again with yet other rows: the release was for others, the day is judged anew
    log.arrive(range(HIT, HIT + 1), (Incident(day=HIT, kind="constant"),))
    assert not is_settled(log.project, dataset, lake, hit)
    assert log.settle()[hit]
    assert list(log.blocked()) == [hit]

    # repaired: ingested again as it was
    log.arrive(range(HIT, HIT + 1))
    assert log.settle()[hit] is False
    assert log.blocked() == {}


def test_a_past_is_reported_on_and_blocks_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same broken day, with nothing served yet that could be protected."""
    log = new_log(tmp_path_factory)
    log.arrive(range(HIT - 1))
    (broken,) = log.arrive(range(HIT - 1, HIT), (Incident(day=HIT - 1, kind="unit"),))
    log.arrive(range(HIT, HIT + 1))
    assert not any(log.settle().values())
    assert log.blocked() == {}
    verdict = log.lake.manifest(DATASET, EVENT_VERDICT, broken)
    assert verdict.details["grave"]
    assert "It blocks nothing: nothing made from ok_world is served yet" in verdict.details["headline"]
    report = log.lake.read(DATASET, PAST_REPORT).to_pylist()
    assert {row["day"] for row in report if row["grave"]} == {broken}
    assert report[0]["score"] == max((row["score"] for row in report if row["grave"]), key=abs)
    assert "last good generation" not in str(report) + verdict.details["headline"]


def test_equal_events_are_not_counted_again(log: Log) -> None:
    dts = log.lake.partitions(DATASET, c.EVENTS)[:2]
    first = build_event_statistics(log.project.datasets[DATASET], log.lake, dts)
    again = build_event_statistics(log.project.datasets[DATASET], log.lake, dts)
    assert [one.version for one in first] == [one.version for one in again]


def test_the_command_says_which_days_block(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "project", lambda _self: log.project)
    dt = log.lake.partitions(DATASET, c.EVENTS)[0]
    done = CliRunner().invoke(accept, [DATASET, dt, "--reason", "why not"], obj=Settings())
    assert isinstance(done.exception, UsageError)
    assert "days with an open finding: none" in str(done.exception)


def test_months_are_not_judged(log: Log) -> None:
    partition = SimpleNamespace(grain="month")
    dataset = log.project.datasets[DATASET].model_copy(update={"partition": partition})
    assert settle_events(log.project, dataset, log.lake) == []
    assert is_settled(log.project, dataset, log.lake, "2026-01-05")
