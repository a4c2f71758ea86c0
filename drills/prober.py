"""A client that asks the service for the same users every second and writes down which generation answered."""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from drills.deployment import EXPERIMENT, Deployment

PERIOD_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Probe:
    """One question.

    Attributes
    ----------
    at
        Seconds since 1970.
    generation
        The one generation of the whole answer; None if there was no whole answer.
    users
        Lists in the answer.
    milliseconds
        Until the answer was there.
    """

    at: float
    generation: str | None
    users: int
    milliseconds: float


class Prober(threading.Thread):
    """Asks until `stop`; every answer is a line of a file."""

    def __init__(self, deployment: Deployment, users: Sequence[int], path: Path) -> None:
        super().__init__(daemon=True, name="prober")
        self._deployment, self._path, self._ending = deployment, path, threading.Event()
        self._body = json.dumps({"entity_ids": [str(user) for user in users]}).encode()
        self.probes: list[Probe] = []

    def run(self) -> None:
        """Ask every second; a slow answer does not delay the questions after it by more than itself."""
        due = time.monotonic()
        with self._path.open("w", encoding="utf-8") as sink:
            while not self._ending.wait(max(due - time.monotonic(), 0.0)):
                due = max(due + PERIOD_SECONDS, time.monotonic())
                self.probes.append(self._ask())
                sink.write(json.dumps(asdict(self.probes[-1])) + "\n")
                sink.flush()

    def stop(self) -> None:
        """Ask no more."""
        self._ending.set()
        self.join(10)

    def _ask(self) -> Probe:
        at, started = time.time(), time.perf_counter()
        answer = self._deployment.ask(f"/v1/predictions/{EXPERIMENT}", self._body)
        took = 1000 * (time.perf_counter() - started)
        if answer is None:
            return Probe(at, None, 0, took)
        return Probe(at, str(answer["generation"]), len(answer["results"]), took)
