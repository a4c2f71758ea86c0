"""A small project that lives: `ok-ml ui` with its real daemon, broker, storage and service, seen from outside."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from ok_ml.machine.ports import is_free
from tests.small_project import ROOT, edit

if TYPE_CHECKING:
    from dagster import DagsterInstance, RunRecord

Found = TypeVar("Found")

# Every wait is so many times as long: for a machine that does other things too.
PATIENCE = float(os.environ.get("OK_ML_TEST_PATIENCE", "1"))
EXPERIMENT, TWIN, DATASET = "prod_discovery", "twin_discovery", "ok_world"
EXPERIMENT_FILE, TWIN_FILE = f"configs/experiments/{EXPERIMENT}.yml", f"configs/experiments/{TWIN}.yml"
DATASET_FILE = f"configs/datasets/{DATASET}.yml"
DAYS = 8
TRAINING = {"embeddings", "training_set", "model", "evaluation", "champion"}
SERVING = {
    "retrieval",
    "embedding_statistics",
    "predictions",
    "prediction_statistics",
    "publication",
    "live_predictions",
}
_COPIED = ("configs/base.yml", "configs/environments/local.yml", DATASET_FILE, EXPERIMENT_FILE, "requirements.lock")
_PORTS = ("19092", "19093", "5000", "3000", "8642")  # as shipped: broker, its controller, MLflow, Dagster, service
# Short windows, so that a day that went wrong is soon forgotten, and everything as small as it gets.
_SMALLER = """\
    stages:
      features: {activity_days: 2, affinity_days: 2, popularity_days: 2}
      training_set: {label_days: 1}
      evaluation: {days: 1, bootstrap: 100}
      embeddings: {factors: 16, iterations: 4}
      model: {num_trees: 20}
      predictions: {candidates: 60, top_n: 20}
    gate: {floor_over_popularity: 0.0}"""
# What friends are subscribed to is what people see and like: a ranker knows it, no simple list does. Else chance decides among so
# few users whether the newest model is worth serving, and each day may open an incident.
_BEHAVIOUR = (
    "{friends_share: 0.5, trends_share: 0.2, finds_share: 0, taste_share: 0, subscribed_share: 0.1,"
    " social_utility: 3, match_utility: 1, base_utility: -5}"
)
# Among a few hundred users chance alone moves a distribution by more than the shipped limits.
_LIMITS = "{psi_warn: 5, psi_block: 50}"
# A day goes by at once, as the clock lets one go by.
_ONE_DAY = """
import threading
from functools import partial
from ok_ml.local.services.world_clock import experiment_of, served_lists, world_now
from ok_ml.config.loader import load_project
from ok_ml.delivery.storage import open_store
from ok_ml.lake import Lake
from ok_ml.world.log.clock import run_clock

project = load_project()
dataset = project.datasets[project.environment.world_clock.dataset]
store = open_store(project.environment.storage, project.root)
read = partial(served_lists, store.reader(experiment_of(project, dataset.dataset)))
stop = threading.Event()
run_clock(
    partial(world_now, project, dataset), Lake(project.lake_root), dataset.dataset, 0.01, read, stop, lambda dt: (print(dt), stop.set())
)
"""
# Ends a training where the model is fitted, as long as the file is there.
_SABOTAGE = """
import importlib.abc, os, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "ok_ml.recommender.ranking.ranker_training" and os.path.exists(os.environ["SABOTAGE"]):
            raise ImportError("no training today")
