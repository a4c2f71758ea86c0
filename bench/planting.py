"""Faults planted in the raw log of one day of a simulated world, and what the checks say of that day.

A fault is an incident of the world's configuration: the day is exported again with it and goes through the same mapping,
snapshots and numbers as any day. One kind hits what is made, not what is read: lists of some users are empty.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from bench.calibration.cheap_lists import list_numbers
from bench.calibration.quiet_scores import Seen, scans_of, seen_on
from bench.calibration.quiet_worlds import QuietWorld, Watched
from ok_ml import columns as c
from ok_ml.config.models import Incident
from ok_ml.errors import EmptyPartition
from ok_ml.quality.statistics.number_series import Number

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
    def is_grave(self) -> bool:
        """Whether a model that learns from the day, or serves from it, would learn more from the fault than from people."""
        return self.wrong >= GRAVE_SHARE


GRAVE_SHARE: Final = 0.5  # half of a day
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
    series
        Table -> the numbers of the day; none where a step refused it.
    """

    fault: Fault
    seed: int
    day: int
    blocked: bool
    noticed: bool
    check: str = ""
    score: float = 0.0
    metric: str = ""
    series: "Mapping[str, Sequence[Number]]" = field(default_factory=dict, repr=False)


class Exam:
    """One world whose days are hit one after the other; each is as it was again after its fault."""

    def __init__(self, world: QuietWorld) -> None:
        self.world = world
        self.watched: Watched = world.live(features=False, keep=True)
        self.scans = scans_of(self.watched.series, self.watched.regimes, world.dataset, world.checks)

    def outcomes(self, days: Sequence[int], limit: float, faults: Sequence[Fault] = FAULTS) -> Iterator[Outcome]:
        """Every fault on every day."""
        for day in days:
            for fault in faults:
                yield self._outcome(fault, day, limit)
            self._deliver(day)

    def _outcome(self, fault: Fault, day: int, limit: float) -> Outcome:
        seed = self.watched.seed
        try:
            numbers = self._numbers(fault, day)
        except EmptyPartition:
            return Outcome(fault, seed, day, blocked=True, noticed=True, check=INGEST, score=np.inf, metric="rows")
        seen = self.seen(day, numbers, limit)
        blocked, noticed = any(one.blocks for _, one in seen), bool(seen)
        check, worst = max(seen, key=lambda pair: (pair[1].blocks, pair[1].score), default=("", Seen("", 0.0)))
        return Outcome(fault, seed, day, blocked, noticed, check, worst.score, worst.metric, numbers)

    def seen(self, day: int, numbers: "Mapping[str, Sequence[Number]]", limit: float) -> list[tuple[str, Seen]]:
        """What the checks say of such numbers of a day."""
        world = self.world
        return [*seen_on(self.watched, self.scans, world.dts[day], numbers, world.dataset, world.checks, limit)]

    def _numbers(self, fault: Fault, day: int) -> "Mapping[str, Sequence[Number]]":
        """The numbers of a day with a fault, by table."""
        dt = self.world.dts[day]
        if fault.kind:
            self._deliver(day, Incident.model_validate({"day": day, "kind": fault.kind, "size": fault.size}))
            return self.world.numbers(dt, self.watched.served[dt])
        lists = _without(self.watched.lists[dt], fault.size, self.watched.seed)
        before = self.watched.lists[self.world.dts[day - 1]]
        return {c.PREDICTION_STATISTICS: list_numbers(self.world.lake, self.world.dataset.dataset, dt, lists, before)}

    def _deliver(self, day: int, *incidents: Incident) -> None:
        from ok_ml.world.population.network import World

        dt, config = self.world.dts[day], self.world.simulated.model_copy(update={"incidents": incidents})
        self.world.deliver(dt, self.watched.served[dt], World(config, self.world.dataset.parts))


def _without(lists: "PartLists", share: float, seed: int) -> "PartLists":
    """The lists with those of a share of the users emptied."""
    hit = np.random.default_rng(seed).random(len(lists.user_ids)) < share
    return replace(
        lists,
        lists=np.where(hit[:, None], -1, lists.lists),
        scores=np.where(hit[:, None], np.float32(np.nan), lists.scores),
        reasons=np.where(hit[:, None], np.int8(-1), lists.reasons),
    )
