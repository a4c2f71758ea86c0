"""Carries messages from the outbox to the channels: each channel separately, one process at a time, without delaying any other work."""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from ok_ml.errors import OkMlError
from ok_ml.incidents.channels import Channel
from ok_ml.incidents.records import Message
from ok_ml.incidents.store import Store

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 300.0
_TROUBLE: Final = (OkMlError, OSError, sqlite3.Error)


def drain(store: Store, channel: Channel, *, clock: Callable[[], float] = time.time) -> int:
    """Deliver everything of one channel that is due; returns how many messages left the outbox.

    Nothing happens while another process or thread delivers to the same channel. What cannot be delivered is noted, with
    the reason, and tried again after a pause that doubles.
    """
    done = 0
    with _alone(store.path.with_name(f"incidents.{channel.name}.lock")) as is_mine:
        while is_mine and (messages := _due(store, channel, clock())):
            try:
                channel.deliver(store, messages, clock())
            except (OkMlError, OSError) as error:
                _note(store, messages, error, clock())
                break
            done += len(messages)
    return done


def _due(store: Store, channel: Channel, now: float) -> list[Message]:
    """The next messages, unless the first of them has to wait: they keep their order."""
    with store.reading() as transaction:
        messages = transaction.waiting(channel.name, channel.most)
    return messages if messages and messages[0].due_at <= now else []


def _note(store: Store, messages: list[Message], error: Exception, now: float) -> None:
    pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(messages[0].attempts, 16), LONGEST_PAUSE_SECONDS)
    problem = str(error).split("\n", 1)[0]
    logger.warning("alerts: %s: %s; again in %.0f s", messages[0].channel, problem, pause)
    with store.writing() as transaction:
        left = [one for one in transaction.waiting(messages[0].channel, len(messages)) if one.seq <= messages[-1].seq]
        transaction.failed(left, now + pause, problem)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether no other process is within the block; the lock goes with its process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


class Couriers:
    """Delivers in threads, one a channel, so that an unreachable one keeps neither the others nor the caller waiting."""

    def __init__(self) -> None:
        self._threads: dict[tuple[Path, str], threading.Thread] = {}

    def send_off(self, store: Store, channels: Iterable[Channel], now: float) -> dict[str, int]:
        """Start delivering where something is due; returns how many messages wait, by channel. Does not wait itself."""
        with store.reading() as transaction:
            due = transaction.waiting_counts(now)
        for channel in channels:
            key = (store.path, channel.name)
            busy = self._threads.get(key)
            if channel.name in due and (busy is None or not busy.is_alive()):
                thread = threading.Thread(
                    target=_carry, args=(store, channel), daemon=True, name=f"alerts-{channel.name}"
                )
                self._threads[key] = thread
                thread.start()
        return due

    def wait(self, seconds: float) -> bool:
        """Wait until every thread is done, at most so long; returns whether they are."""
        deadline = time.monotonic() + seconds
        for thread in list(self._threads.values()):
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads.values())


def _carry(store: Store, channel: Channel) -> None:
    try:
        drain(store, channel)
    except _TROUBLE as error:  # the outbox itself: the next tick starts again
        logger.warning("alerts: %s: %s", channel.name, error)
