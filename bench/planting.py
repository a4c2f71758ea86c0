"""Faults planted in the raw log of one day of a simulated world, and what the checks say of that day.

A fault is an incident of the world's configuration: the day is exported again with it and goes through the same mapping,
snapshots and numbers as any day. One kind hits what is made, not what is read: lists of some users are empty.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from bench.calibration.cheap_lists import LightModel
from bench.calibration.quiet_worlds import QuietWorld, Watched
from ok_ml import columns as c
from ok_ml.config.models import Incident
from ok_ml.errors import EmptyPartition
from ok_ml.monitoring.judges.series_watch import judged_numbers
from ok_ml.quality.bands.daily_bands import Deviation, judge_day
from ok_ml.quality.statistics.number_series import Name, Number

if TYPE_CHECKING:
    from ok_ml.quality.ranking.prediction_statistics import PartLists

INGEST: Final = "ingest"  # refuses a day without a usable row: that is how it is noticed
_HISTORY: Final = 42  # days before the one that is hit


@dataclass(frozen=True)
class Fault:
    """One of the twenty kinds at its stated size.

    Attributes
    ----------
    kind
        Of `world.incidents`; empty: hits the lists.
    said
        Its size in words.
    """

    name: str
    kind: str
    size: float
    said: str


FAULTS: Final = (
    Fault("shift", "offset", 0.3, "time spent + 0.3 standard deviations"),
    Fault("scale", "scale", 1.2, "time spent x 1.2"),
    Fault("null burst", "null_burst", 0.03, "3 points of nulls in the time spent"),
    Fault("constant", "constant", 1.0, "time spent constant at its median"),
    Fault("swapped columns", "swapped", 1.0, "position and time spent swapped"),
    Fault("unit change", "unit", 1.0, "time spent in seconds, not milliseconds"),
    Fault("duplicated day", "repeated_day", 1.0, "yesterday's rows under today's date"),
    Fault("missing day", "missing", 1.0, "no row"),
    Fault("late day", "late", 0.15, "15 % of the rows a day late"),
    Fault("truncated day", "truncated", 0.15, "the last 15 % of the rows missing"),
    Fault("new category", "new_category", 0.15, "an unknown content type in 15 % of the rows"),
    Fault("dead category", "dead_category", 1.0, "no comments"),
    Fault("id shift", "id_shift", 0.1, "other ids of 10 % of the users"),
    Fault("clock shift", "clock", 3.0, "all times 3 hours late"),
    Fault("outliers", "outliers", 0.01, "time spent x 50 in 1 % of the rows"),
    Fault("sign flip", "sign_flip", 0.15, "time spent negative in 15 % of the rows"),
    Fault("stale join", "stale_join", 1.0, "yesterday's snapshot of subscriptions"),
    Fault("popularity collapse", "collapse", 0.15, "15 % of the rows name the largest source"),
    Fault("label leak", "leak", 0.15, "position 0 for 15 % of the impressions with a reaction"),
    Fault("empty predictions", "", 0.1, "empty lists for 10 % of the users"),
)


@dataclass(frozen=True)
class Outcome:
    """What was seen of one planted fault on its day.

    Attributes
    ----------
    check
        The table of numbers whose band it left, or the step that refused the day; the one with the worst score.
    score
        Of the worst number; infinite where a step refused the day.
    """

    fault: str
    seed: int
    day: int
    noticed: bool
    check: str
    score: float
    metric: str


class Exam:
    """One world whose days are hit one after the other; each is as it was again after its fault."""

    def __init__(self, world: QuietWorld) -> None:
        self.world = world
        self.watched: Watched = world.live(features=False, keep=True)

    def outcomes(self, days: Sequence[int], limit: float, faults: Sequence[Fault] = FAULTS) -> Iterator[Outcome]:
        """Every fault on every day."""
        for day in days:
            for fault in faults:
                yield self._outcome(fault, day, limit)
            self._export(day, ())
            self._ingest(day)

    def _outcome(self, fault: Fault, day: int, limit: float) -> Outcome:
        found: tuple[str, Deviation | None]
        try:
            found = self._worst(fault, day, limit)
        except EmptyPartition:
            return Outcome(fault.name, self.watched.seed, day, noticed=True, check=INGEST, score=np.inf, metric="rows")
        table, worst = found
        score = abs(worst.band.score) if worst else 0.0
        metric = str(worst.name) if worst else ""
        return Outcome(fault.name, self.watched.seed, day, score > limit, table, score, metric)

    def _worst(self, fault: Fault, day: int, limit: float) -> tuple[str, Deviation | None]:
        """The table with the worst number of the day, and that number."""
        if fault.kind:
            self._export(day, (Incident.model_validate({"day": day, "kind": fault.kind, "size": fault.size}),))
            self._ingest(day)
            dt = self.world.dts[day]
            numbers = {
                c.EVENT_STATISTICS: self.world.log_numbers(dt),
                c.PRODUCT_METRICS: self.world.product_numbers(dt),
            }
        else:
            numbers = {c.PREDICTION_STATISTICS: self._emptied(fault.size, day)}
        judged = [(table, one) for table, found in numbers.items() for one in self._judge(table, day, found, limit)[:1]]
        return max(judged, key=lambda pair: abs(pair[1].band.score), default=("", None))

    def _judge(self, table: str, day: int, numbers: Sequence[Number], limit: float) -> list[Deviation]:
        dts = self.world.dts
        days = self.watched.series[table]
        history = {dt: days[dt] for dt in dts[max(day - _HISTORY, 0) : day] if dt in days}
        today: dict[Name, Number] = {one.name: one for one in numbers}
        return judge_day(history, dts[day], judged_numbers(table, today), limit=limit)

    def _emptied(self, share: float, day: int) -> list[Number]:
        """The numbers of a day's lists if those of a share of the users were empty."""
        dts = self.world.dts
        model = LightModel(self.world.lake, self.world.dataset)
        model.fit(dts[day - day % 7])
        model.before = model.lists(dts[day - 1])
        lists = model.lists(dts[day])
        return model.numbers_of(dts[day], _without(lists, share, self.watched.seed))

    def _export(self, day: int, incidents: tuple[Incident, ...]) -> None:
        from ok_ml.world.log.raw_log import export_days
        from ok_ml.world.population.network import World

        config = self.world.simulated.model_copy(update={"incidents": incidents})
        world = World(config, self.world.dataset.parts)
        export_days(world, self.world.lake, self.world.dataset.dataset, [self.world.dts[day]], workers=1)

    def _ingest(self, day: int) -> None:
        from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots
        from ok_ml.datasets.canonical.ingest import ingest_events

        dts, root = [self.world.dts[day]], Path(self.world.folder)
        ingest_events(self.world.dataset, self.world.lake, dts, root=root)
        build_snapshots(self.world.dataset, self.world.lake, dts, root=root)


def _without(lists: "PartLists", share: float, seed: int) -> "PartLists":
    """The lists with those of a share of the users emptied."""
    hit = np.random.default_rng(seed).random(len(lists.user_ids)) < share
    return replace(
        lists,
        lists=np.where(hit[:, None], -1, lists.lists),
        scores=np.where(hit[:, None], np.float32(np.nan), lists.scores),
        reasons=np.where(hit[:, None], np.int8(-1), lists.reasons),
    )
