"""Keeps a set of child processes alive until it is told to stop, then leaves nothing behind.

Children start in the order of their dependencies, as many at once as these allow. A child that crashes is restarted
after a pause that doubles; after five deaths within a minute it stays down and the terminal says what to do.
"""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

import psutil

from ok_ml.incidents.journal import Journal, What
from ok_ml.local.processes.children import Child, in_order, start_child, waves
from ok_ml.local.processes.guarded_process import GuardedProcess, exit_in_words, last_lines
from ok_ml.local.processes.process_tree import adopting_orphans, collect_ended, descendants, kill_descendants

Say = Callable[[str], None]

TICK_SECONDS: Final = 0.1
ALIVE_SECONDS: Final = 0.5  # a child without a probe counts as ready once it lived this long
FIRST_BACKOFF_SECONDS: Final = 0.3
DEATHS_BEFORE_GIVING_UP: Final = 5
DEATHS_WINDOW_SECONDS: Final = 60.0
_TAIL_LINES: Final = 5
_STEP_TAIL_LINES: Final = 6
HOUSEKEEPING_SECONDS: Final = 2.0
# Who ends so was asked to, for example to be started again with another configuration; systemd counts as clean what we do.
_CLEAN_ENDS: Final = (0, -signal.SIGHUP, -signal.SIGINT, -signal.SIGTERM)
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class State(Enum):
    """Where a child is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "restarting"
    DOWN = "down"


@dataclass
class Slot:
    """A child and what became of it."""

    child: Child
    state: State = State.WAITING
    running: GuardedProcess | None = None
    started_at: float = 0.0
    retry_at: float = 0.0
    was_ready: bool = False
    complained: bool = False
    deaths: list[float] = field(default_factory=list)


class Supervisor:
    """Starts, watches, restarts and stops children; see `run_supervisor`."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        logs: Path,
        say: Say,
        clock: Callable[[], float],
        journal: Journal | None = None,
    ) -> None:
        self.slots = {child.name: Slot(child) for child in in_order(children)}
        self.logs, self.say, self.clock, self.journal = logs, say, clock, journal
        self.stop_requested, self.hurry = threading.Event(), threading.Event()
        self.failed = False
        self.strangers = {process.pid for process in descendants()}

    # -- one step of the loop ----------------------------------------------------------------------------------

    def tick(self) -> None:
        """Look at every child once and do what is due."""
        for slot in self.slots.values():
            if self.stop_requested.is_set():
                return
            if slot.state in (State.STARTING, State.READY):
                self._watch(slot)
            if self._is_due(slot):
                self._start(slot)

    @property
    def settled(self) -> bool:
        """Whether every child is ready, given up, or so late that the terminal has said so."""
        return all(slot.state in (State.READY, State.DOWN) or slot.complained for slot in self.slots.values())

    def _is_due(self, slot: Slot) -> bool:
        if slot.state is State.BACKOFF:
            return self.clock() >= slot.retry_at
        return slot.state is State.WAITING and all(self.slots[name].was_ready for name in slot.child.after)

    def _start(self, slot: Slot) -> None:
        slot.state, slot.started_at, slot.complained = State.STARTING, self.clock(), False
        try:
            slot.running = start_child(slot.child, self.logs / f"{slot.child.name}.log")
        except OSError as error:
            slot.running = None
            self.say(f"{slot.child.name} cannot be started: {error}")
            self._after_death(slot)

    def _watch(self, slot: Slot) -> None:
        running = slot.running
        if running is None:
            return
        code = running.exit_code()
        if slot.child.once:
            self._watch_step(slot, running, code)
        elif code is not None:
            self._report_death(slot, running, code)
            running.sweep()
            self._after_death(slot)
        elif slot.state is State.STARTING and self._answers(slot):
            if slot.was_ready:
                self.say(f"{slot.child.name} is back.")
                self._note("back", slot)
            slot.state, slot.was_ready = State.READY, True
        elif slot.state is State.STARTING:
            self._complain_if_late(slot)

    def _watch_step(self, slot: Slot, running: GuardedProcess, code: int | None) -> None:
        if code is None:
            self._complain_if_late(slot)
        elif slot.state is State.STARTING and code == 0:
            slot.state, slot.was_ready = State.READY, True
        elif slot.state is State.STARTING:
            slot.state = State.DOWN
            self.say(f"{slot.child.name} ended ({exit_in_words(code)}):")
            for line in last_lines(running.log, _STEP_TAIL_LINES):
                self.say(line)
            self._let_dependants_down(slot)

    def _answers(self, slot: Slot) -> bool:
        if slot.child.ready is None:
            return self.clock() - slot.started_at >= ALIVE_SECONDS
        return slot.child.ready()

    def _complain_if_late(self, slot: Slot) -> None:
        waited = self.clock() - slot.started_at
        if waited > slot.child.ready_timeout_seconds and not slot.complained:
            slot.complained = True
            self.say(f"{slot.child.name} does not answer after {waited:.0f} s; still waiting. See {self._log(slot)}")

    # -- death ---------------------------------------------------------------------------------------------------

    def _report_death(self, slot: Slot, running: GuardedProcess, code: int) -> None:
        self.say(f"{slot.child.name} ended ({exit_in_words(code)}). The end of {self._log(slot)}:")
        tail = last_lines(running.log, _TAIL_LINES)
        for line in tail:
            self.say(f"  {slot.child.name} | {line[:160]}")
        if code not in _CLEAN_ENDS:
            self._note("died", slot, "; ".join([exit_in_words(code), *tail[-1:]]))

    def _after_death(self, slot: Slot) -> None:
        now = self.clock()
        slot.deaths = [at for at in slot.deaths if now - at < DEATHS_WINDOW_SECONDS] + [now]
        count = len(slot.deaths)
        if count >= DEATHS_BEFORE_GIVING_UP:
            self._give_up(slot)
            return
        pause = FIRST_BACKOFF_SECONDS * 2 ** (count - 1)
        slot.state, slot.retry_at = State.BACKOFF, now + pause
        self.say(f"{slot.child.name} is started again in {pause:.1f} s (death {count} of {DEATHS_BEFORE_GIVING_UP}).")

    def _give_up(self, slot: Slot) -> None:
        slot.state = State.DOWN
        self._note("down", slot)
        self.say(
            f"{slot.child.name} crashed {DEATHS_BEFORE_GIVING_UP} times within a minute and stays down.\n"
            f"  what to do:     read {self._log(slot)}, fix the cause, then stop this (Ctrl-C) and start it again"
        )
        self._let_dependants_down(slot)

    def _let_dependants_down(self, slot: Slot) -> None:
        """What happens to the others when a child will not come up."""
        if slot.was_ready:
            return
        if slot.child.required:
            self.say(f"Nothing works without {slot.child.name}: stopping everything.")
            self.failed = True
            self.stop_requested.set()
            return
        for other in self.slots.values():
            if slot.child.name in other.child.after and other.state is State.WAITING:
                other.state = State.DOWN
                self.say(f"{other.child.name} is not started: it needs {slot.child.name}.")
                self._let_dependants_down(other)

    def _note(self, what: What, slot: Slot, how: str = "") -> None:
        """Write it down for whoever watches; a full disk must not stop the watch over the children."""
        if self.journal is not None:
            with contextlib.suppress(OSError):
                self.journal.note(what, slot.child.name, how=how, log=str(self._log(slot)))

    def trim_logs(self) -> None:
        """Keep every log below its limit."""
        for slot in self.slots.values():
            if slot.running is not None:
                slot.running.trim_log()

    def _log(self, slot: Slot) -> Path:
        return self.logs / f"{slot.child.name}.log"

    # -- the end -------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End every child, dependants before what they depend on; bounded by each child's `stop_seconds`."""
        self.say("Stopping ... (Ctrl-C again: at once)")
        for wave in reversed(waves([slot.child for slot in self.slots.values()])):
            self._stop_wave([self.slots[child.name] for child in wave])

    def _stop_wave(self, slots: list[Slot]) -> None:
        alive = [(slot.child, slot.running) for slot in slots if slot.running is not None]
        for _, running in alive:
            running.terminate()
        deadline = self.clock() + max((child.stop_seconds for child, _ in alive), default=0.0)
        while (
            not all(running.is_gone() for _, running in alive) and self.clock() < deadline and not self.hurry.is_set()
        ):
            self.hurry.wait(TICK_SECONDS / 2)
            self.collect()
        for child, running in alive:
            if running.exit_code() is None:
                self.say(f"{child.name} did not end in time and is killed.")
            running.sweep()
        for slot in slots:
            slot.state, slot.running = State.DOWN, None

    def collect(self) -> None:
        """Reap adopted processes; the children's own exit codes are left to them."""
        own = {slot.running.pid for slot in self.slots.values() if slot.running is not None}
        collect_ended(except_for=own | self.strangers)


