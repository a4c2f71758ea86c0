"""`ok-ml checks`: the rules of a day, worst first, for people and for programs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ok_ml.config.loader import load_project
from ok_ml.lake import Lake
from ok_ml.monitoring.judges.data_judge import judge_data
from ok_ml.monitoring.open_findings import other_verdicts
from tests.quality.day_world import DayWorld

Ok = Callable[..., "object"]
DAYS = ["2026-01-05", "2026-01-12", "2026-01-13"]


@pytest.fixture
def judged(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three days of the toy dataset, the first two served, the last one with few rows and two users twice, judged."""
    for name in ("OK_ML_PROJECT", "OK_ML_SIZE", "OK_ML_ENV", "OK_ML_STATE"):
        monkeypatch.delenv(name, raising=False)
    project = load_project(root)
    world = DayWorld(Lake(project.lake_root))
    for dt in DAYS[:2]:
        world.commit(dt)
    world.serve(DAYS[1])
    world.commit(DAYS[2], rows=20, twice=2)
    judge_data(project, project.datasets["toy"])
    return root


def test_what_does_not_hold_comes_first_with_expected_and_seen(judged: Path, ok: Ok) -> None:
    shown = ok("checks", "toy")
    head, first, second, *_ = shown.out.splitlines()
    assert head.split() == ["STATE", "CHECK", "OF", "STATISTIC", "SEEN", "EXPECTED", "SINCE"]
    assert first.split() == ["fail", "uniqueness", "users", "user_id", "repeated_keys", "2", "<=", "0", DAYS[2]]
    assert second.split()[:3] == ["warn", "volume", "events"]
    assert shown.code == 4
    assert "2 do not hold" in shown.err
    assert "events on 2026-01-13: rows is 20 (usual: 100" in shown.err


def test_the_committed_verdict_is_shown_without_judging_again(judged: Path, ok: Ok) -> None:
    assert "judging" not in ok("checks", "toy").err
    earlier = ok("checks", "toy", "--day", DAYS[1], "--json")
    assert "judging 2026-01-12 of toy" in earlier.err
    assert (earlier.code, earlier.json["day"]) == (0, DAYS[1])
    assert {rule["statistic"] for rule in earlier.json["rules"] if not rule["passed"]} == {"missing_partitions"}


def test_json_has_every_rule(judged: Path, ok: Ok) -> None:
    found = ok("checks", "toy", "--json").json
    assert (found["name"], found["day"]) == ("toy", DAYS[2])
    worst = found["rules"][0]
    assert (worst["check"], worst["seen"], worst["expected"], worst["since"]) == ("uniqueness", "2", "<= 0", DAYS[2])
    assert worst["message"].startswith("users by user_id on 2026-01-13: repeated_keys is 2 of 22 rows")
    assert len(found["rules"]) > 12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["toi"], "no experiment named 'toi'"),
        (["toy", "--day", "2020-01-01"], "no committed partition '2020-01-01'"),
        (["toy", "--day", "2020-01-02"], "toy/events"),
    ],
)
def test_what_is_not_there_is_said(judged: Path, ok: Ok, arguments: list[str], words: str) -> None:
    shown = ok("checks", *arguments)
    assert shown.code in (1, 2)
    assert words in shown.err


def test_an_experiment_whose_log_blocks_before_it_has_features_shows_the_log(judged: Path, ok: Ok) -> None:
    shown = ok("checks", "toy_sources")
    assert shown.code == 4
    assert "feature_statistics has no committed partition" in shown.err
    assert "toy_sources: publication blocked since 2026-01-13 because of the log of 2026-01-13" in shown.err
    assert f"serving {DAYS[1]}; to go on: ok-ml accept toy 2026-01-13 --reason TEXT" in shown.err


def test_what_is_accepted_is_shown_as_accepted_and_blocks_no_more(judged: Path, ok: Ok) -> None:
    done = ok("accept", "toy_sources", DAYS[2], "--reason", "two users share a device")
    assert done.code == 0
    assert "toy 2026-01-13 declared verdict: 2 findings accepted by" in done.out
    assert "toy_sources: nothing blocks" in done.err
    shown = ok("checks", "toy")
    assert shown.code == 0
    assert shown.out.splitlines()[1].split()[:2] == ["accepted", "uniqueness"]
    assert "users user_id repeated_keys: accepted by" in shown.err
    assert ": two users share a device" in shown.err
    found = ok("checks", "toy", "--json").json["rules"]
    assert {rule["state"] for rule in found} == {"accepted", "ok"}
    again = ok("accept", "toy", DAYS[2], "--reason", "twice")
    assert again.code == 2
    assert "nothing is open on 2026-01-13 (days with an open finding: none)" in again.err


def test_other_data_block_again(judged: Path, ok: Ok) -> None:
    ok("accept", "toy", DAYS[2], "--reason", "two users share a device")
    project = load_project(judged)
    DayWorld(Lake(project.lake_root)).commit(DAYS[2], rows=21, twice=2)
    judge_data(project, project.datasets["toy"])
    assert ok("checks", "toy").code == 4


def test_a_day_of_the_log_that_blocked_before_it_got_features_is_among_what_an_experiment_has_open(
    judged: Path,
) -> None:
    project = load_project(judged)
    for newest, found in ((True, [("declared_verdict", DAYS[2])]), (False, [])):
        others = other_verdicts(project, "toy_sources", "toy", DAYS[1], newest=newest)
        assert [(one.table, one.dt) for one in others] == found


def test_a_day_of_the_log_that_blocks_only_warns_once_there_is_a_newer_one(judged: Path, ok: Ok) -> None:
    lake = Lake(load_project(judged).lake_root)
    DayWorld(lake).commit("2026-01-14")
    found = ok("checks", "toy", "--json")
    older = [rule for rule in found.json["rules"] if DAYS[2] in rule["of"]]
    assert [(rule["state"], rule["check"], rule["statistic"]) for rule in older] == [
        ("warn", "declared", "users user_id repeated_keys"),
        ("warn", "declared", "events rows"),
    ]
    assert found.code == 0
