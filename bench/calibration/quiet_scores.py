"""What production's checks say of days: of every day of a quiet world or of a past, and of one day with a fault.

The functions that judge are those of production (`replay`), so a day teaches a band here as it does there. Which days are odd is
decided at the built-in limit, since the calibrated one is what is looked for.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from bench.calibration.quiet_worlds import DECLARED, Days, Watched
from ok_ml import columns as c
from ok_ml.config.calibration import DEFAULT_LIMIT, Limit
from ok_ml.config.models import DatasetConfig
from ok_ml.config.sections.recommender_models import ListChecks
from ok_ml.monitoring.judges import limit_fitting as fit
from ok_ml.monitoring.judges.expected_values import judge_watch, online_watches, product_watches
from ok_ml.monitoring.judges.limit_fitting import DayScore, scores_of, worst_of_each_day
from ok_ml.monitoring.judges.replay import Scan, scan, scan_watched
from ok_ml.monitoring.judges.series_watch import judge_series
from ok_ml.partitions import minus_days
from ok_ml.quality.bands.blocking_deviations import is_blocking
from ok_ml.quality.bands.daily_bands import HISTORY_DAYS, Deviation
from ok_ml.quality.statistics.number_series import Name, Number
from ok_ml.ranked_lists.list_statistics import limits_of
from ok_ml.stages.prediction_kind import Limit as ListLimit

ASKED_A_YEAR: Final = 1.0  # false alarms of a model with all its checks
DRIFT: Final = "feature_drift"
LISTS: Final = "limits_of_lists"
STATED: Final = 0.5  # limit of the checks whose limits are stated in the configuration: they score 1 for an alarm
_BUILT_IN: Final = Limit(DEFAULT_LIMIT, "built-in default")
_STATED_OF: Final = {
    c.PRODUCT_METRICS: "product_metrics, first numbers",
    c.ONLINE_METRICS: "online_metrics, first numbers",
}
# What each check is, and what is not in the rate and why: part of the report.
COVERED: Final[Mapping[str, str]] = {
    c.EVENT_STATISTICS: "bands of the log, on both sides",
    c.PRODUCT_METRICS: "bands of what people did, in the wrong direction",
    _STATED_OF[c.PRODUCT_METRICS]: "the same of the first numbers, at checks.product_fall",
    c.PREDICTION_STATISTICS: "bands of the lists of a light model, on both sides",
    c.ONLINE_METRICS: "bands of what the served lists earn, in the wrong direction",
    _STATED_OF[c.ONLINE_METRICS]: "the same of the first numbers, at checks.online.fall, from the third served day on",
    LISTS: "checks.predictions, the declared limits of the lists",
    DECLARED: "the declared rules of the dataset's YAML, and the share of rows set aside",
    DRIFT: "PSI beyond psi_block against the week's reference; a block asks for more, so this is an upper bound of its blocks",
}
NOT_COVERED: Final[Mapping[str, str]] = {
    c.EMBEDDING_STATISTICS: "no check judges them; they are shown, and retrieval is judged by the lists",
    "drift beyond psi_warn": "it triggers a training and alerts no one",
    "freshness, parity, failed runs": "they hang on processes, which a simulated world has none of",
    "the trained ranker": "lists are those of a light model: numbers of the scores are not judged by bands in production either",
}


@dataclass(frozen=True)
class Scores:
    """Scores of days.

    Attributes
    ----------
    bands
        Of the checks that have the calibrated limit: the worst of each day and table.
    stated
        Of the checks with limits of their own: 1 for an alarm, else no entry.
    """

    bands: list[DayScore]
    stated: list[DayScore]

    @property
    def worlds(self) -> list[int]:
        """Seeds of the worlds."""
        return sorted({one.world for one in self.bands})

    def of(self, worlds: Collection[int]) -> "Scores":
        """Those of some worlds."""
        return Scores(*([one for one in some if one.world in worlds] for some in (self.bands, self.stated)))

    @classmethod
    def joined(cls, some: "Sequence[Scores]") -> "Scores":
        """Those of several worlds together."""
        return cls([one for scores in some for one in scores.bands], [one for scores in some for one in scores.stated])


def pick_limit(scores: Scores, asked_a_year: float) -> float:
    """The limit of the bands for a rate of alarms, of which checks with limits of their own use up their part."""
    others = sum(alarms_of(scores, np.inf).values()) / fit.years_of(scores.bands)
    return fit.pick_limit(scores.bands, asked_a_year, others)


def alarms_of(scores: Scores, limit: float, *, blocking: bool = False) -> dict[str, int]:
    """Check -> alarms in some days, also of those that had none; `blocking`: only what blocks."""
    found = fit.alarms(scores.bands, limit, blocking=blocking)
    return dict.fromkeys(COVERED, 0) | found | fit.alarms(scores.stated, STATED, blocking=blocking)


def scans_of(
    series: Mapping[str, Days], regimes: Mapping[str, str], dataset: DatasetConfig, checks: ListChecks | None
) -> dict[str, Scan]:
    """Table -> its days as their checks judge them, in their order; online metrics only where `checks` watches them."""
    log = scan(c.EVENT_STATISTICS, series[c.EVENT_STATISTICS], regimes)
    found = {c.EVENT_STATISTICS: log}
    for table, days in series.items():
        if table == c.PRODUCT_METRICS:
            found[table] = scan_watched(product_watches(dataset.checks, _BUILT_IN), days, log.odd)
        elif table == c.ONLINE_METRICS and checks is not None:
            found[table] = scan_watched(online_watches(checks.online, _BUILT_IN), days, log.odd)
        elif table not in (c.EVENT_STATISTICS, c.ONLINE_METRICS, DECLARED):
            found[table] = scan(table, days)
    return found


def scores_of_scans(scans: Mapping[str, Scan], dts: Collection[str], world: int = 0) -> Scores:
    """The scores of some days of the tables that were judged."""
    bands = [one for table, seen in scans.items() for one in scores_of(table, seen, dts, world)]
    stated = [
        DayScore(world, _STATED_OF[table], dt, 1.0, metric)
        for table, seen in scans.items()
        for dt, metric in seen.stated.items()
        if dt in dts
    ]
    return Scores(worst_of_each_day(bands), stated)


def scores_of_world(watched: Watched, dataset: DatasetConfig, checks: ListChecks) -> Scores:
    """The scores of the days on which lists were served."""
    dts, seed = sorted(watched.regimes), watched.seed
    scores = scores_of_scans(scans_of(watched.series, watched.regimes, dataset, checks), {*dts}, seed)
    lists, rules = watched.series[c.PREDICTION_STATISTICS], watched.series[DECLARED]
    seen = [(DECLARED, dt, one) for dt in dts for one in seen_by_rules(rules[dt])]
    seen += [
        (LISTS, dt, one)
        for before, dt in pairwise(sorted(lists))
        for one in seen_by_limits(checks, lists[dt], lists[before])
    ]
    seen += [(DRIFT, dt, Seen(one.feature, 1.0, blocks=True)) for dt, one in watched.drift.items() if one.blocks]
    stated = [DayScore(seed, check, dt, one.score, one.metric, float(one.blocks)) for check, dt, one in seen]
    return Scores(scores.bands, [*scores.stated, *stated])


@dataclass(frozen=True)
class Seen:
    """A number that is beyond its limit.

    Attributes
    ----------
    score
        Of a band; 1 of a check with a limit of its own.
    """

    metric: str
    score: float
    blocks: bool = False


def seen_by_rules(numbers: Mapping[Name, Number]) -> list[Seen]:
    """Declared rules that a day breaks."""
    return [Seen(f"rules that {name.group}", 1.0, name.group == "block") for name, one in numbers.items() if one.value]


def seen_by_limits(checks: ListChecks, today: Mapping[Name, Number], served: Mapping[Name, Number]) -> list[Seen]:
    """Limits of the lists that hold back a day's lists while others are served: see `judge_limits`."""

    def breaks(limit: ListLimit, numbers: Mapping[Name, Number]) -> bool:
        one = numbers.get(Name(limit.metric))
        return one is not None and not limit.holds(one.value)

    return [
        Seen(limit.metric, 1.0, blocks=not limit.warns)
        for limit in limits_of(checks.predictions)
        if breaks(limit, today) and not (limit.as_served and breaks(limit, served))
    ]


