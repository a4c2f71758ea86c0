"""The health of everything: order, ages, judgements by hand-worked numbers, and the page."""

import time
from pathlib import Path
from typing import Any

import graphql
import pytest

from ok_ml.config.loader import load_project
from ok_ml.console import dagster_view
from ok_ml.console.dagster_view import node_items, run_items
from ok_ml.console.health import StatusItem, in_words, merged, report, worst, worst_first
from ok_ml.console.health_view import STATE_WORDS, folded, health_view
from ok_ml.console.render import render
from ok_ml.console.watch import generation_item, materialiser_item
from ok_ml.delivery.control import Control
from ok_ml.delivery.manifest import GenerationManifest
from tests.serving.conftest import Server
from tests.serving.test_predictions import fits
from tests.small_project import make_project

NOW = 1_800_000_000.0


def item(name: str, state: Any = "ok", age: float | None = None, kind: str = "asset") -> StatusItem:
    return StatusItem(name, kind, state, age)


# -- the list --------------------------------------------------------------------------------------------------------


def test_the_worst_comes_first_then_the_oldest() -> None:
    items = [item("a"), item("b", "unknown"), item("c", "warn", 5), item("d", "fail"), item("e", "warn", 50)]
    for given in (items, items[::-1]):
        assert [found.name for found in worst_first(given)] == ["d", "e", "c", "b", "a"]
    assert worst(items) == "fail"
    assert worst([]) == "unknown"
    assert report(items).counts == {"fail": 1, "warn": 2, "unknown": 1, "ok": 1}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (5400, "2 h"), (129_599, "36 h"), (172_800, "2 days")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_the_earlier_source_is_believed() -> None:
    own, other = [item("a", "ok")], [item("a", "fail"), item("a", "warn", kind="check")]
    assert merged(own, other) == [own[0], other[1]]


# -- judgements ------------------------------------------------------------------------------------------------------


def manifest(data_dt: str) -> GenerationManifest:
    control = Control("toy_sources", 1_767_225_600_000, 0, 1, "0" * 32, 7, 0, 3, 0, "0", {"data_dt": data_dt})
    return GenerationManifest("toy_sources", 1_767_225_600_000, (control,), time.time() - 100)


@pytest.mark.parametrize(
    ("data_dt", "newest", "state"),
    [  # predictions_hours is 26 by default: one day behind is 24 h, over three quarters of it; two days are 48 h
        ("2026-01-31", "2026-01-31", "ok"), ("2026-01-31", None, "ok"), ("2026-01-31", "2026-02-01", "warn"),
        ("2026-01-31", "2026-02-02", "fail"), ("2026-02-01", "2026-01-31", "ok"), ("someday", "2026-02-02", "ok"),
    ],
)  # fmt: skip
def test_a_generation_is_judged_by_its_data_not_by_the_wall_clock(
    tmp_path: Path, data_dt: str, newest: str | None, state: str
) -> None:
    config = load_project(make_project(tmp_path)).experiments["toy_sources"]
    found = generation_item(config, manifest(data_dt), newest)
    assert (found.state, found.kind, found.owner) == (state, "generation", "discovery@example.org")
    assert found.age_seconds == pytest.approx(100, abs=5)
    assert "model 7" in found.message
    assert ("ok-ml run toy_sources" in found.message) == (state == "fail")


def test_an_experiment_that_never_published_is_unknown_with_its_next_step(tmp_path: Path) -> None:
    config = load_project(make_project(tmp_path)).experiments["toy_sources"]
    found = generation_item(config, None, None)
    assert (found.state, found.age_seconds) == ("unknown", None)
    assert "ok-ml run toy_sources" in found.message


HEARTBEAT = {"updated_at": NOW - 2, "stopped": False, "lag": 0, "trouble": None, "current": 5, "refused": []}


@pytest.mark.parametrize(
    ("changed", "state", "words"),
    [
        ({}, "ok", "all records are in the storage"),
        ({"lag": 1200}, "ok", "1,200 records pending"),
        ({"updated_at": NOW - 60}, "warn", "no heartbeat for 60 s"),
        ({"stopped": True}, "warn", "stopped; new generations wait"),
        ({"trouble": "broker away"}, "warn", "broker away"),
        ({"refused": [{"generation": 6, "reason": "3 records missing"}]}, "fail", "3 records missing"),
        ({"refused": [{"generation": 4, "reason": "long ago"}]}, "ok", "all records"),
    ],
)
def test_the_materialisers_heartbeat_is_judged(changed: dict[str, Any], state: str, words: str) -> None:
    found = materialiser_item("toy_sources", "me", HEARTBEAT | changed, NOW)
    assert found.state == state
    assert words in found.message


# -- Dagster ---------------------------------------------------------------------------------------------------------


def test_the_queries_fit_dagsters_schema() -> None:
    from dagster_graphql.schema import create_schema

    schema = create_schema().graphql_schema
    for query in (dagster_view._QUERY, dagster_view._RUNS):
        assert graphql.validate(schema, graphql.parse(query)) == []


