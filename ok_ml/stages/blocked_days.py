"""From when on a day may block, which days do, and what blocks the publication of an experiment: by the verdicts in the lake alone.

What came in before anything was served is the past: it is reported on and blocks nothing, since there is nothing yet that could be
protected. From the first day after it on, days are judged by limits of known origin: calibrated on quiet worlds, or on the
log's own past once that is long enough.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ok_ml import columns as c
from ok_ml.config.calibration import calibration_of, own_calibration
from ok_ml.config.models import DatasetBase, Project
from ok_ml.lake import Lake
from ok_ml.partitions import minus_days, run_start
from ok_ml.quality.judges.acceptance import acceptances_of
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

DAYS_SHOWN: Final = 60
LEAST_PAST_DAYS: Final = 60  # below which no tail of a log's own past can be estimated
NEVER: Final = "9999-12-31"
_RACY_SECONDS: Final = 0.1  # a folder that changed so lately may change again within the same tick of its clock


@dataclass(frozen=True)
class Armed:
    """Which days may block.

    Attributes
    ----------
    after
        Days up to this one never block; empty: every day may.
    why
        Why not, for people.
    """

    after: str = ""
    why: str = ""

    def blocks_on(self, dt: str) -> bool:
        """Whether a fault of a day may keep it from what is served."""
        return dt > self.after


ALWAYS: Final = Armed()
ONLY_TELLS: Final = Armed(NEVER, "nothing hangs on these numbers")


def first_served(lake: Lake, experiment: str) -> str | None:
    """The last day of data in the first generation that ever went live; None before that."""
    known = lake.partitions(experiment, c.LIVE_HISTORY)
    return str(lake.manifest(experiment, c.LIVE_HISTORY, known[0]).details["data_dt"]) if known else None


def experiment_guard(lake: Lake, experiment: str) -> Armed:
    """Of the features and the lists of an experiment."""
    served = first_served(lake, experiment)
    if served is None:
        return Armed(NEVER, f"nothing of {experiment} is served yet that could be protected")
    return Armed(served, f"{served} and before are the past that its first generation was made from")


def declared_guard(project: Project, dataset: DatasetBase, lake: Lake) -> Armed:
    """Of what the YAML of a dataset asks of its days."""
    first = [served for name in readers(project, dataset) if (served := first_served(lake, name)) is not None]
    if not first:
        return Armed(NEVER, f"nothing made from {dataset.dataset} is served yet that could be protected")
    return Armed(min(first), f"{min(first)} and before are the past that the first generation was made from")


def bands_guard(project: Project, dataset: DatasetBase, lake: Lake) -> Armed:
    """Of the numbers of a log: besides, their limit must have an origin."""
    declared = declared_guard(project, dataset, lake)
    if any(calibration_of(project.root, name) is not None for name in readers(project, dataset)):
        return declared
    own = own_calibration(project, dataset.dataset)
    if own is not None:
        return Armed(
            max(declared.after, own.upto), declared.why if declared.after > own.upto else _SINCE.format(own.upto)
        )
    days = lake.partitions(dataset.dataset, dataset.kind)
    wanting = LEAST_PAST_DAYS - len(days)
    start = minus_days(days[-1], -wanting) if days and wanting > 0 else "the next one"
    return Armed(
        NEVER,
        f"{len(days)} days are too short a past to tell a fault from chance; from about {start} on a fault blocks",
    )


_SINCE: Final = "the limit was calibrated on the days up to {}"


def readers(project: Project, dataset: DatasetBase) -> list[str]:
    """The experiments that read a dataset."""
    return sorted(name for name, config in project.experiments.items() if config.dataset == dataset.dataset)


def feature_window_days(project: Project, experiment: str) -> int:
    """The longest window of an experiment's features, days."""
    return project.experiments[experiment].feature_days


# -- days of the log that block ------------------------------------------------------------------------------------


def blocked_log(lake: Lake, scope: str) -> dict[str, str]:
    """Day -> headline, of every day of a dataset's log that blocks, by its bands or by what its YAML declares.

    Nothing is learnt from such a day and no window holds it, until it is repaired or accepted.
    """
    folders = [lake.root / scope / table / "_committed" for table in _tables()]
    stamp = tuple(folder.stat().st_mtime_ns if folder.is_dir() else 0 for folder in folders)
    known = _KEPT.get(lake.root / scope)
    if known is not None and known[0] == stamp:
        return known[1]
    headlines: dict[str, str] = {}
    for table in (EVENT_VERDICT, DECLARED_VERDICT):
        for dt in lake.partitions(scope, table):
            if (block := _blocking(lake, scope, table, dt)) is not None:
                headlines.setdefault(dt, block.headline)
    if time.time_ns() - max(stamp, default=0) > _RACY_SECONDS * 1e9:
        _KEPT[lake.root / scope] = (stamp, headlines)
    return headlines


_KEPT: Final[dict[Path, tuple[tuple[int, ...], dict[str, str]]]] = {}


def _tables() -> list[str]:
    verdicts = [EVENT_VERDICT, DECLARED_VERDICT]
    return [c.EVENTS, c.EVENT_STATISTICS, *verdicts, *map(acceptances_of, verdicts)]


def blocked_features(lake: Lake, experiment: str, dts: Sequence[str]) -> set[str]:
    """Those of some days whose own features block, as they are now."""
    armed = experiment_guard(lake, experiment)
    return {dt for dt in filter(armed.blocks_on, dts) if _blocking(lake, experiment, FEATURE_VERDICT, dt) is not None}


# -- what blocks publication, first cause first --------------------------------------------------------------------


def of_features(project: Project, experiment: str, dt: str) -> list[Verdict]:
    """What blocks the features of a day: the numbers of its log, the rules of its log, then they themselves.

    An earlier day that blocks is left out of their windows, so it blocks only itself.
    """
    lake, dataset = Lake(project.lake_root), project.dataset_of(experiment).dataset
    places = ((dataset, EVENT_VERDICT), (dataset, DECLARED_VERDICT), (experiment, FEATURE_VERDICT))
    return [one for scope, table in places if (one := _blocking(lake, scope, table, dt)) is not None]


def open_blocks(project: Project, experiment: str) -> list[Verdict]:
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
    verdict = verdict_on(lake, scope, table, dt)
    return verdict if verdict is not None and verdict.blocks else None


# -- one sentence ------------------------------------------------------------------------------------------------------


def way_out(block: Verdict, dataset: str) -> str:
    """The commands after which a block is gone, the one that releases it first."""
    if block.table == MODEL_VERDICT:
        return f"{block.command} and ok-ml run {block.scope}"
    return f"{block.command} if the change is real, or ok-ml repair {dataset} {block.dt} once its data are corrected"


def story(project: Project, experiment: str) -> str | None:
    """Since when publication is blocked, because of what, what is served, and the command to go on; None if nothing blocks."""
    blocks = open_blocks(project, experiment)
    if not blocks:
        return None
    lake, first = Lake(project.lake_root), blocks[0]
    serving = served_day(lake, experiment)
    return (
        f"{experiment}: publication blocked since {_since(lake, first)} because of {first.cause}; serving {serving};"
        f" to go on: {way_out(first, project.dataset_of(experiment).dataset)}"
    )


def stories(project: Project) -> dict[str, str]:
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


def blocked_dts(project: Project, scope: str, *, days: int = DAYS_SHOWN) -> frozenset[str]:
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
