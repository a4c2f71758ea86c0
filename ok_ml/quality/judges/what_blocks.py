"""What blocks the publication of an experiment, first cause first, stated in one sentence, the same everywhere.

Read from the verdicts and acceptances in the lake alone, so that commands, sensors and the service's pages say the same.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from ok_ml import columns as c
from ok_ml.lake import Lake
from ok_ml.partitions import run_start
from ok_ml.quality.judges.verdicts import (
    BLOCKING,
    DECLARED_VERDICT,
    EVENT_VERDICT,
    FEATURE_VERDICT,
    LISTS_VERDICT,
    MODEL_VERDICT,
    Verdict,
    verdict_on,
)

if TYPE_CHECKING:
    from ok_ml.config.models import Project

DAYS_SHOWN: Final = 60


def feature_window_days(project: "Project", experiment: str) -> int:
    """The longest window of an experiment's features, days."""
    return project.experiments[experiment].feature_days


def of_features(project: "Project", experiment: str, dt: str) -> list[Verdict]:
    """What blocks the features of a day: the numbers of its log, the rules of its log, then they themselves.

    An earlier day that blocks is left out of their windows, so it blocks only itself.
    """
    lake, dataset = Lake(project.lake_root), project.dataset_of(experiment).dataset
    places = ((dataset, EVENT_VERDICT), (dataset, DECLARED_VERDICT), (experiment, FEATURE_VERDICT))
    return [one for scope, table in places if (one := _blocking(lake, scope, table, dt)) is not None]


def open_blocks(project: "Project", experiment: str) -> list[Verdict]:
    """Everything that blocks the publication of an experiment now, first cause first."""
    lake, dataset = Lake(project.lake_root), project.dataset_of(experiment).dataset
    days = {*lake.partitions(dataset, c.EVENTS)[-1:], *lake.partitions(experiment, FEATURE_VERDICT)[-1:]}
    upstream = [one for dt in days for one in of_features(project, experiment, dt)]
    upstream.sort(key=lambda one: (one.scope != dataset, BLOCKING.index(one.table), one.dt))
    return [*upstream, *_of_lists_and_model(lake, experiment)]


def _of_lists_and_model(lake: Lake, experiment: str) -> Iterator[Verdict]:
    for table in (LISTS_VERDICT, MODEL_VERDICT):
        for dt in lake.partitions(experiment, table)[-1:]:
            block = _blocking(lake, experiment, table, dt)
            if block is not None:
                yield block


def _blocking(lake: Lake, scope: str, table: str, dt: str) -> Verdict | None:
    """The verdict on a day, if something that blocks is open."""
    found = verdict_on(lake, scope, table, dt)
    return found if found is not None and found.blocks else None


# -- one sentence ------------------------------------------------------------------------------------------------------


def way_out(block: Verdict, dataset: str) -> str:
    """The commands after which a block is gone, the one that releases it first."""
    if block.table == MODEL_VERDICT:
        return f"{block.command} and ok-ml run {block.scope}"
    return f"{block.command} if the change is real, or ok-ml repair {dataset} {block.dt} once its data are corrected"


def story(project: "Project", experiment: str) -> str | None:
    """Since when publication is blocked, because of what, what is served, and the command to go on; None if nothing blocks."""
    found = open_blocks(project, experiment)
    if not found:
        return None
    lake, first = Lake(project.lake_root), found[0]
    serving = served_day(lake, experiment)
    return (
        f"{experiment}: publication blocked since {_since(lake, first)} because of {first.cause}; serving {serving};"
        f" to go on: {way_out(first, project.dataset_of(experiment).dataset)}"
    )


def stories(project: "Project") -> dict[str, str]:
    """Experiment -> its sentence, of those that are blocked."""
    told = {name: story(project, name) for name in sorted(project.experiments)}
    return {name: text for name, text in told.items() if text is not None}


def served_day(lake: Lake, experiment: str) -> str:
    """The last day of data in what is served, also after a rollback."""
    known = lake.partitions(experiment, c.LIVE_HISTORY)
    return str(lake.manifest(experiment, c.LIVE_HISTORY, known[-1]).details["data_dt"]) if known else "nothing yet"


def _since(lake: Lake, block: Verdict) -> str:
    """First day of the unbroken run of days that the same verdict holds back."""
    earlier = [dt for dt in lake.partitions(block.scope, block.table) if dt < block.dt][::-1]
    return run_start(block.dt, earlier, lambda dt: _blocking(lake, block.scope, block.table, dt) is not None)


def blocked_dts(project: "Project", scope: str, *, days: int = DAYS_SHOWN) -> frozenset[str]:
    """Those of the newest days of a dataset or an experiment that are blocked: their log, their features or their lists."""
    lake, is_dataset = Lake(project.lake_root), scope not in project.experiments
    dataset = scope if is_dataset else project.dataset_of(scope).dataset
    tables = [(dataset, DECLARED_VERDICT), (dataset, EVENT_VERDICT)]
    tables += [] if is_dataset else [(scope, FEATURE_VERDICT), (scope, LISTS_VERDICT)]
    return frozenset(
        dt
        for of, table in tables
        for dt in lake.partitions(of, table)[-days:]
        if _blocking(lake, of, table, dt) is not None
    )
