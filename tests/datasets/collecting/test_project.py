"""The shipped dataset, fed by the simulated network: commands, ingest, Dagster, status and supervisor."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import orjson
import pyarrow as pa
import pytest

from ok_ml.cli.main import run
from ok_ml.config.loader import load_project
from ok_ml.config.models import KafkaConfig, Project
from ok_ml.console.watch import collector_items
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.datasets.collecting.collector_names import RAW_EVENTS
from ok_ml.definitions import build_definitions
from ok_ml.errors import ConfigError
from ok_ml.lake import Lake
from ok_ml.local.services.ui_services import ui_children
from ok_ml.sensors.calendar import arrivals
from tests.small_project import ROOT, edit

DATASET, SOURCE, DAYS = "events_topic", "ok_world", ["2026-01-05", "2026-01-06"]
ORDER = [(name, "ascending") for name in ("user_id", "event_time", "source_id", "item_id", "event_type")]
_COPIED = (
    "configs/base.yml",
    "configs/environments/local.yml",
    f"configs/datasets/{DATASET}.yml",
    f"configs/datasets/{SOURCE}.yml",
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, topic: str) -> Path:
    """The shipped configuration without experiments, the network small, the topic of this test alone."""
    for name in ("OK_ML_PROJECT", "OK_ML_ENV", "OK_ML_STATE", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    made = tmp_path / "project"
    for name in _COPIED:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, made / name)
    (made / "configs/experiments").mkdir()
    edit(
        made,
        f"configs/datasets/{SOURCE}.yml",
        "{users: 1000, sources: 400}",
        "{users: 200, sources: 80, users_per_block: 500}",
    )
    edit(made, f"configs/datasets/{DATASET}.yml", 'path: "topic:" ', f'path: "topic:{topic}" ')
    monkeypatch.setenv("OK_ML_SIZE", "tiny")
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def ok(root: Path, kafka: KafkaConfig, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Call `ok-ml ... --json` in this process, with the broker of these tests."""
    edit(root, "configs/base.yml", "mode: embedded ", "mode: external ")
    edit(root, "configs/base.yml", "127.0.0.1:19092", kafka.bootstrap_servers)

    def call(*arguments: str) -> Any:
        capsys.readouterr()
        assert run([*arguments, "--json"]) == 0
        return orjson.loads(capsys.readouterr().out)

    return call


def canonical(project: Project, dataset: str) -> pa.Table:
    """The ingested events of two days, in one order."""
    lake = Lake(project.lake_root)
    days = lake.partitions(dataset, RAW_EVENTS)
    ingest_events(project.datasets[dataset], lake, days, root=project.root)
    return pa.concat_tables(lake.read(dataset, "events", [dt]) for dt in days).sort_by(ORDER).combine_chunks()


@pytest.mark.kafka
def test_what_the_network_plays_is_what_the_topic_brings(ok, root):
    played = ok("play", DATASET, "--days", "2", "--duplicate-share", "0.2", "--late-share", "0.1")
    assert played["days"] == DAYS
    assert played["messages"] == played["events"] + played["duplicates"]
    assert 0.15 < played["duplicates"] / played["events"] < 0.25
    assert 0.07 < played["late"] / played["events"] < 0.13
    report = ok("collect", DATASET, "--until-idle", "0.5")
    assert (report["messages"], report["days_committed"], report["last_day"]) == (played["messages"], 2, DAYS[1])
    project = load_project(root)
    assert canonical(project, DATASET).equals(canonical(project, SOURCE))
    again = ok("play", DATASET, "--days", "2", "--seed", "9")
    assert again["duplicates"] == again["late"] == 0
    lake = Lake(project.lake_root)
    before = [lake.manifest(DATASET, RAW_EVENTS, dt).data_version for dt in DAYS]
    ok("collect", DATASET, "--until-idle", "0.5")
    assert [lake.manifest(DATASET, RAW_EVENTS, dt).data_version for dt in DAYS] == before, (
        "played again, they are the same"
    )
    (item,) = collector_items(project)
    assert (item.name, item.kind, item.state) == (f"{DATASET} collector", "collector", "ok")
    assert "stopped" in item.message
    assert "0 messages pending; newest day 2026-01-06; 0 set aside" in item.message


