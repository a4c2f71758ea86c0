"""`ok-ml incidents`, and what `ok-ml doctor` says of channels."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ok_ml.cli.examination.examined_machine import this_machine
from ok_ml.cli.examination.project_checks import alerts
from ok_ml.cli.parse_time import moment
from ok_ml.errors import UsageError
from ok_ml.incidents.reconcile import reconcile
from ok_ml.incidents.records import Incident
from ok_ml.incidents.signals import Signal
from ok_ml.incidents.store import Store
from tests.cli.conftest import Called
from tests.small_project import edit

Ok = Callable[..., Called]

DRIFT = Signal(
    "check:toy_sources/feature_statistics:drift",
    "check",
    "error",
    "discovery@example.org",
    "toy_sources/feature_statistics: drift failed",
    "mean 0.7, expected 0.2-0.4",
    "http://127.0.0.1:3000/x",
    ("toy_sources", "feature_statistics"),
)
RUN = Signal("run:x", "run", "error", None, "the run of x failed", "no room\non the disk", causes=(DRIFT.key,))
NOW = datetime(2026, 11, 23, 15, 30, tzinfo=ZoneInfo("Europe/Moscow"))


@pytest.fixture
def store(root: Path) -> Store:
    made = Store.of(root / ".ok_ml")
    reconcile(made, [DRIFT, RUN], now=time.time() - 100)
    return made


def the_open_one(store: Store) -> Incident:
    with store.reading() as transaction:
        (found,) = transaction.open_incidents()
    return found


def test_without_any_incident_the_list_is_empty_and_nothing_is_made(ok: Ok, root: Path) -> None:
    shown = ok("incidents", "list")
    assert (shown.code, shown.out, shown.err) == (0, "", "Nothing is open.\n")
    assert ok("incidents", "list", "--json").json == []
    assert not (root / ".ok_ml" / "incidents.db").exists()


def test_the_list_shows_what_is_open_and_ends_with_5_until_somebody_takes_it(ok: Ok, store: Store) -> None:
    name = the_open_one(store).id
    shown = ok("incidents", "list")
    assert shown.code == 5
    head, row = shown.out.splitlines()
    assert head.split() == ["GRADE", "ID", "STATE", "SINCE", "MORE", "WHAT", "OWNER"]
    assert row.split()[:6] == ["fail", name, "open", "2", "min", "1"]
    taken = ok("incidents", "ack", name[-4:], "--by", "anna")
    assert taken.out == f"{name} is looked after by anna: {DRIFT.title}\n"
    shown = ok("incidents", "list")
    assert (shown.code, shown.out.split()[9]) == (0, "acknowledged")


def test_one_is_shown_with_everything_that_follows_from_it(ok: Ok, store: Store) -> None:
    name = the_open_one(store).id
    shown = ok("incidents", "show", name)
    assert shown.code == 0
    assert "mean 0.7, expected 0.2-0.4" in shown.out
    assert "- the run of x failed (still wrong)\n  no room" in shown.out
    found = ok("incidents", "show", name[:15], "--json").json
    assert isinstance(found, dict)
    assert (found["id"], found["state"], found["consequences"][0]["key"]) == (name, "open", "run:x")


def test_closed_ones_are_listed_with_all(ok: Ok, store: Store) -> None:
    reconcile(store, [], now=time.time(), complete=("check", "run"))
    assert ok("incidents", "list").err == "Nothing is open.\n"
    shown = ok("incidents", "list", "--all")
    assert (shown.code, "closed" in shown.out) == (0, True)


def test_an_incident_is_muted_until_a_time_and_speaks_again(ok: Ok, store: Store) -> None:
    name = the_open_one(store).id
    muted = ok("incidents", "mute", name, "--until", "2h", "--json").json
    assert isinstance(muted, dict)
    assert muted["muted"] == name
    assert the_open_one(store).muted_until == pytest.approx(time.time() + 7200, abs=60)
    assert ok("incidents", "list").code == 0
    assert ok("incidents", "unmute", name).out == f"{name} is not muted any more\n"
    assert ok("incidents", "list").code == 5


def test_keys_are_muted_with_a_star(ok: Ok, store: Store) -> None:
    assert ok("incidents", "mute", "check:toy_sources/*", "--until", "3d").code == 0
    assert ok("incidents", "list").code == 0
    assert ok("incidents", "unmute", "check:toy_sources/*").code == 0
    again = ok("incidents", "unmute", "check:toy_sources/*")
    assert (again.code, "is not muted (muted keys: none)" in again.err) == (2, True)


@pytest.mark.parametrize(("asked", "told"), [("nope", "no incident named 'nope'"), ("2", "could be 2 incidents")])
def test_an_id_that_is_none_or_several_is_an_error(ok: Ok, store: Store, asked: str, told: str) -> None:
    reconcile(store, [Signal("process:kafka", "process", "warn", None, "kafka died")], now=time.time())
    shown = ok("incidents", "ack", asked)
    assert shown.code == 2
    assert told in shown.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", "2026-11-23T16:00+03:00"),
        ("2h", "2026-11-23T17:30+03:00"),
        ("1.5d", "2026-11-25T03:30+03:00"),
        ("18:00", "2026-11-23T18:00+03:00"),
        ("9:00", "2026-11-24T09:00+03:00"),
        ("2026-11-25", "2026-11-25T00:00+03:00"),
        ("2026-11-24T09:15", "2026-11-24T09:15+03:00"),
        ("2026-11-24T09:15Z", "2026-11-24T09:15+00:00"),
    ],
)
def test_times_are_read_as_people_type_them(text: str, expected: str) -> None:
    assert moment(text, NOW) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("text", "told"), [("tomorrow", "expected a time"), ("25:00", "expected a time"), ("2020-01-01", "is over")]
)
def test_what_is_no_time_to_come_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        moment(text, NOW)


def test_the_doctor_says_which_channels_are_off(ok: Ok, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    channels = (
        "alerts: {channels: [{name: team, url_env: TEAM_URL}, {name: pager, url_env: PAGER_URL, severities: [error]}]}"
    )
    edit(root, "configs/base.yml", "state_dir: .ok_ml", f"state_dir: .ok_ml\n{channels}")
    monkeypatch.setenv("TEAM_URL", "json://127.0.0.1")
    monkeypatch.delenv("PAGER_URL", raising=False)
    assert ok("validate").code == 0
    found = {one.name: one for one in alerts(this_machine(root, None, None))}
    assert (found["alerts team"].state, found["alerts pager"].state) == ("ok", "warn")
    assert found["alerts pager"].message == "PAGER_URL is not set: this channel is off"
