"""A day delivered again: the planted incident taken out, the file corrected, or why nothing would change."""

import dagster as dg
import pytest

from ok_ml import columns as c
from ok_ml.assets.datasets import dataset_assets
from ok_ml.config.loader import load_project
from ok_ml.config.models import Incident, Project
from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.errors import DataError, NotCommitted
from ok_ml.graph import keys
from ok_ml.graph.dagster_io import Workbench
from ok_ml.lake import Lake
from ok_ml.monitoring.repairing import repair_days
from ok_ml.resources.graph import graph_resources
from ok_ml.world.log.commit import EVENTS
from ok_ml.world.log.raw_log import changed_since, export_days
from ok_ml.world.population.network import World
from tests.small_project import ROOT

DATASET, DAYS, HIT = "ok_world", 8, 3
PARTITIONS = [f"experiments.{name}.delivery.partitions" for name in ("prod_discovery", "discovery_mf")]  # its readers
SMALL = {"users": 300, "sources": 100, "days": DAYS, "users_per_block": 300}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    """Eight ingested days of a network, the fourth of them with half of its rows."""
    for name in ("OK_ML_PROJECT", "OK_ML_SIZE", "OK_ML_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OK_ML_STATE", str(tmp_path))
    overrides = {f"datasets.{DATASET}.world.{name}": value for name, value in SMALL.items()}
    made = load_project(
        ROOT,
        "default",
        "local",
        {**overrides, f"datasets.{DATASET}.parts": 1, **dict.fromkeys(PARTITIONS, 1)},
    )
    dataset, lake = made.datasets[DATASET], Lake(made.lake_root)
    spoilt = World(dataset.world.model_copy(update={"incidents": (Incident(day=HIT, kind="half"),)}), dataset.parts)
    export_days(spoilt, lake, DATASET, spoilt.dates(), workers=1)
    ingest_events(dataset, lake, spoilt.dates(), root=made.root)
    build_snapshots(dataset, lake, spoilt.dates(), root=made.root)
    return made


@pytest.fixture
def dates(project) -> list[str]:
    return World(project.datasets[DATASET].world, 1).dates()


def rows(project, table, dt):
    return Lake(project.lake_root).manifest(DATASET, table, dt).rows


def test_a_day_whose_incident_was_taken_out_is_written_again_and_no_other(project, dates):
    dataset, lake, hit = project.datasets[DATASET], Lake(project.lake_root), dates[HIT]
    before = {dt: lake.manifest(DATASET, EVENTS, dt).version for dt in dates}
    half, said = rows(project, EVENTS, hit), []
    assert changed_since(dataset, lake, dates) == [hit]
    days = repair_days(project, dataset, hit, said.append)
    assert days[0] == hit
    assert rows(project, EVENTS, hit) > 1.5 * half
    assert {dt for dt in dates if lake.manifest(DATASET, EVENTS, dt).version != before[dt]} == {hit}
    ingest_events(dataset, lake, days, root=project.root)
    assert rows(project, c.EVENTS, hit) > 1.5 * half


def test_a_log_that_is_what_it_was_is_refused_with_what_to_do(project, dates):
    dataset = project.datasets[DATASET]
    with pytest.raises(
        DataError, match=rf"take what spoilt {dates[0]} out of world.incidents .* ok-ml accept {DATASET} {dates[0]}"
    ):
        repair_days(project, dataset, dates[0], print)
    with pytest.raises(NotCommitted, match="no committed partition"):
        repair_days(project, dataset, "2031-01-01", print)


@pytest.mark.parametrize("tags", [{}, {"dagster/sensor_name": "new_days_of_ok_world"}, {"ok_ml/command": "run"}])
def test_materialising_the_raw_log_by_hand_delivers_the_day_again_and_a_sensor_says_why_not(
    project, dates, tags, capfd
):
    hit, half = dates[HIT], rows(project, EVENTS, dates[HIT])
    dataset, instance = project.datasets[DATASET], dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(keys.partitions_name(DATASET), dates)
    raw, *_ = dataset_assets(Workbench(project), dataset)
    resources = graph_resources(project)
    assert dg.materialize([raw], partition_key=hit, instance=instance, resources=resources, tags=tags).success
    is_by_hand = not tags
    assert (rows(project, EVENTS, hit) > 1.5 * half) is is_by_hand
    assert (f"ok-ml repair {DATASET} {hit}" in capfd.readouterr().err) is not is_by_hand
