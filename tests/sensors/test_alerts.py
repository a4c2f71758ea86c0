"""The alert sensor on a real Dagster instance: runs, checks and materialisations as they happen."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from ok_ml.config.loader import load_project
from ok_ml.config.models import Project
from ok_ml.incidents.courier import Couriers
from ok_ml.incidents.journal import Journal
from ok_ml.incidents.records import Incident
from ok_ml.incidents.store import Store
from ok_ml.sensors import alerts as alerts_module
from ok_ml.sensors.alerts import alerts_sensor, tick
from ok_ml.sensors.watched import watched
from tests.small_project import edit, make_project

SCOPE, HOUR = "toy_sources", 3600.0
BAD: set[str] = set()  # what is wrong at the moment: a check, a severity, an asset that cannot be made


def asset(table: str, *deps: str, hours: float = 2.0) -> dg.AssetsDefinition:
    @dg.asset(
        key=[SCOPE, table], name=None, deps=[dg.AssetKey([SCOPE, dep]) for dep in deps], owners=["discovery@example.org"],
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=timedelta(hours=hours), warn_window=timedelta(hours=hours / 2)
        ),
    )  # fmt: skip
    def made() -> None:
        if table in BAD:
            raise dg.Failure(f"{table}: 3 files, expected 4")

    return made


def check(table: str, name: str, *, blocking: bool) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=dg.AssetKey([SCOPE, table]), name=name, blocking=blocking)
    def judged() -> dg.AssetCheckResult:
        severity = dg.AssetCheckSeverity.WARN if "warn" in BAD else dg.AssetCheckSeverity.ERROR
        return dg.AssetCheckResult(passed=name not in BAD, severity=severity, description="mean 0.7, expected 0.2-0.4")

    return judged


DEFINITIONS = dg.Definitions(
    assets=[asset("user_features"), asset("feature_statistics", "user_features"), asset("predictions", "feature_statistics")],
    asset_checks=[
        check("feature_statistics", "feature_distributions", blocking=True), check("predictions", "lists", blocking=False)
    ],
    executor=dg.in_process_executor,
)  # fmt: skip


class Watchman:
    """A project with an instance on disk, looked at whenever a test says so."""

    def __init__(self, project: Project, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project, self.instance, self.patch = project, instance, monkeypatch
        self.repository = DEFINITIONS.get_repository_def()
        self.graph = watched(project, self.repository)
        self.couriers, self.store = Couriers(), Store.of(project.state_dir)
        self.ahead_seconds = 0.0
        monkeypatch.setattr(alerts_module.time, "time", lambda: real_time() + self.ahead_seconds)

    def run(self, *tables: str) -> bool:
        selection = [dg.AssetKey([SCOPE, table]) for table in tables] if tables else None
        job = DEFINITIONS.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(instance=self.instance, asset_selection=selection, raise_on_error=False).success

    def look(self) -> str:
        said = tick(self.project, self.instance, self.graph, self.couriers)
        assert self.couriers.wait(10)
        return said

    def open(self) -> list[Incident]:
        with self.store.reading() as transaction:
            return transaction.open_incidents()

    def told(self) -> list[tuple[str, str]]:
        path = self.project.state_dir / "alerts.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(line["event"], line["key"]) for line in map(json.loads, lines)]


real_time = time.time
CHECK = f"check:{SCOPE}/feature_statistics:feature_distributions"


@pytest.fixture
def watchman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watchman]:
    BAD.clear()
    for name in ("OK_ML_PROJECT", "OK_ML_STATE", "OK_ML_SIZE", "OK_ML_ENV"):
        monkeypatch.delenv(name, raising=False)
    root = make_project(tmp_path)
    edit(root, "configs/experiments/toy_sources.yml", "release: {cycle: manual}", "release: {cycle: automatic}")
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Watchman(load_project(root), instance, monkeypatch)
    BAD.clear()


def test_nothing_wrong_nothing_said(watchman: Watchman) -> None:
    assert watchman.run()
    assert watchman.look() == "0 open"
    assert watchman.told() == []


def test_a_failed_check_its_run_and_what_grows_stale_behind_it_are_one_incident(watchman: Watchman) -> None:
    assert watchman.run()
    watchman.look()
    BAD.add("feature_distributions")
    assert not watchman.run()
    watchman.look()
    (one,) = watchman.open()
    assert (one.key, one.severity, one.owner) == (CHECK, "error", "discovery@example.org")
    assert one.detail == "mean 0.7, expected 0.2-0.4"
    assert one.link == f"http://127.0.0.1:21314/assets/{SCOPE}/feature_statistics?view=checks"
    assert [member.kind for member in one.consequences] == ["run"]
    watchman.ahead_seconds = 3 * HOUR
    watchman.look()
    (one,) = watchman.open()
    assert {member.key for member in one.consequences if member.kind == "freshness"} == {
        f"freshness:{SCOPE}/{table}" for table in ("user_features", "feature_statistics", "predictions")
    }
    BAD.clear()
    watchman.ahead_seconds = 0.0
    assert watchman.run()
    watchman.look()
    assert watchman.open() == []
    assert [event for event, _ in watchman.told() if event != "repeated"] == ["opened", "closed"]
