"""Signals and policies for tests."""

import sqlite3
from pathlib import Path
from typing import Any

from ok_ml.config.sections.environment_models import AlertChannel
from ok_ml.incidents.policy import Policy
from ok_ml.incidents.reconcile import reconcile
from ok_ml.incidents.signals import Kind, Lineage, Signal
from ok_ml.incidents.store import Store

SCOPE, OWNER = "exp", "ml@example.org"
# events -> features -> statistics -> predictions -> live; and somebody else's report, made from events too
LINEAGE = Lineage(
    {
        (SCOPE, "features"): [(SCOPE, "events")],
        (SCOPE, "statistics"): [(SCOPE, "features")],
        (SCOPE, "predictions"): [(SCOPE, "statistics")],
        (SCOPE, "live"): [(SCOPE, "predictions")],
        (SCOPE, "training"): [(SCOPE, "features")],
        (SCOPE, "report"): [(SCOPE, "events")],
    },
    {(SCOPE, "statistics"): [(SCOPE, "features")], (SCOPE, "report"): [(SCOPE, "events")]},
)
TEAM = AlertChannel(name="team", url_env="TEAM_URL", owners=(OWNER,))
PAGER = AlertChannel(name="pager", url_env="PAGER_URL", severities=("error",))
POLICY = Policy(channels=(TEAM, PAGER))


def signal(kind: Kind, table: str, name: str = "", **more: Any) -> Signal:
    """A signal at an asset; processes and heartbeats have none."""
    asset = None if kind in ("process", "heartbeat") else (SCOPE, table)
    key = f"{kind}:{table}" if asset is None else f"{kind}:{SCOPE}/{table}" + (f":{name}" if name else "")
    settings: dict[str, Any] = {
        "severity": "error",
        "owner": OWNER if asset else None,
        "detail": "0.7, expected 0.2-0.4",
    }
    return Signal(key, kind, title=f"{table} {name or kind} failed", asset=asset, **settings | more)


class FastStore(Store):
    """A store that does not wait for the disk."""

    def _open(self) -> sqlite3.Connection:
        connection = super()._open()
        connection.execute("PRAGMA synchronous = OFF")
        return connection


class Desk:
    """A store, and the clock of a test."""

    def __init__(self, folder: Path, policy: Policy = POLICY) -> None:
        self.store, self.policy, self.now = FastStore(folder / "incidents.db"), policy, 1_000_000.0

    def look(
        self,
        *failing: Signal,
        after: float = 60.0,
        complete: tuple[Kind, ...] = ("process", "heartbeat", "check", "freshness", "run"),
        **more: Any,
    ) -> Any:
        """Reconcile with everything that is wrong, some seconds later."""
        self.now += after
        return reconcile(
            self.store, failing, now=self.now, complete=complete, lineage=LINEAGE, policy=self.policy, **more
        )

    def open(self) -> list[Any]:
        with self.store.reading() as transaction:
            return transaction.open_incidents()

    def told(self, channel: str = "file") -> list[str]:
        """Events that a channel has been or will be told, in order."""
        with self.store.reading() as transaction:
            return [message.body["event"] for message in transaction.waiting(channel, 1000)]

    def ids(self, channel: str = "file") -> list[str]:
        with self.store.reading() as transaction:
            return [message.id for message in transaction.waiting(channel, 1000)]
