"""Which commands may work side by side on a state folder, and what is said where they may not.

Two runs of one experiment would do all the work twice and publish over each other, whatever their size: they share topic,
storage and registry. Runs of two experiments take turns at the dataset that both read, since the second finds the work of the
first done. Steps of the daemon take the same locks (`ok_ml.graph.dagster_io.Workbench.step`). Attempts are outside production: they
exclude only each other.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ok_ml.config.models import Project
from ok_ml.errors import EnvironmentFault
from ok_ml.machine.locks import Holder, held, lock_path, this_command

Say = Callable[[str], None]


@contextmanager
def alone_with(
    project: Project, experiment: str, *, wait: bool = False, attempts: bool = False, say: Say | None = None
) -> Iterator[None]:
    """Within the block no other process works on an experiment (or on its attempts).

    Raises
    ------
    EnvironmentFault
        Another process does, and we do not wait.
    """

    def busy(who: Holder) -> None:
        if not wait:
            raise _at_work(who, experiment, attempts=attempts)
        if say is not None:
            say(f"waiting    for {who}, which is at work on {experiment}")

    name = f"{experiment}.attempts" if attempts else experiment
    with held(lock_path(project.state_dir, name), busy=busy):
        yield


@contextmanager
def one_at_a_time(project: Project, dataset: str, say: Say) -> Iterator[None]:
    """Within the block no other process ingests days of a dataset; waits until that is so."""

    def busy(who: Holder) -> None:
        say(f"waiting    for {who}, which brings {dataset} in")

    with held(lock_path(project.state_dir, dataset), busy=busy):
        yield


def _at_work(who: Holder, experiment: str, *, attempts: bool) -> EnvironmentFault:
    again = "the same command continues once it is done" if attempts else f"`{_with_wait()}` continues once it is done"
    stop = f"; to stop it: Ctrl-C in its terminal, or `kill {who.pid}`" if who.pid else ""
    return EnvironmentFault(
        f"{who} is at work on {'attempts of ' if attempts else ''}{experiment}",
        why="two of them would do the same work twice, and write over each other",
        remedy=f"{again}{stop}",
    )


def _with_wait() -> str:
    command = this_command()
    return command if command.endswith(" --wait") else f"{command} --wait"
