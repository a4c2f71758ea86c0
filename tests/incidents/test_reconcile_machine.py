"""Whatever fails, passes, is muted or acknowledged in whatever order: laws that hold after every step."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ok_ml.incidents.signals import Signal
from tests.incidents.made_up import POLICY, Desk, signal

HOUR = 3600.0
DRIFT = signal("check", "statistics", "drift")
SIGNALS = (
    signal("process", "kafka", severity="warn"),
    signal("heartbeat", "materialiser", causes=("process:kafka",)),
    DRIFT,
    signal("check", "events", "volume", severity="warn", owner="data@example.org"),
    signal("check", "elsewhere", "volume"),
    signal("freshness", "live"),
    signal("freshness", "events"),
    signal("run", "statistics", causes=(DRIFT.key,)),
    signal("run", "elsewhere"),
)
# What a channel may hear of one incident, in this order.
STORY = re.compile(r"opened( escalated| repeated)*( closed reopened( escalated| repeated)*)*( closed)?")


class Incidents(RuleBasedStateMachine):
    """The store is real; days go by as the rules say."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.desk, self.failing = Desk(Path(self.folder.name)), dict[str, Signal]()

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(failing=st.sets(st.sampled_from(SIGNALS), max_size=5), pause=st.sampled_from((15.0, 120.0, HOUR, 30 * HOUR)))
    def look(self, failing: set[Signal], pause: float) -> None:
        self.failing = {one.key: one for one in failing}
        self.desk.look(*failing, after=pause)

    @rule(one=st.sampled_from(SIGNALS))
    def flicker(self, one: Signal) -> None:
        """It began and ended between two looks."""
        self.failing.pop(one.key, None)
        over = signal(one.kind, "x", since=self.desk.now, until=self.desk.now + 5)
        changed = {name: getattr(one, name) for name in ("key", "severity", "owner", "title", "asset", "causes")}
        self.desk.look(
            *self.failing.values(), type(over)(**{**{n: getattr(over, n) for n in over.__slots__}, **changed})
        )

    @precondition(lambda self: self.desk.open())
    @rule()
    def acknowledge(self) -> None:
        with self.desk.store.writing() as transaction:
            for one in transaction.open_incidents():
                one.acknowledged_by, one.acknowledged_at = "anna", self.desk.now
                transaction.save(one)

    @rule(key=st.sampled_from([*(one.key for one in SIGNALS), "check:*"]), hours=st.sampled_from((1.0, 40.0)))
    def mute(self, key: str, hours: float) -> None:
        with self.desk.store.writing() as transaction:
            transaction.mute_key(key, self.desk.now + hours * HOUR)

    # -- laws ------------------------------------------------------------------------------------------------------

    @invariant()
    def everything_that_is_wrong_belongs_to_exactly_one_open_incident(self) -> None:
        wrong = [member.key for one in self.desk.open() for member in one.failing]
        assert sorted(wrong) == sorted(self.failing)

    @invariant()
    def every_incident_is_opened_once_and_closed_as_often_as_it_was_opened(self) -> None:
        for events in self.stories("file").values():
            assert STORY.fullmatch(" ".join(events)), events
        still = {one.id for one in self.desk.open()}
        ends = {name: events[-1] for name, events in self.stories("file").items()}
        assert {name for name, last in ends.items() if last != "closed"} == still

    @invariant()
    def file_and_topic_hear_the_same_and_no_id_comes_twice(self) -> None:
        assert self.desk.ids("file") == self.desk.ids("topic")
        for channel in ("file", "team", "pager"):
            assert len(set(self.desk.ids(channel))) == len(self.desk.ids(channel))

    @invariant()
    def nobody_hears_of_an_end_without_its_beginning(self) -> None:
        for channel in ("team", "pager"):
            for events in self.stories(channel).values():
                assert events[0] == "opened"
                assert events.count("opened") == 1

    @invariant()
    def what_is_good_for_long_is_closed(self) -> None:
        for one in self.desk.open():
            if not one.failing:
                good_since = max(member.passed_at for member in one.members.values())
                assert one.episodes > 1
                assert self.desk.now - good_since < POLICY.reopen_window(one.kind, one.day_seconds)

    def stories(self, channel: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        if hasattr(self, "desk"):
            with self.desk.store.reading() as transaction:
                for message in transaction.waiting(channel, 10_000):
                    found.setdefault(message.incident, []).append(message.body["event"])
        return found


def test_the_laws_of_incidents() -> None:
    run_state_machine_as_test(
        Incidents, settings=settings(max_examples=8, stateful_step_count=12, deadline=None, derandomize=True)
    )


@pytest.mark.full
def test_the_laws_of_incidents_over_long_histories() -> None:
    run_state_machine_as_test(Incidents, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
