"""What a channel is, and the one that is always there: a file with a line for each message."""

import os
from pathlib import Path
from typing import Final, Protocol

import orjson

from ok_ml.atomic_write import fsync
from ok_ml.incidents.policy import FILE
from ok_ml.incidents.records import Message
from ok_ml.incidents.store import Store

ALERTS_FILE: Final = "alerts.jsonl"
_TAIL_BYTES: Final = 1 << 20  # more than a batch of the longest messages


class Channel(Protocol):
    """Where messages go.

    Attributes
    ----------
    most
        Messages that are handed over at once.
    """

    name: str
    most: int

    def deliver(self, store: Store, messages: list[Message], now: float) -> None:
        """Bring messages there, in order, and note in the store which have arrived.

        Raises
        ------
        OkMlError, OSError
            What is not noted as arrived is tried again later.
        """


class FileChannel:
    """`<state>/alerts.jsonl`, each message exactly once.

    Only one process writes at a time (see `ok_ml.incidents.courier`), and messages are noted as sent only after their lines
    are on the disk. So whatever a killed writer left is at the end of the file: half a line, which is cut off, or whole
    lines, whose ids are known before anything is written again.
    """

    name = FILE
    most = 100

    def __init__(self, path: Path) -> None:
        self.path = path

    def deliver(self, store: Store, messages: list[Message], now: float) -> None:
        """See `Channel`."""
        there = self._ids_at_the_end()
        lines = [orjson.dumps(message.body) + b"\n" for message in messages if message.id not in there]
        if lines:
            self._append(b"".join(lines))
        with store.writing() as transaction:
            transaction.sent(messages, now)

    def _ids_at_the_end(self) -> set[str]:
        """Ids of the last lines, after half a line was cut off."""
        if not self.path.exists():
            return set()
        with self.path.open("r+b") as handle:
            size = handle.seek(0, os.SEEK_END)
            start = max(0, size - _TAIL_BYTES)
            handle.seek(start)
            tail = handle.read()
            whole = tail.rfind(b"\n") + 1
            if whole < len(tail):
                handle.truncate(start + whole)
                os.fsync(handle.fileno())
        lines = tail[:whole].splitlines()[1 if start else 0 :]
        return {orjson.loads(line)["id"] for line in lines}

    def _append(self, lines: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.path.exists()
        with self.path.open("ab", buffering=0) as handle:
            while lines:
                lines = lines[handle.write(lines) :]
            os.fsync(handle.fileno())
        if is_new:
            fsync(self.path.parent)
