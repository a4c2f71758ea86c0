"""What is seen of a living deployment from outside, written down as it happens: days, verdicts, runs, alerts, what is served."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from drills.deployment import DATASET, EXPERIMENT, Deployment

if TYPE_CHECKING:
    from dagster import DagsterInstance, RunRecord

_PERIOD_SECONDS: Final = 1.0
_TRAINING: Final = "model"
_SERVING: Final = "predictions"


@dataclass(frozen=True)
class Entry:
    """One thing that happened.

    Attributes
    ----------
    at
        Seconds since 1970.
    kind
        act, repair, day, verdict, run, alert or live.
    what
        One line.
    trigger
        What set it off, where that is known.
    """

    at: float
    kind: str
    what: str
    trigger: str = ""
    day: str = ""


@dataclass(frozen=True)
class RunSeen:
    """A Dagster run that has ended or is under way; times are seconds since 1970."""

    id: str
    kind: str
    status: str
    start: float
    end: float | None
    reason: str
    tables: tuple[str, ...]


class Chronicle(threading.Thread):
    """Looks every second until `stop`; each entry is a line of a file and a line for people."""

    def __init__(self, deployment: Deployment, path: Path, say: Any) -> None:
        super().__init__(daemon=True, name="chronicle")
        self._deployment, self._path, self._say = deployment, path, say
        self._ending, self._lock = threading.Event(), threading.Lock()
        self._seen: set[tuple[str, ...]] = set()
        self._alert_lines = 0
        self._generation: str | None = None
        self._instance: DagsterInstance | None = None
        self._last_runs: list[RunSeen] | None = None
        self.entries: list[Entry] = []
        self.started = time.time()

    def note(self, kind: str, what: str, trigger: str = "", day: str = "", at: float | None = None) -> None:
        """Write something down."""
        entry = Entry(time.time() if at is None else at, kind, what, trigger, day)
        with self._lock:
            self.entries.append(entry)
            with self._path.open("a", encoding="utf-8") as sink:
                sink.write(json.dumps(asdict(entry)) + "\n")
        minutes, seconds = divmod(max(entry.at - self.started, 0), 60)
        self._say(f"{minutes:3.0f}:{seconds:02.0f}  {kind:<8} {what}{f'  <- {trigger}' if trigger else ''}")

    def run(self) -> None:
        """Look until `stop` is called."""
        while not self._ending.wait(_PERIOD_SECONDS):
            self._look()

    def stop(self) -> None:
        """Look once more, and no more."""
        self._ending.set()
        if self.is_alive():
            self.join(20)
            self._look()
            self._last_runs = self.runs()

    # -- looking -------------------------------------------------------------------------------------------------

    def alerts(self) -> list[dict[str, Any]]:
        """Every line of the file of alerts, oldest first."""
        path = self._deployment.state / "alerts.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]

    def runs(self) -> list[RunSeen]:
        """Every run, oldest first; after `stop` as they were then."""
        if self._last_runs is not None:
            return self._last_runs
        if self._instance is None:
            if not (self._deployment.state / "dagster" / "dagster.yaml").exists():
                return []
            from dagster import DagsterInstance

            self._instance = DagsterInstance.from_config(str(self._deployment.state / "dagster"))
        return [_run_seen(record) for record in self._instance.get_run_records(ascending=True)]

    def _look(self) -> None:
        from sqlalchemy.exc import OperationalError

        for look in (self._days, self._verdicts, self._served, self._alerts, self._runs):
            with contextlib.suppress(OperationalError):  # another process writes at this moment: the next look sees it
                look()

    def _once(self, *key: str) -> bool:
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def _days(self) -> None:
        days = self._deployment.days()
        if not self._once("days"):
            for day in days:
                manifest = self._deployment.manifest("raw_events", day, DATASET)
                if manifest and self._once("day", day, manifest["version"]):
                    self.note("day", f"the log of {day} is there: {manifest['rows']:,} rows", day=day)
            return
        for day in days:
            manifest = self._deployment.manifest("raw_events", day, DATASET)
            self._once("day", day, manifest["version"] if manifest else "")

    def _verdicts(self) -> None:
        for table, scope in (("event_verdict", DATASET), ("feature_verdict", EXPERIMENT)):
            for day in self._deployment.days(table, scope):
                manifest = self._deployment.manifest(table, day, scope)
                if manifest is None or not self._once("verdict", table, day, manifest["version"]):
                    continue
                blocks = bool(manifest["details"].get("blocks"))
                passed = "is blocked" if blocks else "passes"
                self.note(
                    "verdict",
                    f"{table.removesuffix('_verdict')}s of {day}: {passed}",
                    str(manifest["details"].get("headline", ""))[:200] if blocks else "",
                    day,
                )

    def _served(self) -> None:
        answer = self._deployment.ask(f"/v1/predictions/{EXPERIMENT}/1")
        generation = str(answer["generation"]) if answer else None
        if generation is not None and generation != self._generation:
            self._generation = generation
            day, version = self._deployment.live()
            self.note(
                "live", f"generation {generation} is served (data of {day or '?'}, model {version or '?'})", day=day
            )

    def _alerts(self) -> None:
        lines = self.alerts()
        for line in lines[self._alert_lines :]:
            self.note("alert", f"{line['event']} {line['incident']}: {line['title']}", str(line.get("reason", "")))
        self._alert_lines = len(lines)

    def _runs(self) -> None:
        for run in self.runs():
            if self._once("run", run.id, "start"):
                self.note("run", f"{run.kind} starts", run.reason, at=run.start or None)
            if run.end is not None and self._once("run", run.id, "end"):
                self.note("run", f"{run.kind} ends: {run.status}", at=run.end)


def _run_seen(record: "RunRecord") -> RunSeen:
    run = record.dagster_run
    tables = tuple(sorted(key.path[-1] for key in run.asset_selection or ()))
    kind = "ingest" if run.job_name == f"ingest_{DATASET}" else _kind(tables)
    started = record.start_time or record.create_timestamp.timestamp()
    return RunSeen(
        run.run_id, kind, run.status.value, started, record.end_time, run.tags.get("ok_ml/reason", ""), tables
    )


def _kind(tables: tuple[str, ...]) -> str:
    if _TRAINING in tables:
        return "training"
    return "batch" if _SERVING in tables else ", ".join(tables) or "run"


def spans(entries: list[Entry], kind: str, opening: str, closing: str) -> Iterator[tuple[float, float | None, str]]:
    """(begin, end, what) of things that open and close, matched in order."""
    open_at: list[tuple[float, str]] = []
    for entry in sorted(entries, key=lambda one: one.at):
        if entry.kind != kind:
            continue
        if entry.what.startswith(opening):
            open_at.append((entry.at, entry.what))
        elif entry.what.startswith(closing) and open_at:
            begin, what = open_at.pop(0)
            yield begin, entry.at, what
    for begin, what in open_at:
        yield begin, None, what
