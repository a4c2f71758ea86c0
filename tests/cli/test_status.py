"""The state of assets, read from a real Dagster instance with real runs and checks."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from ok_ml.cli.runs import status_report as status_module
from ok_ml.cli.runs.status_report import _Reading, _rows, collect, on_one_screen
from ok_ml.config.loader import load_project
from ok_ml.console.health import StatusItem
from ok_ml.errors import EnvironmentFault

Ok = Callable[..., "object"]


@dg.asset(key=["toy", "events"], owners=["data@example.org"])
def events() -> None: ...


@dg.asset(
    key=["toy_sources", "model"],
    deps=[events],
    owners=["discovery@example.org"],
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=2), warn_window=timedelta(hours=1)),
)
def model() -> None: ...


@dg.asset(key=["toy_sources", "evaluation"], deps=[model])
def evaluation() -> None: ...


@dg.asset(key=["toy_sources", "predictions"], deps=[model])
def predictions() -> None: ...


@dg.asset_check(asset=events)
def volume() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset_check(asset=evaluation)
def better_than_popularity() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=False, severity=dg.AssetCheckSeverity.WARN, description="0.10, popularity has 0.12"
    )


@dg.asset_check(asset=predictions)
def lists() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.ERROR, description="3 users have no list")


DEFINITIONS = dg.Definitions(
    assets=[events, model, evaluation, predictions, dg.AssetSpec(["other", "events"])],
    asset_checks=[volume, better_than_popularity, lists],
)


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        job = DEFINITIONS.resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(instance=made).success
        yield made


def read(instance: dg.DagsterInstance, *, later_seconds: float = 0.0, daemon: bool = False) -> dict[str, StatusItem]:
    reading = _Reading(instance, DEFINITIONS)
    reading.now += later_seconds
    reading.daemon_lives = daemon
    return {row.name: row for row in _rows(reading)}


def test_each_asset_has_its_state_age_owner_and_the_reason(instance: dg.DagsterInstance) -> None:
    rows = read(instance)
    assert set(rows) == {
        "toy/events",
        "toy_sources/model",
        "toy_sources/evaluation",
        "toy_sources/predictions",
        "other/events",
    }
    assert rows["toy/events"].state == "ok"
    assert rows["toy/events"].owner == "data@example.org"
    assert rows["toy/events"].message == "1 check passed"
    assert 0 <= rows["toy/events"].age_seconds < 120
    assert (rows["toy_sources/evaluation"].state, rows["toy_sources/evaluation"].message) == (
        "warn",
        "better_than_popularity: 0.10, popularity has 0.12",
    )
    assert (rows["toy_sources/predictions"].state, rows["toy_sources/predictions"].message) == (
        "fail",
        "lists: 3 users have no list",
    )
    assert rows["other/events"] == StatusItem("other/events", "asset", "unknown", None, None, "never made")


def test_age_counts_only_while_days_go_by(instance: dg.DagsterInstance) -> None:
    later = 3 * 3600.0
    assert read(instance, later_seconds=later)["toy_sources/model"].state == "ok"
    stale = read(instance, later_seconds=later, daemon=True)["toy_sources/model"]
    assert (stale.state, stale.message) == ("fail", "stale: made 3 h ago, limit 2 h")
    soon = read(instance, later_seconds=1.25 * 3600, daemon=True)["toy_sources/model"]
    assert (soon.state, soon.message) == ("warn", "soon stale: made 75 min ago")


def item(name: str, state: str, age: float | None = 1.0) -> StatusItem:
    return StatusItem(name, "asset", state, age, "a@example.org", "message")  # type: ignore[arg-type]


def test_one_screen_keeps_the_worst_and_folds_the_rest() -> None:
    rows = [item("a/x", "ok"), item("b/y", "fail"), *(item(f"c/{n}", "ok") for n in range(40))]
    rows += [item(f"never/{n}", "unknown", None) for n in range(13)]
    shown = on_one_screen(rows, 10)
    assert len(shown) == 10
    assert shown[0].name == "b/y"
    assert (shown[1].name, shown[1].message) == ("never/*", "13 assets never made")
    assert shown[-1].name == "... and 34 more"
    assert shown[-1].state == "ok"
    assert on_one_screen(rows[:2], 10) == [rows[1], rows[0]]


def test_before_the_first_run_it_says_how_to_make_one(ok: Ok) -> None:
    shown = ok("status")
    assert (shown.code, shown.out) == (3, "")
    assert "nothing ran here yet" in shown.err
    assert "ok-ml run --size tiny" in shown.err


@pytest.fixture
def made(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose Dagster instance has the run of this module's definitions."""
    from ok_ml.local.services.dagster_instance import instance_home, prepare_instance

    project = load_project(root)
    prepare_instance(project)
    monkeypatch.setattr("ok_ml.definitions.build_definitions", lambda _project: DEFINITIONS)
    with dg.DagsterInstance.from_config(str(instance_home(project))) as instance:
        DEFINITIONS.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance)
    return root


def files_of(root: Path) -> set[Path]:
    """Every file of the state folder but those that SQLite makes while it reads."""
    return {path for path in (root / ".ok_ml").rglob("*") if path.is_file() and "db-" not in path.name}


def test_the_command_shows_the_worst_first_and_leaves_nothing_that_ages(ok: Ok, made: Path) -> None:
    started, before = time.monotonic(), files_of(made)
    shown = ok("status")
    assert shown.code == 5
    assert [line.split()[1] for line in shown.out.splitlines()[1:3]] == [
        "toy_sources/predictions",
        "toy_sources/evaluation",
    ]
    assert shown.err == "1 fail  1 warn  1 unknown  2 ok\n"
    assert files_of(made) == before
    as_json = ok("status", "--json").json
    assert as_json[0]["name"] == "toy_sources/predictions"
    assert {"name", "kind", "state", "age_seconds", "owner", "message"} <= set(as_json[0])
    assert time.monotonic() - started < 30


def test_who_may_only_read_sees_the_same_from_copies(ok: Ok, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def told() -> list[tuple[str, str, str]]:
        return [(one["name"], one["state"], one["message"]) for one in ok("status", "--json").json]

    wanted = told()
    contents = {path: path.read_bytes() for path in (made / ".ok_ml").rglob("*") if path.is_file()}
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and may(path, mode))
    assert told() == wanted
    assert {path: path.read_bytes() for path in (made / ".ok_ml").rglob("*") if path.is_file()} == contents


def test_collect_refuses_without_an_instance(root: Path) -> None:
    with pytest.raises(EnvironmentFault, match="there is no Dagster instance"):
        collect(load_project(root))
    assert status_module.StatusRow is StatusItem
