"""What the supervisor writes down of deaths, and what becomes of it."""

from pathlib import Path

import pytest

from ok_ml.incidents import journal as journal_module
from ok_ml.incidents.journal import Entry, Journal, process_signals

STORY = [
    Entry(1_000, "started"), Entry(2_000, "died", "kafka", "killed by SIGKILL", "/logs/kafka.log"), Entry(3_000, "back", "kafka"),
    Entry(4_000, "died", "clock", "exit code 1"), Entry(5_000, "died", "clock", "exit code 1"),
]  # fmt: skip


def test_who_is_away_is_told_and_who_came_back_since_the_last_look(tmp_path: Path) -> None:
    assert [one.key for one in process_signals(STORY, None)] == ["process:clock"], (
        "what was before the first look is over"
    )
    back, away = process_signals(STORY, 2_500)
    assert (back.key, back.since, back.until) == ("process:kafka", 2e-6, 3e-6)
    assert back.detail.startswith("killed by SIGKILL; it was back after 0.0 s")
    assert (away.title, away.severity, away.until) == ("process clock crashed 2 times", "warn", None)
    assert [one.key for one in process_signals(STORY, 3_000)] == ["process:clock"]


def test_who_stays_down_is_an_error_until_the_supervisor_starts_again() -> None:
    down = [*STORY, Entry(6_000, "down", "clock")]
    (one,) = process_signals(down, 5_000)
    assert (one.severity, one.title) == ("error", "process clock crashed 2 times and stays down")
    assert "start `ok-ml ui` again" in one.detail
    (over,) = process_signals([*down, Entry(7_000, "started")], 6_000)
    assert over.until == 7e-6


def test_half_a_line_is_passed_over_and_does_not_swallow_the_next(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin()
    with journal.path.open("ab") as handle:
        handle.write(b'{"number": 1, "wh')
    journal.note("died", "kafka")
    assert [(entry.what, entry.name) for entry in journal.entries()] == [("started", ""), ("died", "kafka")]


def test_a_long_journal_keeps_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_LONG_BYTES", 2000)
    monkeypatch.setattr(journal_module, "_KEPT_LINES", 3)
    journal = Journal(tmp_path)
    journal.begin()
    for number in range(40):
        journal.note("died", f"child{number}")
    journal.begin()
    assert [entry.name for entry in journal.entries()] == ["child37", "child38", "child39", ""]
    assert Journal(tmp_path / "nowhere").entries() == []