@pytest.mark.kafka
def test_a_committed_day_is_a_partition_in_dagster_and_a_late_event_a_new_run(ok, root):
    ok("play", DATASET, "--days", "2")
    ok("collect", DATASET, "--until-idle", "0.5")
    project = load_project(root)
    definitions = build_definitions(project)
    sensor = definitions.resolve_sensor_def(f"new_days_of_{DATASET}")
    with dg.DagsterInstance.ephemeral() as instance:
        found = sensor(dg.build_sensor_context(instance=instance, definitions=definitions))
        assert [request.partition_keys for request in found.dynamic_partitions_requests] == [DAYS]
        assert [(one.asset_key.path, one.partition) for one in found.asset_events] == [
            ([DATASET, "raw_log"], dt) for dt in DAYS
        ]
        (request,) = found.run_requests
        assert list(request.tags.values()) == DAYS
        instance.add_dynamic_partitions(f"{DATASET}_dt", DAYS)
        done = definitions.resolve_job_def(f"ingest_{DATASET}").execute_in_process(instance=instance, tags=request.tags)
        assert done.success
        assert Lake(project.lake_root).partitions(DATASET, "subscriptions") == DAYS
        late = Lake(project.lake_root).manifest(DATASET, RAW_EVENTS, DAYS[0])
        again, _ = arrivals(project, DATASET, found.cursor.replace(late.data_version, "older"))
        assert [(one.partition, one.tags["dagster/data_version"]) for one in again] == [(DAYS[0], late.data_version)]
        assert arrivals(project, DATASET, found.cursor) == ([], found.cursor)


def test_without_a_broker_the_command_ends_with_3(root, capsys):
    edit(root, "configs/base.yml", "mode: embedded ", "mode: external ")
    edit(root, "configs/base.yml", "127.0.0.1:19092", "127.0.0.1:29899")
    assert run(["collect", DATASET, "--until-idle", "1"]) == 3
    told = capsys.readouterr().err
    assert "no Kafka answers at 127.0.0.1:29899" in told
    assert "the events of events_topic wait in their topic" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["collect", "event_topic"], "no dataset named 'event_topic'; did you mean 'events_topic'?"),
        (["collect", SOURCE], "the events of ok_world do not come from a topic"),
        (["play", SOURCE], "the events of ok_world do not come from a topic"),
    ],
)
def test_what_has_no_topic_is_refused(root, capsys, arguments, message):
    assert run(arguments) == 2
    assert message in capsys.readouterr().err


def test_the_supervisor_runs_the_collectors_that_are_asked_for(root):
    assert not any(child.name.startswith("collector") for child in ui_children(load_project(root)))
    edit(root, "configs/base.yml", "collectors: [] ", f"collectors: [{DATASET}] ")
    project = load_project(root)
    (child,) = [child for child in ui_children(project) if child.name == f"collector-{DATASET}"]
    assert child.after == ("kafka",)
    assert child.command[1:4] == ("-m", "ok_ml.datasets.collecting.collector_process", DATASET)
    (item,) = collector_items(project)
    assert (item.state, item.message.partition(";")[0]) == ("unknown", "it has not collected anything yet")


def test_a_collector_needs_a_dataset_with_a_topic(root):
    edit(root, "configs/base.yml", "collectors: [] ", f"collectors: [{SOURCE}] ")
    with pytest.raises(
        ConfigError,
        match=r"collectors\[0\]: expected one of events_topic \(the datasets with a topic\), got 'ok_world'",
    ):
        load_project(root)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('path: "topic:"', "path: log.parquet", "a path topic: or topic:NAME and a section `topic` belong together"),
        ("parts: 8  ", "partition: {grain: month}\nparts: 8  ", "what comes from a topic is cut into days"),
        (
            "has_impressions",
            'users: {path: "topic:users", columns: {user_id: u}}\nhas_impressions',
            "only events come from a topic",
        ),
    ],
)
def test_a_topic_that_cannot_be_is_refused(root, topic, old, new, message):
    edit(root, f"configs/datasets/{DATASET}.yml", f'"topic:{topic}"', '"topic:"')
    edit(root, f"configs/datasets/{DATASET}.yml", old, new)
    with pytest.raises(ConfigError, match=message):
        load_project(root)
