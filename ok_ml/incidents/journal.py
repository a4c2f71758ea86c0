"""What became of processes, as their supervisor writes it down: `<state>/deaths.jsonl`, a line each.

The file is short: whoever starts writing keeps only its last lines. Lines are distinguished by their number, nanoseconds since
1970, which grows.
"""

import contextlib
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import orjson

from ok_ml.atomic_write import replace_file
from ok_ml.incidents.signals import Signal

JOURNAL_FILE: Final = "deaths.jsonl"
_KEPT_LINES: Final = 500
_LONG_BYTES: Final = 256 * 1024

What = Literal["started", "died", "back", "down"]


@dataclass(frozen=True)
class Entry:
    """One line.

    Attributes
    ----------
    what
        died (crashed), back (ready again), down (given up); or started, of the supervisor: everything before it is over.
    name
        The process; empty for the supervisor.
    how
        How it ended, with the end of its log.
    """

    number: int
    what: What
    name: str = ""
    how: str = ""
    log: str = ""

    @property
    def at(self) -> float:
        """Seconds since 1970."""
        return self.number / 1e9


class Journal:
    """The journal of one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / JOURNAL_FILE

    def begin(self) -> None:
        """Cut a long file down to its last lines, and note that a supervisor starts."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size > _LONG_BYTES:
            lines = self.path.read_bytes().splitlines(keepends=True)
            replace_file(self.path, b"".join(lines[-_KEPT_LINES:]))
        self.note("started")

    def note(self, what: What, name: str = "", *, how: str = "", log: str = "") -> None:
        """Append a line."""
        entry = Entry(time.time_ns(), what, name, how, log)
        with self.path.open("ab", buffering=0) as handle:
            end = b"" if handle.tell() == 0 or self.path.read_bytes().endswith(b"\n") else b"\n"  # of half a line
            handle.write(end + orjson.dumps(asdict(entry)) + b"\n")

    def entries(self) -> list[Entry]:
        """All lines, in order; half a line that a killed writer left is passed over."""
        if not self.path.exists():
            return []
        entries: list[Entry] = []
        for line in self.path.read_bytes().splitlines():
            with contextlib.suppress(orjson.JSONDecodeError, TypeError):
                entries.append(Entry(**orjson.loads(line)))
        return entries


@dataclass
class _Episode:
    """One time in which a process was not there."""

    name: str
    since: float
    deaths: int = 0
    how: str = ""
    log: str = ""
    is_down: bool = False
    until: float | None = None
    ended: int = 0  # number of the entry that ended it


def process_signals(entries: Iterable[Entry], cursor: int | None) -> list[Signal]:
    """Processes that are away now, and those that crashed and came back in entries after the cursor.

    Without a cursor only those that are away.
    """
    episodes = _episodes(entries)
    return [_signal(one) for one in episodes if one.until is None or (cursor is not None and one.ended > cursor)]


def _episodes(entries: Iterable[Entry]) -> list[_Episode]:
    episodes, away = list[_Episode](), dict[str, _Episode]()
    for entry in entries:
        if entry.what == "started":
            ended = list(away.values())
            away.clear()
        elif entry.what == "back":
            ended = [away.pop(entry.name)] if entry.name in away else []
        else:
            if entry.name not in away:
                episodes.append(away.setdefault(entry.name, _Episode(entry.name, entry.at)))
            episode, ended = away[entry.name], []
            episode.deaths += entry.what == "died"
            episode.is_down = entry.what == "down"
            episode.how, episode.log = entry.how or episode.how, entry.log or episode.log
        for episode in ended:
            episode.until, episode.ended = entry.at, entry.number
    return episodes


def _signal(episode: _Episode) -> Signal:
    times = f" {episode.deaths} times" if episode.deaths > 1 else ""
    title = f"process {episode.name} crashed{times}{' and stays down' if episode.is_down else ''}"
    after = f"; it was back after {episode.until - episode.since:.1f} s" if episode.until is not None else ""
    remedy = "; fix the cause named in its log, then start `ok-ml ui` again" if episode.is_down else ""
    return Signal(
        f"process:{episode.name}",
        "process",
        "error" if episode.is_down else "warn",
        None,
        title,
        f"{episode.how}{after}{remedy}" + (f"\nlog: {episode.log}" if episode.log else ""),
        since=episode.since,
        until=episode.until,
    )
