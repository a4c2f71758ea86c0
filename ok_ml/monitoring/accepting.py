"""A person says that what a verdict found is right: of a dataset's log, or of an experiment's features, lists or model."""

from collections.abc import Iterator
from typing import Final

from ok_ml import columns as c
from ok_ml.config.models import Project
from ok_ml.errors import UsageError
from ok_ml.lake import Lake
from ok_ml.machine.current_user import name_of_user
from ok_ml.quality.judges.acceptance import Acceptance
from ok_ml.quality.judges.verdicts import (
    DECLARED_VERDICT,
    EVENT_VERDICT,
    FEATURE_VERDICT,
    LISTS_VERDICT,
    MODEL_VERDICT,
    Verdict,
    accept,
    series_verdict,
    verdict_on,
)

_OF_DATASET: Final = (DECLARED_VERDICT, EVENT_VERDICT, series_verdict(c.PRODUCT_METRICS))
_OF_EXPERIMENT: Final = (
    FEATURE_VERDICT,
    LISTS_VERDICT,
    series_verdict(c.PREDICTION_STATISTICS),
    series_verdict(c.ONLINE_METRICS),
)


def accept_day(
    project: Project, name: str, dt: str, reason: str, *, model: bool = False
) -> list[tuple[Verdict, Acceptance]]:
    """Accept, in the name of whoever is at the keyboard, everything that is open on a day of an experiment or a dataset.

    Parameters
    ----------
    name
        Of an experiment, its dataset's log of that day included, or of a dataset.
    model
        The gate's refusal of an experiment's model of that day instead, and nothing else: the next promotion lets it through.

    Raises
    ------
    UsageError
        Nothing of that day is open.
    """
    lake = Lake(project.lake_root)
    open_verdicts = [one for one in verdicts_of(project, name, dt, model=model) if one.failed]
    if not open_verdicts:
        raise _nothing_open(project, name, dt, model=model)
    who = name_of_user()
    return [(one, accept(lake, one, who=who, reason=reason)) for one in open_verdicts]


def verdicts_of(project: Project, name: str, dt: str, *, model: bool = False) -> list[Verdict]:
    """The verdicts on the present data of a day, causes first."""
    lake = Lake(project.lake_root)
    verdicts = [verdict_on(lake, scope, table, dt) for scope, table in _tables(project, name, model=model)]
    return [one for one in verdicts if one is not None]


def _tables(project: Project, name: str, *, model: bool) -> Iterator[tuple[str, str]]:
    is_experiment = name in project.experiments
    if model and is_experiment:
        yield name, MODEL_VERDICT
    if model:
        return
    dataset = project.dataset_of(name).dataset if is_experiment else name
    yield from ((dataset, table) for table in _OF_DATASET)
    yield from ((name, table) for table in _OF_EXPERIMENT if is_experiment)


def _nothing_open(project: Project, name: str, dt: str, *, model: bool) -> UsageError:
    lake = Lake(project.lake_root)
    tables = list(_tables(project, name, model=model))
    known = sorted({day for scope, table in tables for day in lake.partitions(scope, table)})
    days = [day for day in known if any(one.failed for one in verdicts_of(project, name, day, model=model))]
    return UsageError(
        f"{name}: nothing is open on {dt} (days with an open finding: {', '.join(days[-10:]) or 'none'})",
        why="an acceptance without a finding would hide the next one",
        remedy=f"ok-ml checks {name} lists what is open; a day whose data have changed is judged again by ok-ml run",
    )
