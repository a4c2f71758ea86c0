"""From when on a day may block, and which days of the log do.

What came in before anything was served is the past: it is reported on and blocks nothing, since there is nothing yet that could be
protected. From the first day after it on, days are judged by limits of known origin: calibrated on quiet worlds, or on the
log's own past once that is long enough.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ok_ml import columns as c
from ok_ml.config.calibration import calibration_of, own_calibration
from ok_ml.config.models import DatasetBase, Project
from ok_ml.lake import Lake
from ok_ml.partitions import minus_days
from ok_ml.quality.judges.acceptance import acceptances_of
from ok_ml.quality.judges.verdicts import DECLARED_VERDICT, EVENT_VERDICT, FEATURE_VERDICT, verdict_on

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
            verdict = verdict_on(lake, scope, table, dt)
            if verdict is not None and verdict.blocks:
                headlines.setdefault(dt, verdict.headline)
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
    verdicts = {dt: verdict_on(lake, experiment, FEATURE_VERDICT, dt) for dt in filter(armed.blocks_on, dts)}
    return {dt for dt, one in verdicts.items() if one is not None and one.blocks}