sys.meta_path.insert(0, Finder())
"""


class Living:
    """A project folder of its own with `ok-ml ui` running in it.

    Parameters
    ----------
    day_seconds
        Wall seconds of a simulated day.
    model_days
        Days after which the model is stale.
    first_port
        Five ports from here on are used.
    twin
        Whether there is a second experiment on the same data.
    retraining
        That section of the YAML.
    """

    def __init__(
        self,
        base: Path,
        *,
        day_seconds: float,
        model_days: float,
        first_port: int,
        twin: bool = False,
        retraining: str = "{}",
    ) -> None:
        self.root, self.state, self.day_seconds = base / "project", base / "state", day_seconds
        self.ports = dict(zip(_PORTS, range(first_port, first_port + len(_PORTS)), strict=True))
        self.sabotage = base / "sabotage"
        self.process: subprocess.Popen[str] | None = None
        self.stopping_at = math.inf
        self._instance: DagsterInstance | None = None
        self._make(base, model_days, retraining)
        if twin:
            text = (self.root / EXPERIMENT_FILE).read_text()
            (self.root / TWIN_FILE).write_text(text.replace(EXPERIMENT, TWIN))
        for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "A small network"]):
            command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
            subprocess.run(command, cwd=self.root, check=True)

    def _make(self, base: Path, model_days: float, retraining: str) -> None:
        for name in _COPIED:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        size = f"{{users: 300, sources: 120, days: {DAYS}, users_per_block: 500, behaviour: {_BEHAVIOUR}}}"
        edit(self.root, DATASET_FILE, "{users: 1000, sources: 400}", size)
        edit(self.root, DATASET_FILE, "content_type: {warn: 0.03}", "content_type: {warn: 0.3}")
        text = (self.root / EXPERIMENT_FILE).read_text().partition("    stages:\n")[0] + _SMALLER
        text = re.sub(r"psi_warn: .*?\}", _LIMITS[1:], text, count=1)
        text = re.sub(r"model_days: \d+(.*)", rf"model_days: {model_days}\1\nretraining: {retraining}", text, count=1)
        (self.root / EXPERIMENT_FILE).write_text(text)
        for shipped, port in self.ports.items():
            edit(self.root, "configs/base.yml", shipped, str(port))
        edit(self.root, "configs/base.yml", "day_seconds: 120", f"day_seconds: {self.day_seconds}")
        edit(self.root, "configs/base.yml", "driver_memory: 3g", "driver_memory: 1g")
        (base / "sitecustomize.py").write_text(_SABOTAGE)

    # -- processes -----------------------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment without what could lead a command elsewhere."""
        dropped = ("OK_ML_", "DAGSTER", "NUMBA_CACHE_DIR", "MLFLOW_", "SPARK_", "PYSPARK_")
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(dropped) or name == "OK_ML_CACHE"
        }
        path = os.pathsep.join(filter(None, [str(self.root.parent), os.environ.get("PYTHONPATH", "")]))
        return kept | {"OK_ML_STATE": str(self.state), "SABOTAGE": str(self.sabotage), "PYTHONPATH": path}

    def ok(self, *arguments: str, seconds: float = 200) -> str:
        """Call `ok-ml ...` and return what it printed."""
        command = [str(Path(sys.executable).with_name("ok-ml")), "--size", "tiny", *arguments]
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *arguments: str) -> None:
        """Start `ok-ml ui` and wait until its addresses are told."""
        command = [str(Path(sys.executable).with_name("ok-ml")), "--size", "tiny", "ui", "--json", *arguments]
        self.stopping_at = math.inf
        errors = self.root.parent / "ui.stderr"
        with errors.open("w") as sink:
            self.process = subprocess.Popen(
                command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE, stderr=sink, text=True
            )
        assert self.process.stdout is not None
        if not any(line == "}\n" for line in self.process.stdout):
            raise AssertionError(errors.read_text())

    def stop(self) -> None:
        """Press Ctrl-C, and see that no process and no port is left."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.stopping_at = time.time()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(60 * PATIENCE)
        finally:
            self.process.stdout.close()
            left = [found for found in psutil.process_iter(["cmdline"]) if self._is_ours(found)]
            for found in left:
                found.kill()
        assert code == 0
        assert [" ".join(found.info["cmdline"])[:200] for found in left] == []
        assert all(is_free("127.0.0.1", port) for port in self.ports.values())

    @property
    def is_running(self) -> bool:
        """Whether `ok-ml ui` was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def _is_ours(self, process: psutil.Process) -> bool:
        return str(self.root.parent) in " ".join(process.info["cmdline"] or [])

    def restart(self, child: str) -> None:
        """Kill a child; the supervisor brings it back, with the configuration as it is now."""
        children = json.loads((self.state / "ui.json").read_bytes())["children"]
        os.kill(next(int(one["pid"]) for one in children if one["name"] == child), signal.SIGKILL)

    def day(self) -> str:
        """Let a day go by; returns it."""
        variables = {"OK_ML_PROJECT": str(self.root), "OK_ML_SIZE": "tiny"}
        done = subprocess.run(
            [sys.executable, "-c", _ONE_DAY],
            cwd=self.root,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=100 * PATIENCE,
            check=True,
        )
        return done.stdout.strip()

    def log(self, child: str) -> str:
        """What a child has written; nothing if there was none."""
        path = self.state / "logs" / f"{child}.log"
        return path.read_text() if path.exists() else ""

    # -- looking ---------------------------------------------------------------------------------------------------

    def wait(self, what: str, seconds: float, look: Callable[[], Found]) -> Found:
        """The first answer of `look` that is true; fails with the runs so far after `seconds`."""
        deadline = time.monotonic() + seconds * PATIENCE
        while time.monotonic() < deadline:
            if found := look():
                return found
            time.sleep(1)
        raise AssertionError(f"not within {seconds:.0f} s: {what}\n{self.story()}")

    def served(self) -> dict[str, Any] | None:
        """The service's answer for a user whom nobody knows: the fallback list of the live generation; None without."""
        url = f"http://127.0.0.1:{self.ports['8642']}/v1/predictions/{EXPERIMENT}/1"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except (urllib.error.HTTPError, urllib.error.URLError):
            return None

    def generation(self) -> str | None:
        """The generation that the service serves, or None."""
        answer = self.served()
        return str(answer["generation"]) if answer else None

    def manifest(self, table: str, partition: str = "all", scope: str = EXPERIMENT) -> dict[str, Any] | None:
        """What the lake says about a partition; None where nothing is committed."""
        path = self.state / "lake-tiny" / scope / table / "_committed" / f"{partition}.json"
        return json.loads(path.read_bytes()) if path.exists() else None

    def days(self, table: str = "raw_events", scope: str = DATASET) -> list[str]:
        """Committed days of a table, ascending."""
        return sorted(path.stem for path in (self.state / "lake-tiny" / scope / table / "_committed").glob("*.json"))

    def live(self, experiment: str = EXPERIMENT) -> tuple[str, str]:
        """(day, model version) of what went live last; empty before."""
        found = self.manifest("live_predictions", scope=experiment)
        return (found["details"]["data_dt"], str(found["details"]["model_version"])) if found else ("", "")

    @property
    def instance(self) -> "DagsterInstance":
        """Dagster's records."""
        if self._instance is None:
            from dagster import DagsterInstance

            self._instance = DagsterInstance.from_config(str(self.state / "dagster"))
        return self._instance

    def runs(self) -> "list[Run]":
        """Every run, oldest first."""
        return [Run(record, self.instance) for record in self.instance.get_run_records(ascending=True)]

    def alerts(self, event: str) -> list[str]:
        """Titles of the incidents of which the file tells that event: opened, closed, repeated."""
        path = self.state / "alerts.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [str(line["title"]) for line in lines if line["event"] == event]

    def says(self, text: str) -> bool:
        """Whether the automation sensor said so in one of its last ticks."""
        state = next(state for state in self.instance.all_instigator_state() if state.instigator_name == "automation")
        ticks = self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=5)
        return any(text in (tick.skip_reason or "") for tick in ticks)

    def story(self) -> str:
        """The runs and the alerts, a line each, for a failed assertion."""
        told = [f"{event}: {title}" for event in ("opened", "closed") for title in self.alerts(event)]
        runs = [str(run) for run in self.runs()]
        return "\n".join([*runs, *told, f"days {self.days()[-3:]}, live {self.live()}"])

    def quiet(self, seconds: float = 40) -> "list[Run]":
        """Every run, once all have ended and for some ticks of the sensors nothing was asked for."""
        since: list[tuple[float, int]] = [(time.monotonic(), 0)]

        def look() -> bool:
            runs = self.runs()
            if len(runs) != since[-1][1] or any(not run.has_ended for run in runs):
                since.append((time.monotonic(), len(runs)))
            return time.monotonic() - since[-1][0] > max(seconds, seconds / 2 * PATIENCE)

        self.wait("nothing runs any more", 400, look)
        return self.runs()

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask the real webserver."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        url = f"http://127.0.0.1:{self.ports['3000']}/graphql"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        assert "errors" not in found, found
        return dict(found["data"])


