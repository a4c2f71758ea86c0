"""Faults planted in the raw log of one day of a simulated world, and what the checks say of that day.

A fault is an incident of the world's configuration: the day is exported again with it and goes through the same mapping,
snapshots and numbers as any day. One kind hits what is made, not what is read: lists of some users are empty.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from bench.calibration.cheap_lists import list_numbers
from bench.calibration.quiet_scores import Seen, scans_of, seen_on
from bench.calibration.quiet_worlds import QuietWorld, Watched
from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, Incident
from ok_ml.config.sections.recommender_models import ListChecks
from ok_ml.errors import EmptyPartition
from ok_ml.monitoring.judges.replay import Scan
from ok_ml.partitions import minus_days
from ok_ml.quality.ranking.prediction_statistics import OVERLAP
from ok_ml.quality.statistics.number_series import Name, Number

if TYPE_CHECKING:
    from ok_ml.quality.ranking.prediction_statistics import PartLists

INGEST: Final = "ingest"  # refuses a day without a usable row: that is how it is noticed


@dataclass(frozen=True)
class Fault:
    """One of the twenty kinds at a stated size.

    Attributes
    ----------
    kind
        Of `world.incidents`; empty: hits the lists.
    said
        Its size in words.
    wrong
        Share of the day's rows, labels, users or lists that are gone, or hold something else than they should: another day,
        id or column, a constant, values at least ten times off.
    """

    name: str
    kind: str
    size: float
    said: str
    wrong: float

    @property
    def is_critical(self) -> bool:
        """Whether a model that learns from the day, or serves from it, would learn more from the fault than from people."""
        return self.wrong >= CRITICAL_SHARE


CRITICAL_SHARE: Final = 0.5  # half of a day
FAULTS: Final = (
    Fault("shift", "offset", 0.3, "time spent + 0.3 standard deviations", 0.0),
    Fault("shift", "offset", 20.0, "time spent + 20 standard deviations", 1.0),
    Fault("scale", "scale", 1.2, "time spent x 1.2", 0.0),
    Fault("scale", "scale", 10.0, "time spent x 10", 1.0),
    Fault("null burst", "null_burst", 0.03, "3 points of nulls in the time spent", 0.03),
    Fault("null burst", "null_burst", 0.6, "60 points of nulls in the time spent", 0.6),
    Fault("constant", "constant", 1.0, "time spent constant at its median", 1.0),
    Fault("swapped columns", "swapped", 1.0, "position and time spent swapped", 1.0),
    Fault("unit change", "unit", 1.0, "time spent in seconds, not milliseconds", 1.0),
    Fault("duplicated day", "repeated_day", 1.0, "yesterday's rows under today's date", 1.0),
    Fault("missing day", "missing", 1.0, "no row", 1.0),
    Fault("late day", "late", 0.15, "15 % of the rows a day late", 0.15),
    Fault("late day", "late", 0.6, "60 % of the rows a day late", 0.6),
    Fault("truncated day", "truncated", 0.15, "the last 15 % of the rows missing", 0.15),
    Fault("truncated day", "truncated", 0.6, "the last 60 % of the rows missing", 0.6),
    Fault("new category", "new_category", 0.15, "an unknown content type in 15 % of the rows", 0.15),
    Fault("new category", "new_category", 0.6, "an unknown content type in 60 % of the rows", 0.6),
    Fault("dead category", "dead_category", 1.0, "no comments", 0.09),  # of the reactions
    Fault("id shift", "id_shift", 0.1, "other ids of 10 % of the users", 0.1),
    Fault("id shift", "id_shift", 0.6, "other ids of 60 % of the users", 0.6),
    Fault("clock shift", "clock", 3.0, "all times 3 hours late", 0.15),  # of the rows pass midnight
    Fault("clock shift", "clock", 12.0, "all times 12 hours late", 0.7),
    Fault("outliers", "outliers", 0.01, "time spent x 50 in 1 % of the rows", 0.01),
    Fault("outliers", "outliers", 0.6, "time spent x 50 in 60 % of the rows", 0.6),
    Fault("sign flip", "sign_flip", 0.15, "time spent negative in 15 % of the rows", 0.15),
    Fault("sign flip", "sign_flip", 0.6, "time spent negative in 60 % of the rows", 0.6),
    Fault("stale join", "stale_join", 1.0, "yesterday's snapshot of subscriptions", 0.02),  # of the pairs changed since
    Fault("popularity collapse", "collapse", 0.15, "15 % of the rows name the largest source", 0.15),
    Fault("popularity collapse", "collapse", 0.6, "60 % of the rows name the largest source", 0.6),
    Fault("label leak", "leak", 0.15, "position 0 for 15 % of the impressions with a reaction", 0.15),
    Fault("label leak", "leak", 0.6, "position 0 for 60 % of the impressions with a reaction", 0.6),
    Fault("empty predictions", "", 0.1, "empty lists for 10 % of the users", 0.1),
    Fault("empty predictions", "", 0.6, "empty lists for 60 % of the users", 0.6),
)


@dataclass(frozen=True)
class Planted:
    """A fault in a day.

    Attributes
    ----------
    numbers
        Table -> the numbers of the day; None where a step refused the day.
    """

    fault: Fault
    dt: str
    numbers: "Mapping[str, Sequence[Number]] | None"


@dataclass(frozen=True)
class Outcome:
    """What was seen of one planted fault on its day.

    Attributes
    ----------
    blocked
        Whether a check blocked the day, or a step refused it.
    noticed
        Whether anything at least warned.
    check
        What blocked or warned: the table of numbers, the declared rules, or the step that refused the day.
    score
        Of the worst number; infinite where a step refused the day.
    """

    fault: Fault
    seed: int
    dt: str
    blocked: bool
    noticed: bool
    check: str = ""
    score: float = 0.0
    metric: str = ""


@dataclass(frozen=True)
class Sitting:
    """One world with its quiet days, as their checks judge them, and the faults that were planted in it.

    Attributes
    ----------
    growing
        Faults of growing size in the log of the same days, from sizes that no check can notice on.
    """

    dataset: DatasetConfig
    checks: ListChecks
    watched: Watched
    scans: dict[str, Scan]
    planted: list[Planted]
    growing: list[Planted]

    def outcomes(self, limit: float) -> Iterator[Outcome]:
        """What the checks say of each fault, with this limit of the bands."""
        for one in self.planted:
            seen = [(INGEST, Seen("rows", np.inf, blocks=True))]
            if one.numbers is not None:
                seen = self.seen(one.dt, one.numbers, limit)
            blocked = any(found.blocks for _, found in seen)
            check, worst = max(seen, key=lambda pair: (pair[1].blocks, pair[1].score), default=("", Seen("", 0.0)))
            yield Outcome(one.fault, self.watched.seed, one.dt, blocked, bool(seen), check, worst.score, worst.metric)

    def seen(self, dt: str, numbers: "Mapping[str, Sequence[Number]]", limit: float) -> list[tuple[str, Seen]]:
        """What the checks say of such numbers of a day."""
        return [*seen_on(self.watched, self.scans, dt, numbers, self.dataset, self.checks, limit)]


def sit(world: QuietWorld, days: Sequence[int]) -> Sitting:
    """Live a world, then hit its days with one fault after the other; each is as it was again afterwards."""
    watched = world.live(features=False, keep=True)
    planted = [one for day in days for one in _faults_of(world, watched, world.dts[day], day)]
    growing = [one for day in days for one in growing_faults_of(world, world.dts[day], watched.seed)]
    scans = scans_of(watched.series, watched.regimes, world.dataset, world.checks)
    return Sitting(world.dataset, world.checks, replace(watched, lists={}, served={}), scans, planted, growing)


def growing_faults_of(world: QuietWorld, dt: str, seed: int) -> Iterator[Planted]:
    """Every size of every growing fault in the log of a day."""
    from bench.calibration.growing_faults import faults_for
    from ok_ml.quality.statistics.event_statistics import event_statistics

    day = world.log_day(dt)
    for fault in faults_for(day.events):
        for size, broken in fault.days(day, seed):
            said = Fault(fault.name, "", size, f"{size:g} {fault.unit}", 0.0)
            yield Planted(said, dt, {c.EVENT_STATISTICS: event_statistics(broken)})


def _faults_of(world: QuietWorld, watched: Watched, dt: str, day: int) -> Iterator[Planted]:
    for fault in FAULTS:
        try:
            yield Planted(fault, dt, _numbers(world, watched, fault, dt, day))
        except EmptyPartition:
            yield Planted(fault, dt, None)
    _deliver(world, watched, dt)


def _numbers(world: QuietWorld, watched: Watched, fault: Fault, dt: str, day: int) -> "Mapping[str, Sequence[Number]]":
    """The numbers of a day with a fault, by table."""
    if fault.kind:
        _deliver(world, watched, dt, Incident.model_validate({"day": day, "kind": fault.kind, "size": fault.size}))
        return world.numbers(dt, watched.served[dt])
    lists, before = _without(watched.lists[dt], fault.size, watched.seed), watched.lists[minus_days(dt, 1)]
    same = Name(OVERLAP) in watched.series[c.PREDICTION_STATISTICS][dt]
    of = (world.lake, world.dataset.dataset, dt, lists, before)
    return {c.PREDICTION_STATISTICS: list_numbers(*of, same_model=same)}


def _deliver(world: QuietWorld, watched: Watched, dt: str, *incidents: Incident) -> None:
    from ok_ml.world.population.network import World

    config = world.simulated.model_copy(update={"incidents": incidents})
    world.deliver(dt, watched.served[dt], World(config, world.dataset.parts))


def _without(lists: "PartLists", share: float, seed: int) -> "PartLists":
    """The lists with those of a share of the users emptied."""
    hit = np.random.default_rng(seed).random(len(lists.user_ids)) < share
    return replace(
        lists,
        lists=np.where(hit[:, None], -1, lists.lists),
        scores=np.where(hit[:, None], np.float32(np.nan), lists.scores),
        reasons=np.where(hit[:, None], np.int8(-1), lists.reasons),
    )
