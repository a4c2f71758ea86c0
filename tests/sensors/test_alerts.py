"""The alert sensor on a real Dagster instance: runs, checks and materialisations as they happen."""

import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from ok_ml.checks.findings import nothing_judged
from ok_ml.config.loader import load_project
from ok_ml.config.models import Project
from ok_ml.console.health import blocked_items
from ok_ml.console.incident_items import incident_items
from ok_ml.incidents.courier import Couriers
from ok_ml.incidents.journal import Journal
from ok_ml.incidents.records import Incident
from ok_ml.incidents.store import Store
from ok_ml.lake import Lake
from ok_ml.quality.judges.findings import Finding
from ok_ml.quality.judges.verdicts import FEATURE_VERDICT, commit, verdict_of
from ok_ml.sensors import alerts as alerts_module
from ok_ml.sensors.alerts import alerts_sensor, tick
from ok_ml.sensors.watched import watched
from ok_ml.stages.blocked_days import story
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
        if "nothing" in BAD:
            return nothing_judged("no day yet: nothing to judge")
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
CHECK, LISTS = f"check:{SCOPE}/feature_statistics:feature_distributions", f"check:{SCOPE}/predictions:lists"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    BAD.clear()
    for name in ("OK_ML_PROJECT", "OK_ML_STATE", "OK_ML_SIZE", "OK_ML_ENV"):
        monkeypatch.delenv(name, raising=False)
    root = make_project(tmp_path)
    edit(root, "configs/experiments/toy_sources.yml", "release: {cycle: manual}", "release: {cycle: automatic}")
    yield load_project(root)
    BAD.clear()


