"""From signals to incidents: one cause is one incident, told once, closed once."""

from pathlib import Path

import pytest

from ok_ml.incidents.policy import Policy
from ok_ml.incidents.store import Store, new_id
from tests.incidents.made_up import LINEAGE, OWNER, SCOPE, Desk, signal

DRIFT = signal("check", "statistics", "drift")
RUN = signal("run", "statistics", causes=(DRIFT.key,))
STALE = signal("freshness", "live")
HOUR = 3600.0


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_failed_check_opens_and_closes_one_incident(desk: Desk) -> None:
    assert len(desk.look(DRIFT).opened) == 1
    for _ in range(3):
        assert str(desk.look(DRIFT)) == ""
    assert len(desk.look().closed) == 1
    assert str(desk.look()) == ""
    assert desk.told() == desk.told("topic") == desk.told("team") == desk.told("pager") == ["opened", "closed"]


def test_a_run_that_failed_by_its_check_and_what_grows_stale_behind_it_join(desk: Desk) -> None:
    changes = desk.look(RUN, DRIFT)
    assert (len(changes.opened), changes.joined) == (1, [RUN.key])
    assert desk.look(RUN, DRIFT, STALE, after=30 * HOUR).joined == [STALE.key]
    (one,) = desk.open()
    assert (one.key, [member.key for member in one.consequences]) == (DRIFT.key, [RUN.key, STALE.key])
    assert desk.look(STALE).closed == []
    assert len(desk.look().closed) == 1
    assert [event for event in desk.told() if event != "repeated"] == ["opened", "closed"]


def test_what_follows_may_be_seen_before_its_cause(desk: Desk) -> None:
    desk.look(signal("check", "predictions", "lists"))
    changes = desk.look(signal("check", "predictions", "lists"), signal("check", "report", "volume"))
    assert (changes.opened, changes.joined) == ([], [f"check:{SCOPE}/report:volume"])


def test_an_incident_carries_the_first_cause_not_the_first_that_was_noticed(desk: Desk) -> None:
    lists, volume = signal("check", "predictions", "lists"), signal("check", "report", "volume")
    desk.look(RUN)
    (opened,) = desk.open()
    desk.look(RUN, lists)
    assert [one.title for one in desk.open()] == [RUN.title], "lists come after what the run failed at"
    desk.look(RUN, DRIFT, lists)
    desk.look(RUN, DRIFT, lists, volume)
    (one,) = desk.open()
    assert (one.id, one.key, one.title, one.asset) == (opened.id, volume.key, volume.title, volume.asset)
    assert {member.key for member in one.consequences} == {RUN.key, DRIFT.key, lists.key}
    desk.look(RUN, lists)
    assert desk.open()[0].title == volume.title, "what it was stays its name while its consequences last"
    assert len(desk.look().closed) == 1


def test_a_table_that_describes_another_speaks_for_it() -> None:
    assert LINEAGE.follows((SCOPE, "training"), (SCOPE, "statistics")), (
        "made from the features that statistics describe"
    )
    assert LINEAGE.follows((SCOPE, "live"), (SCOPE, "report"))
    assert not LINEAGE.follows((SCOPE, "events"), (SCOPE, "statistics"))
    assert not LINEAGE.follows((SCOPE, "live"), None)


def test_a_check_that_fails_two_days_later_has_something_new_to_say(desk: Desk) -> None:
    desk.look(DRIFT)
    later = signal("check", "predictions", "lists")
    assert len(desk.look(DRIFT, later, after=48 * HOUR).opened) == 1
    assert len(desk.open()) == 2


def test_things_that_have_nothing_to_do_with_one_another_are_two_incidents(desk: Desk) -> None:
    stranger = signal("check", "elsewhere", "volume")
    assert len(desk.look(DRIFT, stranger, signal("process", "kafka")).opened) == 3
    assert len(desk.look(stranger).closed) == 2


def test_a_process_that_is_already_back_is_one_incident_opened_and_closed(desk: Desk) -> None:
    changes = desk.look(signal("process", "kafka", severity="warn", since=desk.now - 3, until=desk.now - 1))
    assert changes.opened == changes.closed != []
    assert desk.told() == ["opened", "closed"]
    assert desk.told("pager") == [], "it hears errors only"


def test_a_run_joins_the_process_that_it_names_even_if_that_is_back(desk: Desk) -> None:
    kafka = signal("process", "kafka", since=desk.now, until=desk.now + 2)
    run = signal("run", "live", causes=(kafka.key,))
    changes = desk.look(kafka, run)
    assert (len(changes.opened), changes.joined, changes.closed) == (1, [run.key], [])
    desk.look()
    late = signal("run", "training", causes=(kafka.key,))
    assert len(desk.look(late).reopened) == 1


