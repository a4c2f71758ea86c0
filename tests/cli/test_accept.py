"""`ok-ml accept` on a living instance: the checks are evaluated again, and the incident closes."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.definitions import build_definitions
from ok_ml.graph import keys
from ok_ml.incidents.courier import Couriers
from ok_ml.incidents.store import Store
from ok_ml.lake import Lake
from ok_ml.local.services.dagster_instance import instance_home, prepare_instance
from ok_ml.monitoring.judges.data_judge import judge_data
from ok_ml.sensors.alerts import tick
from ok_ml.sensors.watched import watched
from tests.quality.day_world import NAME, DayWorld

Ok = Callable[..., "object"]
DT = "2026-01-13"

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_an_accepted_day_closes_its_incident(root: Path, ok: Ok, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OK_ML_PROJECT", "OK_ML_SIZE", "OK_ML_ENV", "OK_ML_STATE"):
        monkeypatch.delenv(name, raising=False)
    project = load_project(root)
    world = DayWorld(Lake(project.lake_root))
    for dt in ("2026-01-05", "2026-01-12"):
        world.commit(dt)
    world.commit(DT, twice=2)
    judge_data(project, project.datasets[NAME])
    prepare_instance(project)
    graph = watched(project, build_definitions(project).get_repository_def())
    with dg.DagsterInstance.from_config(str(instance_home(project))) as instance:
        numbers = keys.asset_key(NAME, c.EVENT_STATISTICS)
        instance.report_runless_asset_event(dg.AssetMaterialization(numbers, partition=DT))
        failed = dg.AssetCheckEvaluation(asset_key=numbers, check_name="uniqueness", passed=False, metadata={})
        instance.report_runless_asset_event(failed)
        tick(project, instance, graph, Couriers())
        assert open_incidents(project) == [f"check:{NAME}/event_statistics:uniqueness"]

        done = ok("accept", NAME, DT, "--reason", "two users share a device")
        assert done.code == 0, done.err
        tick(project, instance, graph, Couriers())
        assert open_incidents(project) == []


def open_incidents(project) -> list[str]:
    with Store.of(project.state_dir).reading() as transaction:
        return [one.key for one in transaction.open_incidents()]
