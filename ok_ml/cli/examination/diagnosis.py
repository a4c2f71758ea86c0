"""`ok-ml doctor`: what this machine lacks, and the command that fixes each.

Every check runs in a thread of its own; one that does not answer in time is a finding itself.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ok_ml.cli.examination.examined_machine import Finding, Machine
from ok_ml.cli.examination.machine_checks import MACHINE_CHECKS
from ok_ml.cli.examination.project_checks import PROJECT_CHECKS
from ok_ml.cli.examination.spark_check import SPARK_SECONDS, spark_session

LIMIT_SECONDS: Final = 2.5
MISSING: Final = 3  # exit code when something is missing
_ORDER: Final = ("fail", "warn", "ok")

Check = Callable[[Machine], Iterable[Finding]]


@dataclass(frozen=True)
class Diagnosis:
    """All findings, worst first."""

    findings: tuple[Finding, ...]
    seconds: float

    @property
    def exit_code(self) -> int:
        """3 if something is missing, 0 with warnings only."""
        return MISSING if any(finding.state == "fail" for finding in self.findings) else 0


def examine(machine: Machine, *, limit_seconds: float = LIMIT_SECONDS) -> Diagnosis:
    """Run every check at once, for at most `limit_seconds`."""
    started = time.monotonic()
    results: queue.SimpleQueue[tuple[str, list[Finding]]] = queue.SimpleQueue()
    waiting = {**MACHINE_CHECKS, **PROJECT_CHECKS}
    for name, check in waiting.items():
        # Daemon threads: a check that hangs, e.g. on a dead network disk, must not keep the command from ending.
        threading.Thread(target=_run, args=(name, check, machine, results), daemon=True, name=f"doctor-{name}").start()
    answers: list[Finding] = []
    while waiting and (left := started + limit_seconds - time.monotonic()) > 0:
        with contextlib.suppress(queue.Empty):
            name, findings = results.get(timeout=left)
            del waiting[name]
            answers += findings
    remedy = "run `ok-ml doctor` again when the machine is less busy"
    answers += [Finding(name, "warn", f"no answer within {limit_seconds:g} s", remedy) for name in waiting]
    ordered = sorted(answers, key=lambda finding: (_ORDER.index(finding.state), finding.name))
    return Diagnosis(tuple(ordered), time.monotonic() - started)


def with_spark(machine: Machine, diagnosis: Diagnosis, say: Callable[[str], None]) -> Diagnosis:
    """Start what will run, a JVM with a Spark session, where nothing else is missing."""
    if machine.project is None or diagnosis.exit_code or machine.project.environment.spark.master.startswith("sc://"):
        return diagnosis
    say(f"trying a Spark session, for at most {SPARK_SECONDS:.0f} s (--quick leaves it out)")
    started = time.monotonic()
    findings = sorted(
        [*diagnosis.findings, spark_session(machine)], key=lambda one: (_ORDER.index(one.state), one.name)
    )
    return Diagnosis(tuple(findings), diagnosis.seconds + time.monotonic() - started)


def _run(name: str, check: Check, machine: Machine, results: "queue.SimpleQueue[tuple[str, list[Finding]]]") -> None:
    try:
        findings = list(check(machine))
    except Exception as error:  # noqa: BLE001 - not swallowed: a check that breaks is a finding like any other
        findings = [Finding(name, "warn", f"could not be checked: {error!r}", "report it with `ok-ml doctor --json`")]
    results.put((name, findings))