def run_supervisor(
    children: Sequence[Child],
    *,
    logs: Path,
    say: Say | None = None,
    on_ready: Callable[[Supervisor], None] | None = None,
    on_change: Callable[[Supervisor], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    journal: Journal | None = None,
    spared: Callable[[], set[psutil.Process]] = set,
) -> int:
    """Run children until SIGINT, SIGTERM or SIGHUP, or until a required one cannot be started.

    Must be called from the main thread. Signals that the parent told us to ignore (a script's `cmd &`) are heard too,
    and children do not inherit that either.

    Parameters
    ----------
    logs
        Folder of `<name>.log`; the former run's log stays as `<name>.log.1`.
    say
        Receives every line for the terminal; default: standard error.
    on_ready
        Called once, when every child is ready, given up, or late.
    on_change
        Called whenever a child was started or ended.
    journal
        Where deaths and recoveries are written down.
    spared
        Processes below the children that others use too: asked at the end, and left running.

    Returns
    -------
    0 if it was asked to stop, 1 if a required child could not be started.
    """
    supervisor = Supervisor(children, logs=logs, say=say or to_stderr, clock=clock, journal=journal)
    if journal is not None:
        journal.begin()
    for child in children:
        _rotate(logs / f"{child.name}.log")
    before = descendants()
    with _signals(supervisor), adopting_orphans():
        try:
            _loop(supervisor, on_ready, on_change)
        finally:
            supervisor.stop()
            kill_descendants(except_for=before | spared())
    return 1 if supervisor.failed else 0


def _loop(
    supervisor: Supervisor,
    on_ready: Callable[[Supervisor], None] | None,
    on_change: Callable[[Supervisor], None] | None,
) -> None:
    housekeeping_at = supervisor.clock() + HOUSEKEEPING_SECONDS
    seen: list[int | None] = []
    while not supervisor.stop_requested.wait(TICK_SECONDS):
        supervisor.tick()
        pids = [slot.running.pid if slot.running else None for slot in supervisor.slots.values()]
        if on_change is not None and pids != seen:
            seen = pids
            on_change(supervisor)
        if on_ready is not None and supervisor.settled:
            on_ready(supervisor)
            on_ready = None
        if supervisor.clock() >= housekeeping_at:
            housekeeping_at = supervisor.clock() + HOUSEKEEPING_SECONDS
            supervisor.collect()
            supervisor.trim_logs()


def to_stderr(line: str) -> None:
    """Write one line to standard error, at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


# -- signals and processes ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _signals(supervisor: Supervisor) -> Iterator[None]:
    def stop(_signum: int, _frame: object) -> None:
        if supervisor.stop_requested.is_set():
            supervisor.hurry.set()
        else:
            supervisor.stop_requested.set()

    before = {signum: signal.signal(signum, stop) for signum in _STOP_SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _rotate(log: Path) -> None:
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))
