"""`ok-ml doctor`: what this machine lacks, and the command that mends each.

Every check runs in a thread of its own; one that does not answer in time is a finding itself.
"""

import concurrent.futures
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ok_ml.cli.doctor_machine import MACHINE_CHECKS
from ok_ml.cli.doctor_project import PROJECT_CHECKS
from ok_ml.cli.machine import Finding, Machine

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
    checks: dict[str, Check] = {**MACHINE_CHECKS, **PROJECT_CHECKS}
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=len(checks), thread_name_prefix="doctor")
    running = {name: pool.submit(_all, check, machine) for name, check in checks.items()}
    concurrent.futures.wait(running.values(), timeout=limit_seconds)
    pool.shutdown(wait=False, cancel_futures=True)
    found = [finding for name, future in running.items() for finding in _result(name, future, limit_seconds)]
    ordered = sorted(found, key=lambda finding: _ORDER.index(finding.state))
    return Diagnosis(tuple(ordered), time.monotonic() - started)


def _all(check: Check, machine: Machine) -> list[Finding]:
    return list(check(machine))


def _result(name: str, future: "concurrent.futures.Future[list[Finding]]", limit_seconds: float) -> Iterator[Finding]:
    if not future.done():
        yield Finding(
            name,
            "warn",
            f"no answer within {limit_seconds:g} s",
            "run `ok-ml doctor` again when the machine is less busy",
        )
        return
    error = future.exception()
    if error is not None:
        yield Finding(name, "warn", f"could not be checked: {error}", "run `ok-ml --debug doctor`")
        return
    yield from future.result()
