"""A day of a dataset delivered again: its log read, or written by the simulated network, again."""

from collections.abc import Callable

import numpy as np

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, Project
from ok_ml.datasets.canonical.ingest import stale_partitions
from ok_ml.delivery.storage import open_store
from ok_ml.errors import DataError
from ok_ml.lake import Lake
from ok_ml.monitoring.series.shown_lists import experiment_of, served_lists
from ok_ml.world.behaviour.exposure import ServedLists
from ok_ml.world.log.commit import EVENTS
from ok_ml.world.log.raw_log import NONE, changed_since, export_days
from ok_ml.world.population.network import World

Say = Callable[[str], None]


def repair_days(project: Project, dataset: DatasetConfig, dt: str, say: Say) -> list[str]:
    """Make the log of a day what it should be; the days whose tables have to be made again, ascending.

    A simulated network writes the day again as its configuration is now. Any other log is looked at again: whoever delivers
    it has corrected it before.

    Raises
    ------
    NotCommitted
        There is no such day.
    DataError
        The log of that day is what it was when it was ingested.
    """
    lake = Lake(project.lake_root)
    lake.manifest(dataset.dataset, c.EVENTS, dt)
    deliver_again(project, dataset, [dt], say)
    _, stale = stale_partitions(dataset, lake, root=project.root)
    if dt not in stale:
        raise _same_again(dataset, dt)
    return [one for one in stale if one >= dt]


def deliver_again(project: Project, dataset: DatasetConfig, dts: list[str], say: Say) -> list[str]:
    """Write those of some days of a simulated network again whose incidents the configuration does not name now, or not so."""
    if dataset.world is None:
        return []
    lake, world = Lake(project.lake_root), World(dataset.world, dataset.parts)
    changed = changed_since(dataset, lake, dts)
    for dt in changed:
        served = _served(project, dataset, world, dt, say)
        export_days(world, lake, dataset.dataset, [dt], served=served, workers=1, progress=say)
    return changed


def _served(project: Project, dataset: DatasetConfig, world: World, dt: str, say: Say) -> ServedLists | None:
    """The lists that people saw on that day where they are served still, else those of now: every user was shown something."""
    recorded = Lake(project.lake_root).manifest(dataset.dataset, EVENTS, dt).inputs.get("served", NONE)
    experiment = experiment_of(project, dataset.dataset)
    if recorded == NONE or experiment is None:
        return None
    store = open_store(project.environment.storage, project.root)
    try:
        lists = served_lists(store.reader(experiment), np.sort(world.user_ids(world.day_of(dt))))
    finally:
        store.close()
    if lists is None or lists.generation != recorded:
        now = "nothing is" if lists is None else f"{lists.generation} is"
        say(f"{dt}: people saw generation {recorded}; {now} served now, and stands in for it")
    return lists


def _same_again(dataset: DatasetConfig, dt: str) -> DataError:
    name = dataset.dataset
    if dataset.world is not None:
        how = f"take what spoilt {dt} out of world.incidents in configs/datasets/{name}.yml, then ok-ml repair {name} {dt}"
    elif dataset.events.topic is not None:
        how = (
            f"send the right messages of {dt} to {dataset.events.path} under ids of their own while `ok-ml collect {name}` runs: "
            f"late messages make a new version of their day; then ok-ml repair {name} {dt}"
        )
    else:
        how = f"put the right files of {dt} at {dataset.events.path}, then ok-ml repair {name} {dt}"
    return DataError(
        f"{name}: the log of {dt} is what it was when it was ingested",
        why="the same rows would get the same verdict",
        remedy=f"{how}; or, if it is right: ok-ml accept {name} {dt} --reason TEXT",
    )
