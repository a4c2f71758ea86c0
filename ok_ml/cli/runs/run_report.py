"""What a headless run shows while it works and leaves behind when it ends."""

import contextlib
import os
import platform
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import psutil

_VERSIONS_OF = ("dagster", "pyspark", "mlflow", "lightgbm", "implicit", "confluent-kafka", "great-expectations", "lmdb")
_MIB = 1024 * 1024


@dataclass(frozen=True)
class StageRow:
    """One line of the table at the end of a run."""

    stage: str
    rows: int | None
    seconds: float
    peak_memory_mib: float


@dataclass
class RunSummary:
    """Everything that a run says at its end, for people and for programs."""

    experiment: str
    size: str
    seed: int
    recipe: str | None = None
    stages: list[StageRow] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    comparison: list[dict[str, Any]] = field(default_factory=list)
    example_user: str | None = None
    generation: str | None = None
    model_version: int | None = None
    simple_list: str | None = None
    seconds: float = 0.0
    peak_memory_mib: float = 0.0
    unchanged: list[str] = field(default_factory=list)
    guard: str = ""  # what the checks may do from the next day on, and where their limit comes from
    past: list[dict[str, Any]] = field(default_factory=list)  # what was odd in the days that came in together
    content: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The summary with versions and machine; `rows` has the shape name, value, unit, peer, peer_value, ratio."""
        return {
            **asdict(self),
            "rows": [
                {
                    "name": row.stage,
                    "value": round(row.seconds, 3),
                    "unit": "s",
                    "peer": None,
                    "peer_value": None,
                    "ratio": None,
                }
                for row in self.stages
            ]
            + self.metrics,
            "versions": {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS_OF}},
            "machine": {
                "cpus": os.cpu_count(),
                "memory_mib": psutil.virtual_memory().total // _MIB,
                "arch": platform.machine(),
            },
        }

    def add(self, row: StageRow) -> None:
        """Add a stage; one that ran in pieces stays one line."""
        for index, known in enumerate(self.stages):
            if known.stage == row.stage:
                counted = None if known.rows is None and row.rows is None else (known.rows or 0) + (row.rows or 0)
                peak = max(known.peak_memory_mib, row.peak_memory_mib)
                self.stages[index] = StageRow(row.stage, counted, known.seconds + row.seconds, peak)
                return
        self.stages.append(row)

    def write(self, state_dir: Path, run_id: str) -> Path:
        """Write `.ok_ml/runs/<run>.json` and make `last.json` the same, in one rename."""
        return write_summary(self.as_json(), state_dir, run_id, "last")


def write_summary(document: dict[str, Any], state_dir: Path, run_id: str, last: str) -> Path:
    """Write `.ok_ml/runs/<run>.json` and make `<last>.json` the same, in one rename."""
    folder = state_dir / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS, default=str)
    path = folder / f"{run_id}.json"
    path.write_bytes(body)
    aside = folder / f".{last}.json"
    aside.write_bytes(body)
    aside.replace(folder / f"{last}.json")
    return path


class Reporter:
    """Progress lines on the real standard error.

    Dagster redirects the file descriptors of a step into its log, so the reporter keeps a duplicate of its own.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._stream = None if quiet else os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1)
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """One line with the seconds since the start."""
        if self._stream is None:
            return
        with self._lock, contextlib.suppress(ValueError):
            self._stream.write(f"[{time.monotonic() - self._started:6.1f} s] {text}\n")

    def close(self) -> None:
        """Release the duplicate."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