def test_a_flapping_check_is_one_incident_and_its_second_end_waits_until_it_holds(desk: Desk) -> None:
    (first,) = desk.look(DRIFT).opened
    desk.look()
    assert desk.look(DRIFT).reopened == [first]
    for _ in range(4):
        assert desk.look().closed == [], "good for less than the window"
        assert desk.look(DRIFT).opened == []
    assert desk.look().closed == []
    assert desk.look(after=26 * HOUR).closed == [first]
    assert desk.told("team") == ["opened", "closed", "reopened", "closed"]
    assert [name.removeprefix(f"{first}/") for name in desk.ids()] == ["opened", "closed", "reopened-2", "closed-2"]
    assert desk.look(DRIFT, after=26 * HOUR + 1).opened != [], "long after that it is a new one"


def test_repetitions_come_after_an_hour_and_then_daily_and_end_when_somebody_takes_it(desk: Desk) -> None:
    desk.look(DRIFT)
    repeated = [bool(desk.look(DRIFT, after=HOUR / 2).repeated) for _ in range(100)]
    assert [number for number, one in enumerate(repeated, 1) if one] == [2, 50, 98]
    (one,) = desk.open()
    with desk.store.writing() as transaction:
        one.acknowledged_by, one.acknowledged_at = "anna", desk.now
        transaction.save(one)
    assert not any(desk.look(DRIFT, after=HOUR).repeated for _ in range(60))
    assert len(desk.look().closed) == 1
    assert len(set(desk.ids())) == len(desk.ids()) == 5


def test_fast_days_shrink_the_schedule_but_not_below_a_minute(desk: Desk) -> None:
    fast = signal("check", "statistics", "drift", day_seconds=120.0)
    desk.look(fast)
    repeated = [bool(desk.look(fast, after=15.0).repeated) for _ in range(40)]
    assert [number for number, one in enumerate(repeated, 1) if one] == [4, 12, 20, 28, 36]


def test_what_is_muted_is_recorded_and_told_when_the_time_is_over(desk: Desk) -> None:
    with desk.store.writing() as transaction:
        transaction.mute_key(f"check:{SCOPE}/*", desk.now + HOUR)
    desk.look(DRIFT)
    assert (desk.told("team"), desk.told("file")) == ([], ["opened"])
    desk.look(DRIFT, after=30 * 60)
    assert desk.told("team") == []
    desk.look(DRIFT, after=HOUR)
    assert desk.told("team")[0] == "opened"
    with desk.store.writing() as transaction:
        (one,) = transaction.open_incidents()
        one.muted_until = desk.now + HOUR
        transaction.save(one)
    told = desk.told("team")
    desk.look()
    assert desk.told("team") == told, "an end that falls into the silence is not told either"
    assert desk.told("file")[-1] == "closed"


def test_each_channel_hears_its_owners_and_severities_and_whoever_becomes_concerned_hears_then(desk: Desk) -> None:
    warning = signal("check", "events", "volume", severity="warn", owner="data@example.org")
    desk.look(warning)
    assert (desk.told("team"), desk.told("pager"), desk.told("file")) == ([], [], ["opened"])
    changes = desk.look(warning, signal("run", "statistics", severity="error"))
    assert len(changes.escalated) == 1
    assert (desk.told("team"), desk.told("pager"), desk.told("file")) == (
        ["opened"],
        ["opened"],
        ["opened", "escalated"],
    )
    desk.look()
    assert desk.told("team") == desk.told("pager") == ["opened", "closed"]


def test_a_channel_that_heard_of_a_warning_hears_that_it_got_worse(desk: Desk) -> None:
    warning = signal("check", "statistics", "drift", severity="warn")
    desk.look(warning)
    desk.look(DRIFT)
    assert desk.told("team") == ["opened", "escalated"]
    assert desk.told("pager") == ["opened"]


def test_what_nobody_looked_at_stays_as_it_was(desk: Desk) -> None:
    desk.look(DRIFT)
    assert desk.look(complete=("run", "process")).closed == []
    assert len(desk.look(complete=(), passed=[DRIFT.key]).closed) == 1


def test_cursors_are_written_with_what_was_seen(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.look(DRIFT, cursors={"checks": "7"})
    monkeypatch.setattr("ok_ml.incidents.reconcile._Book.settle", lambda _self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        desk.look(cursors={"checks": "8"})
    with desk.store.reading() as transaction:
        assert transaction.cursor("checks") == "7"
        assert len(transaction.open_incidents()) == 1


def test_ids_can_be_read_sort_by_time_and_are_unique() -> None:
    assert new_id(0.1234).startswith("19700101-000000-123-")
    ids = [new_id(1_700_000_000.0 + number / 1000) for number in range(2000)]
    assert ids == sorted(ids)
    assert len({new_id(5.0) for _ in range(50)}) > 45


def test_an_incident_without_channels_is_still_in_file_and_topic(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Policy())
    desk.look(DRIFT)
    with Store(tmp_path / "incidents.db").reading() as transaction:
        assert transaction.told(desk.open()[0].id) == {"file", "topic"}
    assert desk.open()[0].owner == OWNER