def node(freshness: str, made_at: float | None, *checks: dict[str, Any]) -> dict[str, Any]:
    return {
        "assetKey": {"path": ["toy", "events"]},
        "owners": [{"email": "data@example.org"}],
        "freshnessStatusInfo": {"freshnessStatus": freshness},
        "assetMaterializations": [] if made_at is None else [{"timestamp": str(made_at * 1000)}],
        "assetChecksOrError": {"checks": list(checks)},
    }


def check(status: str, success: bool | None = None, severity: str = "ERROR") -> dict[str, Any]:
    evaluation = None if success is None else {"success": success, "severity": severity, "description": "0.31 > 0.25"}
    return {"name": "drift", "executionForLatestMaterialization": {"status": status, "evaluation": evaluation}}


@pytest.mark.parametrize(
    ("freshness", "state"), [("HEALTHY", "ok"), ("WARNING", "warn"), ("UNHEALTHY", "fail"), ("NOT_APPLICABLE", "ok")]
)
def test_assets_by_their_freshness(freshness: str, state: str) -> None:
    (found,) = node_items(node(freshness, NOW - 120), "http://127.0.0.1:1", NOW)
    assert (found.name, found.state, found.age_seconds, found.owner) == ("toy/events", state, 120.0, "data@example.org")
    assert found.link == "http://127.0.0.1:1/assets/toy/events"


def test_checks_by_result_and_severity() -> None:
    checks = [
        check("SUCCEEDED", success=True),
        check("FAILED", success=False),
        check("FAILED", success=False, severity="WARN"),
        check("EXECUTION_FAILED"),
        check("IN_PROGRESS"),
        {"name": "drift", "executionForLatestMaterialization": None},
    ]
    found = list(node_items(node("HEALTHY", NOW, *checks), "", NOW))
    assert [one.state for one in found] == ["ok", "ok", "fail", "warn", "fail", "unknown", "unknown"]
    assert found[2].message == "0.31 > 0.25"


def test_an_asset_that_was_never_made_is_unknown_and_its_checks_say_nothing() -> None:
    (found,) = node_items(node("UNKNOWN", None, check("SUCCEEDED", success=True)), "", NOW)
    assert (found.state, found.message) == ("unknown", "never materialised")


def test_the_last_finished_run_of_each_job_counts() -> None:
    def run(job: str, status: str, ended: float | None) -> dict[str, Any]:
        return {"id": f"{job}-{status}", "jobName": job, "status": status, "startTime": NOW - 99, "endTime": ended}

    runs = [
        run("train", "STARTED", None),
        run("train", "FAILURE", NOW - 30),
        run("train", "SUCCESS", NOW - 90),
        run("batch", "CANCELED", NOW),
        run("batch", "SUCCESS", NOW - 50),
        run("__ASSET_JOB", "SUCCESS", NOW),
    ]
    found = list(run_items(runs, "http://d", NOW))
    assert [(one.name, one.state, one.age_seconds) for one in found] == [
        ("train", "fail", 30.0),
        ("batch", "ok", 50.0),
        ("assets outside of jobs", "ok", 0.0),
    ]
    assert found[0].link == "http://d/runs/train-FAILURE"


# -- pages -----------------------------------------------------------------------------------------------------------


def health_page(items: list[StatusItem]) -> str:
    return render("health.html", current="/health", neighbours={}, view=health_view(items), words=STATE_WORDS)


def test_trouble_stands_before_what_is_healthy_and_what_waits_is_folded() -> None:
    items = [item("w/a", "unknown"), item("w/b", "unknown"), item("w/c", "fail", 3.0), item("fine/one", "ok", 5.0)]
    items.append(item("fine/one: parity", "ok", kind="check"))
    assert [(one.name, one.message) for one in folded(items)][-1] == ("w/*", "2 assets are not materialised yet")
    text = health_page(items).replace("<wbr>", "")
    assert text.index("w/c") < text.index("w/*") < text.index("<span>one</span>")
    assert "w/c is failing" in text
    assert "w/a" not in text
    assert "1 check, 5 s" in text
    assert "parity" not in text


def test_a_calm_page_says_so() -> None:
    assert "All 1 monitored components are healthy." in health_page([item("a")])
    assert "Nothing is monitored yet." in health_page([])


def test_health_of_the_real_service(server: Server) -> None:
    found = server.get("/health.json")
    fits(found.json, "HealthReport")
    by_name = {(one["kind"], one["name"]): one for one in found.json["items"]}
    assert by_name["generation", "toy_sources"]["state"] == "ok"
    assert by_name["generation", "unpublished"]["state"] == "unknown"
    assert by_name["service", "Kafka"]["state"] == "warn"
    page = server.get("/health").text
    assert "Needs attention" in page
    assert "toy_<wbr>sources" in page
