"""A table at the end of a test session: for each folder of tests what passed, failed and was skipped, and the seconds.

Loaded with `-p tests.suite_times`. A skipped test says why and how to have it run: its reason is printed as it is.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pytest


@dataclass
class Suite:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)


class SuiteTimes:
    """Counts reports by the first folder below tests/."""

    def __init__(self) -> None:
        self.suites: dict[str, Suite] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        suite = self.suites.setdefault(suite_of(report.nodeid), Suite())
        suite.seconds += report.duration
        if report.skipped:
            suite.skipped += 1
            suite.reasons[reason_of(report)] += 1
        elif report.failed:
            suite.failed += 1
        elif report.when == "call":
            suite.passed += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.suites:
            return
        write = terminalreporter.write_line
        write("")
        for line in table(self.suites):
            write(line)


def suite_of(nodeid: str) -> str:
    """tests/config/test_loader.py::test_x -> config; a file right below tests/ is its own suite."""
    parts = PurePosixPath(nodeid.split("::", 1)[0]).parts
    return parts[1] if len(parts) > 2 else parts[-1]


def reason_of(report: pytest.TestReport) -> str:
    """The text of a skip or of an expected failure."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return str(getattr(report, "wasxfail", "")) or "expected failure"


def table(suites: dict[str, Suite]) -> list[str]:
    """Slowest first, then the reasons of what was skipped."""
    ordered = sorted(suites.items(), key=lambda item: -item[1].seconds)
    width = max(len("suite"), *(len(name) for name in suites))
    lines = [f"{'suite':{width}}  passed  failed  skipped  seconds"]
    for name, suite in ordered:
        lines.append(f"{name:{width}}  {suite.passed:6}  {suite.failed:6}  {suite.skipped:7}  {suite.seconds:7.1f}")
    for name, suite in ordered:
        lines += [f"skipped in {name}: {count} x {reason}" for reason, count in suite.reasons.most_common()]
    return lines


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SuiteTimes(), "suite-times")