def judged_on(
    watched: Watched,
    scans: Mapping[str, Scan],
    dt: str,
    numbers: Mapping[str, Sequence[Number]],
    dataset: DatasetConfig,
    checks: ListChecks,
    limit: float,
) -> Iterator[tuple[str, float, Deviation]]:
    """Numbers of a day of a quiet world with their bands: (check, score in a direction that is wrong, number).

    Parameters
    ----------
    scans
        The world's days as they were judged: `scans_of`.
    numbers
        Table -> the numbers that the day has instead of its own; those without a band are passed over.
    limit
        Of the bands.
    """
    calibrated = Limit(limit, "of the bands")
    watches = {
        c.PRODUCT_METRICS: product_watches(dataset.checks, calibrated),
        c.ONLINE_METRICS: online_watches(checks.online, calibrated),
    }
    for table in [table for table in numbers if table in scans]:
        days = days_until(watched, table, dt) | {dt: {one.name: one for one in numbers[table]}}
        if table in watches:
            leave_out = {*scans[table].odd, *scans[c.EVENT_STATISTICS].odd}
            for check, watch in zip((_STATED_OF[table], table), watches[table], strict=True):
                yield from ((check, watch.worse(one), one) for one in judge_watch(watch, watch.of(days), dt, leave_out))
        else:
            regimes = watched.regimes if table == c.EVENT_STATISTICS else None
            judged = judge_series(table, days, dt, calibrated, odd=scans[table].odd, regimes=regimes)
            yield from ((table, abs(one.band.score), one) for one in judged)


def days_until(watched: Watched, table: str, dt: str) -> dict[str, dict[Name, Number]]:
    """The days of a table that a day is compared with."""
    first = minus_days(dt, 2 * HISTORY_DAYS)
    return {day: numbers for day, numbers in watched.series[table].items() if first <= day < dt}


def seen_on(
    watched: Watched,
    scans: Mapping[str, Scan],
    dt: str,
    numbers: Mapping[str, Sequence[Number]],
    dataset: DatasetConfig,
    checks: ListChecks,
    limit: float,
) -> Iterator[tuple[str, Seen]]:
    """What every check says of a day, (check, number beyond its limit); the parameters are those of `judged_on`."""
    for check, worse, one in judged_on(watched, scans, dt, numbers, dataset, checks, limit):
        if one.outside and worse > 0:
            yield check, Seen(str(one.name), worse, check == c.EVENT_STATISTICS and is_blocking(one))
    today = {table: {one.name: one for one in found} for table, found in numbers.items()}
    yield from ((DECLARED, one) for one in seen_by_rules(today.get(DECLARED, {})))
    if c.PREDICTION_STATISTICS in today:
        served = watched.series[c.PREDICTION_STATISTICS][minus_days(dt, 1)]
        yield from ((LISTS, one) for one in seen_by_limits(checks, today[c.PREDICTION_STATISTICS], served))
