"""Incidents in one SQLite file: several processes may read and write it, one at a time.

What happened to an incident and the messages about it are written in one transaction: there is no incident that is not
told, and no message without its incident.
"""

import contextlib
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import orjson

from ok_ml.errors import IntegrityError
from ok_ml.incidents.records import Incident, Member, Message

FILE_NAME: Final = "incidents.db"
_VERSION: Final = 1
_BUSY_SECONDS: Final = 10.0
_SCHEMA: Final = """
CREATE TABLE incidents(
  id TEXT PRIMARY KEY, key TEXT NOT NULL, kind TEXT NOT NULL, severity TEXT NOT NULL, owner TEXT, title TEXT NOT NULL,
  detail TEXT NOT NULL, link TEXT, asset TEXT, day_seconds REAL NOT NULL, opened_at REAL NOT NULL, last_seen_at REAL NOT NULL,
  told_at REAL NOT NULL, closed_at REAL, acknowledged_by TEXT, acknowledged_at REAL, muted_until REAL,
  repeats INTEGER NOT NULL, episodes INTEGER NOT NULL);
CREATE INDEX incidents_by_end ON incidents(closed_at);
CREATE TABLE members(
  incident TEXT NOT NULL REFERENCES incidents(id), key TEXT NOT NULL, kind TEXT NOT NULL, severity TEXT NOT NULL, owner TEXT,
  title TEXT NOT NULL, detail TEXT NOT NULL, link TEXT, asset TEXT, since REAL NOT NULL, first_seen_at REAL NOT NULL,
  last_seen_at REAL NOT NULL, passed_at REAL, PRIMARY KEY(incident, key));
CREATE TABLE outbox(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, incident TEXT NOT NULL, channel TEXT NOT NULL, body BLOB NOT NULL,
  created_at REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due_at REAL NOT NULL DEFAULT 0, position INTEGER, sent_at REAL,
  problem TEXT, UNIQUE(id, channel));
CREATE INDEX outbox_waiting ON outbox(channel, seq) WHERE sent_at IS NULL;
CREATE INDEX outbox_of ON outbox(incident);
CREATE TABLE mutes(key TEXT PRIMARY KEY, until REAL NOT NULL);
CREATE TABLE cursors(name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_COLUMNS: Final = tuple(one.name for one in fields(Incident) if one.name != "members")
_MEMBER_COLUMNS: Final = tuple(one.name for one in fields(Member))


def new_id(now: float) -> str:
    """A name that people can read, that sorts by time, and that is unique: 20261123-101500-123-9f3c."""
    at = datetime.fromtimestamp(now, UTC)
    return f"{at:%Y%m%d-%H%M%S}-{at.microsecond // 1000:03d}-{secrets.token_hex(2)}"


class Store:
    """The file of one deployment. Making one does nothing; each transaction opens and closes the file.

    Parameters
    ----------
    path
        Made on the first writing transaction. A reader of a file that is not there finds nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, state_dir: Path) -> "Store":
        """The store of a state folder."""
        return cls(state_dir / FILE_NAME)

    @contextlib.contextmanager
    def writing(self) -> Iterator["Transaction"]:
        """All that is written within the block, or nothing; others wait, for at most ten seconds.

        Raises
        ------
        sqlite3.OperationalError
            Another process has been writing for longer.
        IntegrityError
            The file was written by a newer version.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(self._open()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                _prepare(connection, self.path)
                yield Transaction(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def reading(self) -> Iterator["Transaction"]:
        """One consistent look; nothing is written."""
        if not self.path.exists():
            with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
                _prepare(empty, self.path)
                yield Transaction(empty)
            return
        with contextlib.closing(self._open()) as connection:
            connection.execute("BEGIN")
            _prepare(connection, self.path)
            yield Transaction(connection)
            connection.execute("ROLLBACK")

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")  # a message that was marked as sent stays marked
        return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise IntegrityError(
            f"{path} has version {version}, expected at most {_VERSION}",
            why="its incidents would be read wrongly",
            remedy="use the version of ok_ml that wrote it, or move the file away: open incidents are found again",
        )
    if version < _VERSION:
        for statement in _SCHEMA.strip().split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_VERSION}")


class Transaction:
    """What can be read and written; see `Store.writing` and `Store.reading`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    # -- incidents -----------------------------------------------------------------------------------------------

    def open_incidents(self) -> list[Incident]:
        """Those that last, oldest first."""
        return self._incidents("closed_at IS NULL")

    def closed_since(self, at: float) -> list[Incident]:
        """Those that were closed at or after a time, oldest first."""
        return self._incidents("closed_at >= ?", at)

    def latest(self, most: int) -> list[Incident]:
        """The newest ones, newest first."""
        return self._incidents("1 ORDER BY id DESC LIMIT ?", most)

    def named(self, part: str) -> list[Incident]:
        """Those whose id begins or ends with a text, oldest first."""
        return self._incidents("id = ?1 OR substr(id, 1, length(?1)) = ?1 OR substr(id, -length(?1)) = ?1", part)

    def save(self, incident: Incident) -> None:
        """Store an incident and its signals as they are now."""
        row = {name: getattr(incident, name) for name in _COLUMNS} | {"asset": _text(incident.asset)}
        self._put("incidents", row)
        for member in incident.members.values():
            self._put("members", {"incident": incident.id, **asdict(member), "asset": _text(member.asset)})

    def _put(self, table: str, row: Mapping[str, Any]) -> None:
        names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        self._connection.execute(f"INSERT OR REPLACE INTO {table}({names}) VALUES ({marks})", row)  # noqa: S608 - names of our own fields

    def _incidents(self, where: str, *values: Any) -> list[Incident]:
        order = "" if "ORDER BY" in where else " ORDER BY id"
        query = f"SELECT {', '.join(_COLUMNS)} FROM incidents WHERE {where}{order}"  # noqa: S608 - conditions of our own
        rows = [dict(zip(_COLUMNS, row, strict=True)) for row in self._connection.execute(query, values)]
        return [Incident(**row | {"asset": _asset(row["asset"])}, members=self._members(row["id"])) for row in rows]

    def _members(self, incident: str) -> dict[str, Member]:
        query = f"SELECT {', '.join(_MEMBER_COLUMNS)} FROM members WHERE incident = ? ORDER BY first_seen_at, rowid"  # noqa: S608
        rows = (dict(zip(_MEMBER_COLUMNS, row, strict=True)) for row in self._connection.execute(query, (incident,)))
        return {row["key"]: Member(**row | {"asset": _asset(row["asset"])}) for row in rows}

    # -- messages ------------------------------------------------------------------------------------------------

    def post(self, body: dict[str, Any], channels: Iterable[str], now: float) -> None:
        """Put a message into the outbox, for each channel that does not have it yet."""
        content = orjson.dumps(body)
        self._connection.executemany(
            "INSERT OR IGNORE INTO outbox(id, incident, channel, body, created_at) VALUES (?, ?, ?, ?, ?)",
            [(body["id"], body["incident"], channel, content, now) for channel in channels],
        )

    def told(self, incident: str) -> set[str]:
        """Channels that heard, or will hear, of an incident."""
        channels = self._connection.execute("SELECT DISTINCT channel FROM outbox WHERE incident = ?", (incident,))
        return {channel for (channel,) in channels}

    def body_of(self, message: str) -> dict[str, Any] | None:
        """What a message said, or None if there was none."""
        row = self._connection.execute("SELECT body FROM outbox WHERE id = ? LIMIT 1", (message,)).fetchone()
        return None if row is None else orjson.loads(row[0])

    def waiting(self, channel: str, most: int) -> list[Message]:
        """The first messages of a channel that are not sent, in order."""
        rows = self._connection.execute(
            "SELECT seq, id, incident, channel, body, attempts, due_at, position, problem FROM outbox "
            "WHERE sent_at IS NULL AND channel = ? ORDER BY seq LIMIT ?",
            (channel, most),
        )
        return [
            Message(seq, name, incident, to, orjson.loads(body), attempts, due_at, position, problem)
            for seq, name, incident, to, body, attempts, due_at, position, problem in rows
        ]

    def waiting_counts(self, now: float) -> dict[str, int]:
        """Channel -> messages that are not sent, for channels whose first one is due."""
        rows = self._connection.execute(
            "SELECT channel, COUNT(*), MIN(seq), due_at FROM outbox WHERE sent_at IS NULL GROUP BY channel"
        )  # beside MIN(seq) SQLite gives the due_at of that row
        return {channel: count for channel, count, _, due_at in rows if due_at <= now}

    def begin(self, messages: Iterable[Message], due_at: float, position: int | None = None) -> None:
        """Note that sending begins; if nothing more is heard of it, it is tried again at `due_at`."""
        self._connection.executemany(
            "UPDATE outbox SET attempts = attempts + 1, due_at = ?, position = ? WHERE seq = ?",
            [(due_at, position, message.seq) for message in messages],
        )

    def sent(self, messages: Iterable[Message], now: float) -> None:
        """Note that messages have arrived."""
        self._connection.executemany(
            "UPDATE outbox SET sent_at = ?, problem = NULL WHERE seq = ?", [(now, message.seq) for message in messages]
        )

    def failed(self, messages: Iterable[Message], due_at: float, problem: str) -> None:
        """Note that messages did not arrive, and when to try again."""
        self._connection.executemany(
            "UPDATE outbox SET due_at = ?, problem = ? WHERE seq = ?",
            [(due_at, problem, message.seq) for message in messages],
        )

    # -- muted keys and cursors ----------------------------------------------------------------------------------

    def mute_key(self, key: str, until: float) -> None:
        """No messages about signals of this key, or pattern of keys, before a time."""
        self._put("mutes", {"key": key, "until": until})

    def unmute_key(self, key: str) -> bool:
        """Unmute a key; returns whether it was muted."""
        return self._connection.execute("DELETE FROM mutes WHERE key = ?", (key,)).rowcount > 0

    def mutes(self, now: float) -> dict[str, float]:
        """Muted key or pattern -> until when."""
        return dict(self._connection.execute("SELECT key, until FROM mutes WHERE until > ?", (now,)).fetchall())

    def is_muted(self, incident: Incident, now: float) -> bool:
        """Whether no messages go out about an incident now."""
        return incident.is_muted(now) or any(fnmatchcase(incident.key, key) for key in self.mutes(now))

    def cursor(self, name: str) -> str | None:
        """Where a source went on last time."""
        row = self._connection.execute("SELECT value FROM cursors WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_cursors(self, values: Mapping[str, str]) -> None:
        """Where sources continue next time."""
        self._connection.executemany("INSERT OR REPLACE INTO cursors VALUES (?, ?)", list(values.items()))


def _text(asset: tuple[str, str] | None) -> str | None:
    return None if asset is None else "/".join(asset)


def _asset(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    scope, _, table = text.partition("/")
    return scope, table
