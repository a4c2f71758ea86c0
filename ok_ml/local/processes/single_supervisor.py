"""One supervisor a state folder: a lock, and a record of its children for whoever comes after a crash."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import psutil

from ok_ml.atomic_write import replace_file
from ok_ml.errors import EnvironmentFault
from ok_ml.local.processes.process_tree import signal_group
from ok_ml.machine.locks import Holder, held

if TYPE_CHECKING:
    from ok_ml.local.processes.supervisor import Supervisor

LOCK_FILE: Final = "ui.lock"
RECORD_FILE: Final = "ui.json"
_LEFTOVER_SECONDS: Final = 5.0


@contextlib.contextmanager
def alone(state_dir: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Within the block no other process supervises this state folder; what a killed supervisor left running is ended first.

    Raises
    ------
    EnvironmentFault
        Another supervisor works on it.
    """
    state_dir.mkdir(parents=True, exist_ok=True)

    def busy(who: Holder) -> None:
        raise EnvironmentFault(
            f"`ok-ml ui` already runs on {state_dir} (pid {who.pid or 'unknown'})",
            why="two of them would start every process twice on the same files",
            remedy="use that one, or stop it first with Ctrl-C; another OK_ML_STATE makes a deployment of its own",
        )

    with held(state_dir / LOCK_FILE, busy=busy, nests=False):
        _end_leftovers(state_dir, say)
        try:
            yield
        finally:
            (state_dir / RECORD_FILE).unlink(missing_ok=True)


def record_children(state_dir: Path, supervisor: "Supervisor") -> None:
    """Write which processes are ours, so that the next supervisor can tell them from strangers."""
    children = [
        {"name": name, "pid": slot.running.pid, "created": slot.running.created, "state": slot.state.value}
        for name, slot in supervisor.slots.items()
        if slot.running is not None
    ]
    path = state_dir / RECORD_FILE
    replace_file(path, orjson.dumps({"pid": os.getpid(), "children": children}, option=orjson.OPT_INDENT_2))


def _end_leftovers(state_dir: Path, say: Callable[[str], None]) -> None:
    left = [child for child in _recorded(state_dir) if _is_same(child)]
    if not left:
        return
    say(f"Ending what a killed supervisor left running: {', '.join(child['name'] for child in left)}")
    for signum in (signal.SIGTERM, signal.SIGKILL):
        for child in left:
            signal_group(child["pid"], signum)
        deadline = time.monotonic() + _LEFTOVER_SECONDS
        while any(_is_same(child) for child in left) and time.monotonic() < deadline:
            time.sleep(0.1)


def _recorded(state_dir: Path) -> list[dict[str, Any]]:
    try:
        children: list[dict[str, Any]] = orjson.loads((state_dir / RECORD_FILE).read_bytes())["children"]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return []
    return children


def _is_same(child: dict[str, Any]) -> bool:
    """Whether the recorded process still lives: the pid alone may belong to another process by now."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(child["pid"])
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - child["created"]) < 1.0
    return False
