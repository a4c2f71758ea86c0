"""Delivery in a process that is killed by SIGKILL at its n-th step: ``python -m tests.incidents.kills STEP STORE CHANNEL ...``."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ok_ml.config.models import KafkaConfig
from ok_ml.config.sections.environment_models import AlertChannel
from ok_ml.incidents.apprise_channel import AppriseChannel
from ok_ml.incidents.channels import FileChannel
from ok_ml.incidents.courier import drain
from ok_ml.incidents.store import Store, Transaction
from ok_ml.incidents.topic_channel import TopicChannel

TEAM_CHANNEL = AlertChannel(name="team", url_env="TEAM_URL")


class Killer:
    """Ends this process at its n-th step."""

    def __init__(self, at: int) -> None:
        self.left = at

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: object, name: str) -> None:
        """Steps before and after a function."""
        real = getattr(owner, name)

        def watched(*arguments: Any, **more: Any) -> Any:
            self.step()
            result = real(*arguments, **more)
            self.step()
            return result

        setattr(owner, name, watched)


class Stepping:
    """An object each of whose calls is a step before and a step after."""

    def __init__(self, killer: Killer, real: Any) -> None:
        self._killer, self._real = killer, real

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            self._killer.step()
            result = getattr(self._real, name)(*arguments, **more)
            self._killer.step()
            return result

        return call


class TornFile(FileChannel):
    """Writes its lines in two pieces, the first of which ends within a line."""

    def _append(self, lines: bytes) -> None:
        with self.path.open("ab", buffering=0) as handle:
            for piece in (lines[:-25], lines[-25:]):
                handle.write(piece)
                os.fsync(handle.fileno())


def killed_at(step: int, store: Path, *channel: str) -> bool:
    """Deliver in a process of its own; returns whether it was killed at that step, or had come to the end before."""
    command = [sys.executable, "-m", "tests.incidents.kills", str(step), str(store), *channel]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def forked_and_killed_at(step: int, store: Path, path: Path) -> bool:
    """As `killed_at` for a file, without the seconds that a new interpreter takes."""
    child = os.fork()
    if child == 0:
        try:
            work(Killer(step), Store(store), TornFile(path))
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def work(killer: Killer, store: Store, channel: Any) -> None:
    """Deliver with a step around everything that leaves a trace."""
    for owner, name in ((os, "fsync"), (Transaction, "begin"), (Transaction, "sent"), (Store, "_open")):
        killer.around(owner, name)
    match channel:
        case TopicChannel():
            make = channel._producer
            channel._producer = lambda: Stepping(killer, make())  # type: ignore[method-assign]
        case AppriseChannel():
            killer.around(AppriseChannel, "_send")
        case _:
            killer.around(type(channel), "_append")
    drain(store, channel)


if __name__ == "__main__":
    at, folder, kind, *rest = sys.argv[1:]
    if kind == "topic":
        one: Any = TopicChannel(KafkaConfig.model_validate_json(rest[0]), rest[1], Path(folder).parent)
    else:
        one = AppriseChannel(TEAM_CHANNEL)
    work(Killer(int(at)), Store(Path(folder)), one)