def assert_no_errors(living: Living) -> None:
    """Neither a sensor nor a daemon has complained; a tick that was under way when everything was stopped may have."""
    from dagster._core.scheduler.instigation import TickStatus

    states = {state.instigator_name: state for state in living.instance.all_instigator_state()}
    assert {"automation", f"new_days_of_{DATASET}"} <= set(states)
    for name, state in states.items():
        ticks = living.instance.get_ticks(state.instigator_origin_id, state.selector_id)
        while_it_ran = [tick for tick in ticks if (tick.end_timestamp or math.inf) < living.stopping_at]
        wrong = [tick.error for tick in while_it_ran if tick.status is TickStatus.FAILURE]
        assert wrong == [], (name, wrong[0])
    for child in ("daemon", "clock", "materialiser", "service"):
        wrong = [line for line in living.log(child).splitlines() if re.search(r"\bERROR\b|Traceback", line)]
        assert wrong == [], (child, wrong[:5])


class Run:
    """A Dagster run, in the words of these tests."""

    def __init__(self, record: "RunRecord", instance: "DagsterInstance") -> None:
        self.id, self.job = record.dagster_run.run_id, record.dagster_run.job_name
        self.status, self.tags = record.dagster_run.status.value, record.dagster_run.tags
        self.created = record.create_timestamp.timestamp()
        self.seconds = (record.end_time or 0) - (record.start_time or 0)
        self.tables = {key.path[-1] for key in record.dagster_run.asset_selection or ()}
        self.scopes = {key.path[0] for key in record.dagster_run.asset_selection or ()}
        self.reason = self.tags.get("ok_ml/reason", "")
        self._instance = instance

    @property
    def is_ingest(self) -> bool:
        return self.job == f"ingest_{DATASET}"

    @property
    def has_ended(self) -> bool:
        return self.status in ("SUCCESS", "FAILURE", "CANCELED")

    @property
    def kind(self) -> str:
        """ingest, train EXPERIMENT, predict EXPERIMENT, or the tables."""
        if self.is_ingest:
            return "ingest"
        known = {frozenset(TRAINING): "train", frozenset(SERVING): "predict"}.get(frozenset(self.tables))
        return f"{known} {' '.join(self.scopes)}" if known else " ".join(sorted(self.tables))

    @property
    def trains(self) -> bool:
        return "model" in self.tables

    @property
    def predicts(self) -> bool:
        return "predictions" in self.tables

    @property
    def failed_steps(self) -> set[str]:
        """Names of the steps that failed, with the asset's or check's own name only."""
        logs = self._instance.all_logs(self.id)
        events = [entry.dagster_event for entry in logs if entry.dagster_event is not None]
        return {str(event.step_key).rpartition("__")[2] for event in events if event.event_type_value == "STEP_FAILURE"}

    def __str__(self) -> str:
        days = "..".join(self.tags.get(f"dagster/asset_partition_range_{end}", "") for end in ("start", "end"))
        at = time.strftime("%H:%M:%S", time.gmtime(self.created))
        return (
            f"{at} {self.id[:8]} {self.job} {self.status} {self.seconds:.0f} s {days} {' '.join(sorted(self.scopes))}: "
            f"{' '.join(sorted(self.tables))} [{self.reason}]"
        )
