"""A deployment of its own: the shipped configuration made small in a folder, and `ok-ml ui` living in it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from ruamel.yaml import YAML

from ok_ml.config.loader import load_project
from ok_ml.config.models import Project
from ok_ml.machine.ports import is_free

Found = TypeVar("Found")
ROOT: Final = Path(__file__).resolve().parents[1]
EXPERIMENT, DATASET = "prod_discovery", "ok_world"
EXPERIMENT_FILE: Final = f"configs/experiments/{EXPERIMENT}.yml"
DATASET_FILE: Final = f"configs/datasets/{DATASET}.yml"
_COPIED: Final = (
    "configs/base.yml",
    "configs/environments/local.yml",
    DATASET_FILE,
    EXPERIMENT_FILE,
    f"configs/calibration/{EXPERIMENT}.yml",
    "requirements.lock",
)
_FOREIGN: Final = ("OK_ML_", "DAGSTER", "NUMBA_CACHE_DIR", "MLFLOW_", "SPARK_", "PYSPARK_", "NO_COLOR")
_START_SECONDS: Final = 240.0
_STOP_SECONDS: Final = 90.0
_LOOK_SECONDS: Final = 0.5
SIZE: Final = "tiny"


class Deployment:
    """A project folder with a state of its own.

    Parameters
    ----------
    base
        Folder; emptied first.
    world, experiment, base_changes
        Dotted names -> values laid over the tiny size of the dataset and of the experiment, and over base.yml.
    first_port
        Five ports from here on are used.
    """

    def __init__(
        self,
        base: Path,
        *,
        first_port: int,
        world: Mapping[str, Any] | None = None,
        experiment: Mapping[str, Any] | None = None,
        base_changes: Mapping[str, Any] | None = None,
    ) -> None:
        self.base, self.root, self.state = base, base / "project", base / "state"
        names = ("kafka", "controller", "mlflow", "dagster", "service")
        self.ports = dict(zip(names, range(first_port, first_port + len(names)), strict=True))
        self.process: subprocess.Popen[str] | None = None
        self.clock: subprocess.Popen[bytes] | None = None
        shutil.rmtree(base, ignore_errors=True)
        for name in _COPIED:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        self.update("configs/base.yml", self._addresses() | dict(base_changes or {}))
        self.update(DATASET_FILE, {f"sizes.{SIZE}.world.{name}": value for name, value in (world or {}).items()})
        self.update(EXPERIMENT_FILE, {f"sizes.{SIZE}.{name}": value for name, value in (experiment or {}).items()})
        for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "A small network"]):
            command = ["git", "-c", "user.name=drill", "-c", "user.email=drill@example.org", *arguments]
            subprocess.run(command, cwd=self.root, check=True)

    def _addresses(self) -> dict[str, Any]:
        return {
            "kafka.bootstrap_servers": f"127.0.0.1:{self.ports['kafka']}",
            "kafka.controller_port": self.ports["controller"],
            "mlflow.port": self.ports["mlflow"],
            "dagster.port": self.ports["dagster"],
            "service.port": self.ports["service"],
        }

    def update(self, name: str, changes: Mapping[str, Any]) -> None:
        """Set values of one YAML file by their dotted names."""
        yaml = YAML()
        path = self.root / name
        document = yaml.load(path.read_text(encoding="utf-8"))
        for dotted, value in changes.items():
            *parents, last = dotted.split(".")
            node = document
            for parent in parents:
                node = node.setdefault(parent, {})
            node[last] = value
        with path.open("w", encoding="utf-8") as sink:
            yaml.dump(document, sink)

    # -- processes -----------------------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """The variables of this process without what could lead a command elsewhere."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN) or name == "OK_ML_CACHE"
        }
        return kept | {"OK_ML_STATE": str(self.state), "NO_COLOR": "1"}

    def command(self, *arguments: str) -> list[str]:
        """`ok-ml ...` of this interpreter."""
        return [str(Path(sys.executable).with_name("ok-ml")), "--size", SIZE, *arguments]

    def ok(self, *arguments: str, seconds: float = 200) -> subprocess.CompletedProcess[str]:
        """Call `ok-ml ...` in the project and wait for it."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def start(self, *arguments: str) -> None:
        """Start `ok-ml ui` and wait until its addresses are told."""
        errors = self.base / "ui.stderr"
        with errors.open("w") as sink:
            self.process = subprocess.Popen(
                self.command("ui", "--json", *arguments),
                cwd=self.root,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )
        assert self.process.stdout is not None
        if not _announced(self.process.stdout):
            raise RuntimeError(f"`ok-ml ui` did not start:\n{errors.read_text()}")

    def start_clock(self) -> None:
        """Let days go by; for a deployment that was started with `--no-clock`."""
        log = self.state / "logs" / "clock.log"
        with log.open("w") as sink:
            command = [
                sys.executable,
                "-m",
                "ok_ml.local.services.world_clock",
                "--project",
                str(self.root),
                "--size",
                SIZE,
            ]
            self.clock = subprocess.Popen(command, cwd=self.root, env=self.environment, stdout=sink, stderr=sink)

    def stop(self) -> int:
        """Stop the clock, press Ctrl-C and wait; returns the exit code of `ok-ml ui`."""
        if self.clock is not None:
            self.clock.terminate()
            self.clock.wait(_STOP_SECONDS)
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(_STOP_SECONDS)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()

    def kill(self, child: str) -> None:
        """End a child as whoever restarts it would; the supervisor brings it back, with the configuration as it is now."""
        children = json.loads((self.state / "ui.json").read_bytes())["children"]
        os.kill(next(int(one["pid"]) for one in children if one["name"] == child), signal.SIGTERM)

    def log(self, child: str) -> str:
        """What a child has written."""
        path = self.state / "logs" / f"{child}.log"
        return path.read_text() if path.exists() else ""

    # -- looking ---------------------------------------------------------------------------------------------------

    def project(self) -> Project:
        """The configuration as it is now."""
        os.environ["OK_ML_STATE"] = str(self.state)
        return load_project(self.root, SIZE)

    def manifest(self, table: str, partition: str = "all", scope: str = EXPERIMENT) -> dict[str, Any] | None:
        """What the lake says about a partition; None where nothing is committed."""
        path = self.state / f"lake-{SIZE}" / scope / table / "_committed" / f"{partition}.json"
        try:
            found: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        return found

    def days(self, table: str = "raw_events", scope: str = DATASET) -> list[str]:
        """Committed days of a table, ascending."""
        return sorted(path.stem for path in (self.state / f"lake-{SIZE}" / scope / table / "_committed").glob("*.json"))

    def live(self) -> tuple[str, str]:
        """(day, model version) of what went live last; empty before."""
        found = self.manifest("live_predictions")
        return (found["details"]["data_dt"], str(found["details"]["model_version"])) if found else ("", "")

    def online(self, metric: str) -> dict[str, float]:
        """Day -> a number of the online metrics, for everybody; days without it are left out."""
        from ok_ml import columns as c
        from ok_ml.lake import Lake
        from ok_ml.quality.statistics.number_series import Name, read_days

        lake = Lake(self.project().lake_root)
        days = read_days(lake, EXPERIMENT, c.ONLINE_METRICS, lake.partitions(EXPERIMENT, c.ONLINE_METRICS))
        found = {dt: numbers.get(Name(metric)) for dt, numbers in sorted(days.items())}
        return {dt: one.value for dt, one in found.items() if one is not None and one.value is not None}

    def ask(self, path: str, body: bytes | None = None) -> dict[str, Any] | None:
        """The service's JSON answer; None if it does not answer well."""
        url = f"http://127.0.0.1:{self.ports['service']}{path}"
        try:
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError):
            return None

    def wait(self, what: str, seconds: float, look: Callable[[], Found]) -> Found:
        """The first answer of `look` that is true.

        Raises
        ------
        TimeoutError
            There was none within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := look():
                return found
            if self.process is not None and self.process.poll() is not None:
                raise RuntimeError(f"`ok-ml ui` ended with {self.process.returncode} while waiting: {what}")
            time.sleep(_LOOK_SECONDS)
        raise TimeoutError(f"not within {seconds:.0f} s: {what}")


def free_ports(first: int, count: int = 5) -> int:
    """The first of so many free ports in a row, at or above `first`."""
    start = first
    while not all(is_free("127.0.0.1", port) for port in range(start, start + count)):
        start += count
    return start


def _announced(output: IO[str]) -> bool:
    return any(line == "}\n" for line in output)
