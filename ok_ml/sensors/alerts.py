"""The sensor that finds what is wrong, and sends off the messages about it."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Final, TypeVar

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from ok_ml.config.models import Project
from ok_ml.errors import OkMlError
from ok_ml.incidents.courier import Couriers
from ok_ml.incidents.policy import Policy
from ok_ml.incidents.reconcile import Changes, reconcile
from ok_ml.incidents.routes import channels_of, known_addresses
from ok_ml.incidents.signals import Signal
from ok_ml.incidents.store import Store
from ok_ml.quality.judges.verdicts import Verdict
from ok_ml.sensors.check_source import CURSOR as CHECKS
from ok_ml.sensors.check_source import look_at_checks
from ok_ml.sensors.freshness_source import CURSOR as WATCH
from ok_ml.sensors.freshness_source import look_at_freshness
from ok_ml.sensors.process_source import CURSOR as PROCESSES
from ok_ml.sensors.process_source import look_at_deaths, look_at_heartbeats
from ok_ml.sensors.run_source import CURSOR as RUNS
from ok_ml.sensors.run_source import look_at_runs
from ok_ml.sensors.sources import Look, together
from ok_ml.sensors.watched import Watched, watched
from ok_ml.stages.blocked_days import open_blocks, stories

TICK_SECONDS: Final = 15
# What a source may meet: a database that is busy or away, a full disk, a store that does not answer.
_TROUBLE: Final = (OkMlError, OSError, sqlite3.Error, SQLAlchemyError, dg.DagsterError)

Seen = TypeVar("Seen", bound=Look)


def alerts_sensor(project: Project) -> dg.SensorDefinition:
    """Runs automatically; requests nothing. Its work is a few small queries; messages are delivered by threads of their own."""
    couriers = Couriers()
    graph_of = cache(lambda repository: watched(project, repository))

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Open, repeat and close incidents: failed checks and runs, stale assets, dead processes.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        repository = context.repository_def
        if repository is None:
            return dg.SkipReason("no code location was loaded")
        return dg.SkipReason(tick(project, context.instance, graph_of(repository), couriers))

    return alerts


def tick(project: Project, instance: dg.DagsterInstance, graph: Watched, couriers: Couriers) -> str:
    """Look at everything once, bring the incidents up to it, send off what is due; returns that in words."""
    store, now = Store.of(project.state_dir), time.time()
    watch = Watch(project, instance, graph, store, now)
    try:
        changes = watch.reconcile()
        waiting = couriers.send_off(store, channels_of(project), now)
        with store.reading() as transaction:
            still_open = len(transaction.open_incidents())
    except _TROUBLE as error:
        return f"the incidents cannot be stored: {_first_line(error)}"
    told = [str(changes), f"{still_open} open", *(f"{count} messages to {name}" for name, count in waiting.items())]
    return "; ".join(filter(None, [*told, *watch.trouble]))


class Watch:
    """One look at every source; one that fails is reported and left out, as if it had not been looked at."""

    def __init__(
        self, project: Project, instance: dg.DagsterInstance, graph: Watched, store: Store, now: float
    ) -> None:
        self.project, self.instance, self.graph, self.store, self.now = project, instance, graph, store, now
        self.trouble: list[str] = []

    def reconcile(self) -> Changes:
        """Look, and write what follows from it."""
        seen = together(self._looks())
        config = self.project.environment.alerts
        return reconcile(
            self.store,
            seen.failing,
            now=self.now,
            passed=seen.passed,
            complete=seen.complete,
            lineage=self.graph.lineage,
            policy=Policy(config, known_addresses(config)),
            cursors=seen.cursors,
        )

    def _looks(self) -> list[Look]:
        with self.store.reading() as transaction:
            cursors = {name: transaction.cursor(name) for name in (CHECKS, RUNS, WATCH, PROCESSES)}
            members = [member for one in transaction.open_incidents() for member in one.failing]
        instance, graph, now = self.instance, self.graph, self.now
        checks = self._try("checks", lambda: look_at_checks(instance, graph, cursors[CHECKS], now))
        if checks is not None:
            checks.failing = self._try_telling(checks.failing)
        looks: list[Look | None] = [
            checks,
            self._try("freshness", lambda: look_at_freshness(instance, graph, self.project, cursors[WATCH], now)),
            self._try("processes", lambda: look_at_deaths(self.project, cursors[PROCESSES])),
            self._try("heartbeats", lambda: look_at_heartbeats(self.project, now)),
        ]
        if checks is not None:  # a run that failed by its check must find that check
            runs = [member for member in members if member.kind == "run"]
            look = lambda: look_at_runs(instance, graph, cursors[RUNS], checks.failed_in, runs, now)  # noqa: E731
            looks.append(self._try("runs", look))
        return [one for one in looks if one is not None]

    def _try_telling(self, failing: list[Signal]) -> list[Signal]:
        """The failing checks, those behind a blocked publication with the sentence that every page says of it."""
        try:
            told = stories(self.project)
            first = {name: open_blocks(self.project, name)[:1] for name in told}
        except _TROUBLE as error:
            self.trouble.append(f"what blocks publications could not be read: {_first_line(error)}")
            return failing
        for name, sentence in told.items():
            scopes = (self.project.dataset_of(name).dataset, name)
            failing = [_telling(one, sentence, first[name]) if _holds_back(one, scopes) else one for one in failing]
        return failing

    def _try(self, name: str, look: Callable[[], Seen]) -> Seen | None:
        try:
            return look()
        except _TROUBLE as error:
            self.trouble.append(f"{name} could not be looked at: {_first_line(error)}")
            return None


def _holds_back(signal: Signal, scopes: tuple[str, ...]) -> bool:
    return signal.severity == "error" and signal.asset is not None and signal.asset[0] in scopes


def _telling(signal: Signal, sentence: str, first: list[Verdict]) -> Signal:
    """The signal with the sentence first; the check of the first cause is called by that cause."""
    scope, table = signal.asset or ("", "")
    is_first = any(one.scope == scope and table in one.told_by for one in first)
    title = f"{scope}/{table}: {first[0].cause}" if is_first else signal.title
    return replace(signal, title=title, detail=f"{sentence}\n{signal.detail}")


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200]
