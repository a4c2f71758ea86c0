"""Two commands on one state folder, started and stopped at times that a seed draws: each ends well, or says who works.

Every interleaving ends with an ordinary `ok-ml run`: whatever happened before, it serves the newest day. A few of them are
played each time, one of every kind of pair; OK_ML_INTERLEAVINGS=20 plays so many, which takes 25 minutes.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from ok_ml.machine.ports import is_free
from tests.daemon.living import EXPERIMENT, PATIENCE, Living
from tests.small_project import ROOT

pytestmark = [pytest.mark.daemon, pytest.mark.kafka, pytest.mark.spark, pytest.mark.timeout(900)]

LIVE_LOG = "events_topic"
WELL, BUSY = 0, 3
STOPPED = (WELL, 130, -signal.SIGINT)  # the last: before it could listen
COMMANDS = {
    "run": ("run", EXPERIMENT, "--json"),
    "run again": ("run", EXPERIMENT, "--json", "--force"),
    "waiting run": ("run", EXPERIMENT, "--json", "--wait"),
    "ui": ("ui", "--json", "--no-clock"),
    "collect": ("collect", LIVE_LOG),
    "collect what is there": ("collect", LIVE_LOG, "--until-idle", "3"),
}
PAIRS = (
    ("run", "run"), ("run", "waiting run"), ("run", "ui"), ("collect", "run"), ("ui", "run"), ("run", "collect"), ("run again", "run"),
    ("collect what is there", "run"), ("ui", "collect"), ("run", "collect what is there"),
)  # fmt: skip
ENDLESS = ("ui", "collect")
SAMPLE = (1, 4, 8, 10, 15)


class Interleaving(NamedTuple):
    """Two commands, the second one so many seconds after the first; what never ends is stopped, and some runs are killed."""

    first: str
    second: str
    after: float
    kill_first_at: float | None
    stop_at: float

    @classmethod
    def of(cls, seed: int) -> "Interleaving":
        chance = random.Random(seed)
        first, second = PAIRS[seed % len(PAIRS)]
        killed = seed >= len(PAIRS) and first not in ENDLESS
        return cls(
            first, second, chance.uniform(0, 18), chance.uniform(3, 20) if killed else None, chance.uniform(10, 45)
        )


class Beside:
    """A command that runs beside another one."""

    def __init__(self, living: Living, what: str) -> None:
        self.what, self.errors = what, living.root.parent / f"{what}.stderr"
        command = [str(Path(sys.executable).with_name("ok-ml")), "--size", "tiny", *COMMANDS[what]]
        with self.errors.open("w") as sink:
            self.process = subprocess.Popen(
                command, cwd=living.root, env=living.environment, stdout=subprocess.DEVNULL, stderr=sink
            )

    def end(self) -> int:
        """Its exit code; what never ends by itself is stopped as a person would."""
        if self.what in ENDLESS and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(300 * PATIENCE)

    def told(self) -> str:
        return self.errors.read_text()


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    found = Living(tmp_path_factory.mktemp("beside"), day_seconds=600, model_days=10_000, first_port=29_710)
    shutil.copy(ROOT / f"configs/datasets/{LIVE_LOG}.yml", found.root / f"configs/datasets/{LIVE_LOG}.yml")
    for arguments in (["add", "."], ["commit", "-qm", "A live log"]):
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments], cwd=found.root, check=True
        )
    found.ok("run", EXPERIMENT)
    found.ok("play", LIVE_LOG, "--days", "3")
    yield found
    for process in _ours(found):
        process.kill()


@pytest.mark.parametrize("seed", range(int(os.environ.get("OK_ML_INTERLEAVINGS", "0"))) or SAMPLE)
def test_two_commands_on_one_state_folder(living: Living, seed: int) -> None:
    plan = Interleaving.of(seed)
    newest = living.day()
    started = time.monotonic()

    def until(moment: float) -> None:
        time.sleep(max(started + moment * PATIENCE - time.monotonic(), 0))

    first = Beside(living, plan.first)
    if plan.kill_first_at is not None and plan.kill_first_at < plan.after:
        until(plan.kill_first_at)
        first.process.kill()
    until(plan.after)
    second = Beside(living, plan.second)
    if plan.kill_first_at is not None and plan.kill_first_at >= plan.after:
        until(plan.kill_first_at)
        first.process.kill()
    if {plan.first, plan.second} <= {*ENDLESS}:
        until(plan.stop_at)
    ends = sorted([first, second], key=lambda one: one.what in ENDLESS)
    codes = {id(one): one.end() for one in ends}
    for one in (first, second):
        code = codes[id(one)]
        if one is first and plan.kill_first_at is not None and code == -signal.SIGKILL:
            continue
        assert code in (BUSY, *(STOPPED if one.what in ENDLESS else (WELL,))), f"{plan}: {one.what}\n{one.told()}"
        assert code != BUSY or "is at work on" in one.told() or "is running" in one.told(), f"{plan}\n{one.told()}"
    living.ok("run", EXPERIMENT)
    live, publication = _details(living, "live_predictions"), _details(living, "publication")
    assert live["generation"] == publication["generation"], plan
    assert live["data_dt"] == newest, plan
    listed = json.loads(living.ok("get", EXPERIMENT, "1", "--json"))
    assert listed["generation"] == live["generation_name"], plan
    assert [" ".join(one.info["cmdline"])[:200] for one in _ours(living)] == [], plan
    assert all(is_free("127.0.0.1", port) for port in living.ports.values()), plan


def _details(living: Living, table: str) -> dict[str, Any]:
    found = living.manifest(table)
    assert found is not None
    return dict(found["details"])


def _ours(living: Living) -> list[psutil.Process]:
    """Processes that are left, some moments after what started them ended."""
    deadline = time.monotonic() + 20 * PATIENCE
    while found := [one for one in psutil.process_iter(["cmdline"]) if _is_ours(one, living)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    return found


def _is_ours(process: psutil.Process, living: Living) -> bool:
    with suppress(psutil.Error):
        return process.pid != os.getpid() and str(living.root.parent) in " ".join(process.info["cmdline"] or [])
    return False