@pytest.fixture
def watchman(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watchman]:
    """With an instance in memory, which is quicker."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield Watchman(project, instance, monkeypatch)


@pytest.fixture
def watchman_on_disk(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watchman]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Watchman(project, instance, monkeypatch)


def test_nothing_wrong_nothing_said(watchman: Watchman) -> None:
    assert watchman.run()
    assert watchman.look() == "0 open"
    assert watchman.told() == []


def test_a_failed_check_its_run_and_what_grows_stale_behind_it_are_one_incident(
    watchman_on_disk: Watchman,
) -> None:
    watchman = watchman_on_disk
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


def test_a_check_that_passes_after_all_ends_the_run_that_it_stopped(watchman: Watchman) -> None:
    """As after `ok-ml accept`, which evaluates the check again and makes nothing."""
    assert watchman.run()
    watchman.look()
    BAD.add("feature_distributions")
    assert not watchman.run()
    watchman.look()
    (one,) = watchman.open()
    assert [member.kind for member in one.consequences] == ["run"]
    BAD.clear()
    check = dg.AssetCheckKey(dg.AssetKey([SCOPE, "feature_statistics"]), "feature_distributions")
    job = DEFINITIONS.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection={check})
    assert job.execute_in_process(instance=watchman.instance).success
    watchman.look()
    assert watchman.open() == []
    assert [event for event, _ in watchman.told()] == ["opened", "closed"]


def test_a_check_that_had_nothing_to_judge_calls_for_nobody(watchman: Watchman) -> None:
    BAD.add("nothing")
    assert watchman.run(), "it holds nothing back"
    assert watchman.look() == "0 open"


def test_the_incident_says_what_every_page_says(watchman: Watchman) -> None:
    lake, dt = Lake(watchman.project.lake_root), "2026-01-13"
    found = Finding.told("posts psi", "block", f"{dt}: posts psi is 1.4", dt)
    commit(lake, verdict_of(lake, SCOPE, FEATURE_VERDICT, dt, [found]))
    BAD.add("feature_distributions")
    assert not watchman.run()
    watchman.look()
    (one,) = watchman.open()
    assert one.title == f"{SCOPE}/feature_statistics: the features of {dt} (posts psi is 1.4)"
    said, *more = one.members[one.key].detail.splitlines()
    assert said == story(watchman.project, SCOPE)
    assert said.startswith(
        f"{SCOPE}: publication blocked since {dt} because of the features of {dt} (posts psi is 1.4); serving nothing yet"
    )
    assert f"to go on: ok-ml accept {SCOPE} {dt} --reason TEXT" in said
    assert more == ["mean 0.7, expected 0.2-0.4"]
    (item,) = incident_items(watchman.project)
    assert item.message.startswith(said)
    assert [item.message for item in blocked_items(watchman.project)] == [said]


def test_what_failed_and_passed_between_two_looks_is_told_once(watchman: Watchman) -> None:
    assert watchman.run()
    watchman.look()
    BAD.add("lists")
    assert watchman.run(), "not blocking"
    BAD.clear()
    assert watchman.run("predictions")
    assert watchman.look() == "1 opened, 1 closed; 0 open; 2 messages to file; 2 messages to topic"
    assert watchman.told() == [("opened", LISTS), ("closed", LISTS)]
    assert watchman.look().startswith("0 open")


def test_a_slow_check_that_ends_after_a_later_one_is_not_lost(watchman: Watchman) -> None:
    assert watchman.run()
    watchman.look()
    slow = plan(watchman)
    quick = plan(watchman)
    evaluate(watchman, quick, passed=True)
    watchman.look()
    assert watchman.told() == []
    evaluate(watchman, slow, passed=False)
    watchman.look()
    assert watchman.told() == [("opened", LISTS), ("closed", LISTS)], (
        "the newer one is the state, but the older one is told"
    )
    assert "opened" not in watchman.look()


def plan(watchman: Watchman) -> str:
    """A run that has planned its checks and has not evaluated them yet; returns its id."""
    job = DEFINITIONS.resolve_implicit_global_asset_job_def()
    return watchman.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED).run_id


def evaluate(watchman: Watchman, run_id: str, *, passed: bool) -> None:
    result = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey([SCOPE, "predictions"]),
        check_name="lists",
        passed=passed,
        metadata={},
        description="late",
    )
    event = dg.DagsterEvent(
        dg.DagsterEventType.ASSET_CHECK_EVALUATION.value, job_name="__ASSET_JOB", event_specific_data=result
    )
    watchman.instance.report_dagster_event(event, run_id)


def test_a_failed_run_says_at_which_step_and_why_and_closes_when_a_run_makes_that_asset(watchman: Watchman) -> None:
    BAD.add("predictions")
    assert not watchman.run()
    watchman.look()
    (one,) = watchman.open()
    assert one.title == f"the run of {SCOPE}/user_features failed at {SCOPE}__predictions"
    assert one.detail == "predictions: 3 files, expected 4"
    assert one.asset == (SCOPE, "predictions")
    assert one.link.startswith("http://127.0.0.1:21314/runs/")
    assert watchman.run("user_features", "feature_statistics")
    watchman.look()
    assert len(watchman.open()) == 1, "that run did not make what had failed"
    BAD.clear()
    assert watchman.run("predictions")
    watchman.look()
    assert [event for event, _ in watchman.told()] == ["opened", "closed"]


def test_a_warning_is_a_warning_and_its_run_goes_on(watchman: Watchman) -> None:
    BAD.update({"feature_distributions", "warn"})
    assert watchman.run()
    watchman.look()
    (one,) = watchman.open()
    assert (one.severity, one.consequences) == ("warn", [])


def test_what_failed_long_ago_and_was_mended_is_not_told_at_the_first_look(watchman: Watchman) -> None:
    BAD.update({"lists", "predictions"})
    assert not watchman.run()
    BAD.clear()
    assert watchman.run()
    assert watchman.look() == "0 open"


def test_manual_experiments_do_not_grow_stale(watchman: Watchman) -> None:
    assert watchman.run()
    watchman.ahead_seconds = 300 * HOUR
    watchman.graph = replace(watchman.graph, automatic=frozenset())
    assert watchman.look() == "0 open"


def test_days_of_a_simulated_network_do_not_age_while_nobody_watches(watchman: Watchman) -> None:
    watchman.graph = replace(watchman.graph, days={SCOPE: 120.0})
    assert watchman.run()
    watchman.look()
    watchman.ahead_seconds = 10 * HOUR
    assert watchman.look() == "0 open"
    pretend_watching(watchman, 2 * HOUR + 200)
    assert watchman.look() == "0 open", "stale, but not for long enough"
    pretend_watching(watchman, 2 * HOUR + 400)
    watchman.look()
    (one,) = watchman.open()
    assert one.kind == "freshness"


def pretend_watching(watchman: Watchman, seconds: float) -> None:
    """As if there had been a tick every quarter of a minute for so long."""
    now = real_time() + watchman.ahead_seconds
    with watchman.store.writing() as transaction:
        transaction.set_cursors({"watch": json.dumps({"since": now - seconds, "last": now - 15.0})})


def test_a_process_that_died_and_came_back_is_told_once(watchman: Watchman) -> None:
    journal = Journal(watchman.project.state_dir)
    journal.begin()
    watchman.look()
    journal.note("died", "kafka", how="killed by SIGKILL", log="/logs/kafka.log")
    journal.note("back", "kafka")
    watchman.look()
    assert watchman.told() == [("opened", "process:kafka"), ("closed", "process:kafka")]
    assert watchman.look().startswith("0 open")


def test_a_silent_materialiser_belongs_to_the_process_that_died(watchman: Watchman) -> None:
    folder = watchman.project.state_dir / "storage" / SCOPE
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"updated_at": time.time() - 100}))
    Journal(watchman.project.state_dir).begin()
    Journal(watchman.project.state_dir).note("down", "materialiser", how="exit code 1")
    watchman.look()
    (one,) = watchman.open()
    assert (one.key, one.title) == ("process:materialiser", "process materialiser crashed and stays down")
    assert [member.key for member in one.consequences] == ["heartbeat:materialiser"]


def test_a_source_that_breaks_is_said_and_keeps_what_it_knew(
    watchman: Watchman, monkeypatch: pytest.MonkeyPatch
) -> None:
    BAD.add("lists")
    assert watchman.run()
    watchman.look()

    def broken(*_: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(alerts_module, "look_at_checks", broken)
    assert "checks could not be looked at: database is locked" in watchman.look()
    assert len(watchman.open()) == 1


def test_a_store_that_cannot_be_written_does_not_fail_the_tick(watchman: Watchman) -> None:
    watchman.store.path.mkdir(parents=True)
    assert watchman.look().startswith("the incidents cannot be stored: unable to open database file")


def test_the_sensor_runs_by_itself_and_its_tick_is_short(watchman: Watchman) -> None:
    BAD.add("lists")
    assert watchman.run()
    sensor = alerts_sensor(watchman.project)
    assert (sensor.name, sensor.default_status) == ("alerts", dg.DefaultSensorStatus.RUNNING)
    with dg.build_sensor_context(instance=watchman.instance, repository_def=watchman.repository) as context:
        sensor.evaluate_tick(context)
        started = time.process_time()
        said = sensor.evaluate_tick(context).skip_message
        assert time.process_time() - started < 0.3
    assert said is not None
    assert said.startswith("1 open")
