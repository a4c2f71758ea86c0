"""`ok-ml ui`: start what runs automatically, print the addresses, stop everything at the end."""

import contextlib
import os
import sys
from pathlib import Path

import psutil

from ok_ml.cli.output import say, write_json, write_line
from ok_ml.config.models import Project
from ok_ml.incidents.journal import Journal
from ok_ml.local.processes.shared_service import guard_of
from ok_ml.local.processes.single_supervisor import alone, record_children
from ok_ml.local.processes.supervisor import State, Supervisor, run_supervisor
from ok_ml.local.services.keep_service import KAFKA, folder_of, guards_in_use
from ok_ml.local.services.machine_ready import require_folders
from ok_ml.local.services.port_needs import PortNeed, port_needs, require_free
from ok_ml.local.services.ui_services import Address, addresses, ui_children


def run_ui(project: Project, *, clock: bool = True, as_json: bool = False) -> int:
    """Start everything that runs automatically and keep it running until Ctrl-C.

    Returns
    -------
    The exit code: 0 after Ctrl-C or SIGTERM, 1 if Dagster's definitions do not load or it cannot be started.

    Raises
    ------
    EnvironmentFault
        A port is taken, or another supervisor works on the same state; nothing was started.
    """
    require_folders(project)
    with alone(project.state_dir, say):
        require_free(_wanted_ports(project))
        children = ui_children(project, clock=clock)
        say(f"Starting {len(children)} processes; logs are in {_shown(project, project.state_dir / 'logs')}")

        def announce(supervisor: Supervisor) -> None:
            reachable = [address for address in addresses(project) if _is_up(supervisor, address)]
            _announce(project, reachable, as_json=as_json)

        return run_supervisor(
            children,
            logs=project.state_dir / "logs",
            say=say,
            on_ready=announce,
            on_change=lambda supervisor: record_children(project.state_dir, supervisor),
            journal=Journal(project.state_dir),
            spared=lambda: _in_use(project),
        )


def _wanted_ports(project: Project) -> list[PortNeed]:
    """What must be free now: a broker of this state folder that a run uses is shared, not started."""
    needs = port_needs(project.environment)
    shares = guard_of(folder_of(project, KAFKA)) is not None
    return [need for need in needs if not (shares and need.key.startswith("kafka."))]


def _in_use(project: Project) -> set[psutil.Process]:
    """Broker and materialiser, if a command outside still uses them; they end with the last such command."""
    processes: set[psutil.Process] = set()
    for name, guard in guards_in_use(project).items():
        with contextlib.suppress(psutil.Error):
            processes |= {guard, *guard.children(recursive=True)}
            say(f"{name} stays (pid {guard.pid}): another command uses it, and it ends with that one.")
    return processes


def _is_up(supervisor: Supervisor, address: Address) -> bool:
    slot = supervisor.slots.get(address.child)
    return slot is not None and slot.state is State.READY


def _announce(project: Project, reachable: list[Address], *, as_json: bool) -> None:
    if as_json:
        write_json(
            {
                "pid": os.getpid(),
                "logs": str(project.state_dir / "logs"),
                "addresses": [{"name": one.name.strip(), "url": one.url, "what": one.what} for one in reachable],
            }
        )
        sys.stdout.flush()
        return
    names, urls = (
        max((len(text) for text in texts), default=0)
        for texts in zip(*((a.name, a.url) for a in reachable), strict=True)
    )
    write_line("")
    for one in reachable:
        write_line(f"{one.name:<{names}}  {one.url:<{urls}}  {one.what}")
    write_line("")
    sys.stdout.flush()
    clock = project.environment.world_clock
    say(f"Ready. One day of {clock.dataset} goes by every {clock.day_seconds:.0f} s. Ctrl-C stops everything.")


def _shown(project: Project, path: Path) -> str:
    return str(path.relative_to(project.root)) if path.is_relative_to(project.root) else str(path)
