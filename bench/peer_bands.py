"""A peer beside the bands: statsforecast forecasts the same series, and its prediction intervals judge the same faults.

The peer (MSTL with a season of a week, AutoETS for the trend) gets every series that the bands judge, on the scale on which chance
has one size, and its standard deviation is never less than what sampling explains: without these two a series that was never
other than 0 would alarm at any level. Its limit is picked as ours is, from the same quiet days of the same worlds, for the same
rate of false alarms. What steps refuse, declared rules and limits of lists are neither's, and are left out on both sides.
"""

import json
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from bench.calibration.quiet_scores import ASKED_A_YEAR, Scores, days_until, judged_on
from bench.calibration.quiet_worlds import Watched
from bench.planting import Planted, Sitting
from bench.rows import Row
from ok_ml import columns as c
from ok_ml.monitoring.judges.limit_fitting import DayScore, pick_limit, worst_by_day
from ok_ml.monitoring.judges.series_watch import judged_numbers
from ok_ml.quality.bands.daily_bands import HISTORY_DAYS, matrix_of, sampling_floors, with_zeros
from ok_ml.quality.bands.scales import COUNT, SHARE, kinds_of, on_scale
from ok_ml.quality.ranking import online_ranking
from ok_ml.quality.statistics import product_statistics
from ok_ml.quality.statistics.number_series import Name, Number

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACKAGES: Final = ("statsforecast==2.1.1", "pandas<3", "pyarrow")
PYTHON_VARIABLE: Final = "OK_ML_BENCH_STATSFORECAST"  # an interpreter that has it already
PEER: Final = "statsforecast MSTL"
EVERY_DAYS: Final = 13  # of a quiet world, whose days are judged: all weekdays in turn
_LEAST_DAYS: Final = 28  # of a series that the peer forecasts: four weeks
TABLES: Final = (c.EVENT_STATISTICS, c.PRODUCT_METRICS, c.PREDICTION_STATISTICS, c.ONLINE_METRICS)
_DIRECTIONS: Final = {c.PRODUCT_METRICS: product_statistics.wrong_way, c.ONLINE_METRICS: online_ranking.wrong_way}


@dataclass(frozen=True)
class Day:
    """A day that both judge, and the numbers that it has: its own, or those of a fault."""

    watched: Watched
    dt: str
    numbers: Mapping[str, Sequence[Number]]

    @property
    def key(self) -> tuple[int, str]:
        """World and day: what is forecast once."""
        return self.watched.seed, self.dt


@dataclass(frozen=True)
class Past:
    """The series of a table before a day, and their forecasts.

    Attributes
    ----------
    names, kinds
        Of the series [s].
    values, floors
        On the scale where chance has one size, float64 [days, s]; the least standard deviations [s].
    mean, sd
        Of the forecasts [s]; those of a series that never moved are its value and 0.
    known
        All series of the days, also those with too few of them.
    """

    names: list[Name]
    kinds: "NDArray[np.int64]"
    values: "NDArray[np.float64]"
    floors: "NDArray[np.float64]"
    mean: "NDArray[np.float64]"
    sd: "NDArray[np.float64]"
    known: frozenset[Name]

    @property
    def metrics(self) -> set[str]:
        """Metrics of all series."""
        return {name.metric for name in self.known}

    @classmethod
    def of(cls, table: str, day: Day) -> "Past":
        """The last six weeks; `mean` and `sd` of the series that move are still unknown."""
        days = days_until(day.watched, table, day.dt)
        history = [judged_numbers(table, days[dt]) for dt in sorted(days)[-HISTORY_DAYS:]]
        names, values, n = matrix_of(history)
        kinds = kinds_of(names, values)
        moved = on_scale(with_zeros(names, values, kinds), n, kinds)
        judged = (~np.isnan(moved)).sum(axis=0) >= _LEAST_DAYS
        judged &= np.array([_direction(table, name) is not None for name in names], bool)
        floors = sampling_floors(moved, n, n[-1], kinds)
        chosen = np.flatnonzero(judged)
        moved, mean = moved[:, chosen], np.nanmean(moved[:, chosen], axis=0)
        sd = np.where(np.nanstd(moved, axis=0) > 1e-12, np.nan, 0.0)
        return cls([names[at] for at in chosen], kinds[chosen], moved, floors[chosen], mean, sd, frozenset(names))

    def worst(self, table: str, numbers: Iterable[Number]) -> float:
        """The largest score of a day's numbers in a direction that is wrong; infinite for a number that cannot be on its scale."""
        today = {one.name: one for one in numbers}
        values = np.array([today[name].value if name in today else 0.0 for name in self.names], np.float64)
        n = np.array([today[name].n if name in today else 0 for name in self.names])
        signs = np.array([_direction(table, name) or 0 for name in self.names])
        with np.errstate(invalid="ignore"):
            scores = (on_scale(values, n, self.kinds) - self.mean) / np.fmax(self.sd, self.floors)
            scores = np.where(np.isnan(scores) & ~np.isnan(values), np.inf, scores)
            wrong = np.where(signs == 0, np.abs(scores), scores * signs)
        new = [one for name, one in today.items() if name not in self.known and name.metric in self.metrics]
        return max(
            [float(np.nanmax(wrong, initial=0.0)), *(_of_new(one) for one in new if _direction(table, one.name) == 0)]
        )


def _of_new(one: Number) -> float:
    """The score of a share or count of a group that the days before did not have: it was 0 there."""
    values, n = np.array([[one.value or 0.0]]), np.array([[float(one.n)]])
    kinds = kinds_of([one.name], values)
    if kinds[0] not in (SHARE, COUNT):
        return 0.0
    zero = on_scale(0 * values, n, kinds)
    return float(((on_scale(values, n, kinds) - zero)[0] / sampling_floors(zero, n, n[0], kinds))[0])


def _direction(table: str, name: Name) -> int | None:
    """Which way a number must not move, 0 for both; None: it is not judged."""
    wrong_way = _DIRECTIONS.get(table)
    return 0 if wrong_way is None else wrong_way(name) or None


def contest(
    folder: Path, worlds: Sequence[Watched], quiet: Scores, sittings: Sequence[Sitting], python: str
) -> list[Row]:
    """Shares of the same faults noticed at the same rate of false alarms, and series judged a second of CPU time.

    Parameters
    ----------
    worlds, quiet
        Quiet worlds, and our scores of their days.
    python
        An interpreter that has the peer.
    """
    calm = [day for watched in worlds for day in _quiet_days(watched)]
    hit = {
        "planted faults": [(sitting, day) for sitting in sittings for day in _days_of(sitting, sitting.planted)],
        "faults of growing size": [
            (sitting, day) for sitting in sittings for day in _days_of(sitting, sitting.growing)
        ],
    }
    theirs = Peer.of([*calm, *(day for pairs in hit.values() for _, day in pairs)], python, folder)
    worst = worst_by_day(quiet.bands)
    limit = _limit(calm, [worst[day.key] for day in calm])
    their_limit = _limit(calm, [theirs.worst(day) for day in calm])
    peer = f"{PEER}, +- {their_limit:.2f} sd"
    rows = []
    for what, pairs in hit.items():
        ours = sum(_ours(sitting, day) > limit for sitting, day in pairs) / len(pairs)
        share = sum(theirs.worst(day) > their_limit for _, day in pairs) / len(pairs)
        rows.append(Row(f"{what} noticed by bands alone, +- {limit:.2f} sd", ours, "share", peer, share))
    return [
        *rows,
        Row("series judged a second of CPU time", _our_speed(hit["planted faults"]), "series/s", PEER, theirs.speed),
    ]


@dataclass(frozen=True)
class Peer:
    """Forecasts of days by world, day and table, and how many series were forecast a second of CPU time."""

    pasts: dict[tuple[int, str, str], Past]
    speed: float

    @classmethod
    def of(cls, days: Sequence[Day], python: str, folder: Path) -> "Peer":
        """Forecast the days, each once however many faults it is hit by."""
        first = {day.key: day for day in days}
        pasts = {(*key, table): Past.of(table, day) for key, day in first.items() for table in TABLES}
        series = sum(len(one.names) for one in pasts.values())
        return cls(pasts, series / _forecast(pasts, python, folder))

    def worst(self, day: Day) -> float:
        """The largest score of a day."""
        return max(
            self.pasts[*day.key, table].worst(table, found) for table, found in day.numbers.items() if table in TABLES
        )


def _ours(sitting: Sitting, day: Day) -> float:
    """The largest score of a day by the bands that have the calibrated limit."""
    return max((worse for worse, _ in _judged(sitting, day)), default=0.0)


def _our_speed(hit: Sequence[tuple[Sitting, Day]]) -> float:
    """Series judged a second of CPU time, of the days as they were without faults."""
    days = {day.key: (sitting, own_day(day.watched, day.dt)) for sitting, day in hit}
    started = time.process_time()
    series = sum(len(_judged(sitting, day)) for sitting, day in days.values())
    return series / (time.process_time() - started)


def _judged(sitting: Sitting, day: Day) -> list[tuple[float, Name]]:
    found = judged_on(sitting.watched, sitting.scans, day.dt, day.numbers, sitting.dataset, sitting.checks, np.inf)
    return [(worse, one.name) for check, worse, one in found if check in TABLES]


def own_day(watched: Watched, dt: str) -> Day:
    """A day with its own numbers."""
    return Day(watched, dt, {table: [*known[dt].values()] for table, known in watched.series.items()})


def _quiet_days(watched: Watched) -> list[Day]:
    """Days of a quiet world on whose six weeks lists were served, all weekdays in turn."""
    return [own_day(watched, dt) for dt in sorted(watched.regimes)[HISTORY_DAYS::EVERY_DAYS]]


def _days_of(sitting: Sitting, planted: Iterable[Planted]) -> list[Day]:
    """Days with faults, those whose numbers are known: a day that a step refuses has none."""
    return [Day(sitting.watched, one.dt, one.numbers) for one in planted if one.numbers is not None]


def _limit(days: Sequence[Day], scores: Sequence[float]) -> float:
    """The limit for one false alarm a year."""
    worst = [DayScore(*day.key[:1], PEER, day.dt, score, "") for day, score in zip(days, scores, strict=True)]
    return pick_limit(worst, ASKED_A_YEAR)


def _forecast(pasts: "Mapping[tuple[int, str, str], Past]", python: str, folder: Path) -> float:
    """Fill in the forecasts of all series that move; seconds of CPU time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    places = [(past, at) for past in pasts.values() for at in np.flatnonzero(np.isnan(past.sd))]
    columns = [past.values[:, at][~np.isnan(past.values[:, at])] for past, at in places]
    lengths = [len(column) for column in columns]
    table = pa.table(
        {
            "unique_id": np.repeat(np.arange(len(places)), lengths),
            "ds": np.concatenate([np.arange(length) for length in lengths]),
            "y": np.concatenate(columns),
        }
    )
    asked, told = folder / "series.parquet", folder / "forecasts.parquet"
    pq.write_table(table, asked)
    child = Path(__file__).with_name("statsforecast_child.py")
    done = subprocess.run([python, str(child), str(asked), str(told)], check=True, capture_output=True, text=True)
    found = pq.read_table(told)
    for number, mean, sd in zip(*(found[name].to_pylist() for name in ("unique_id", "mean", "sd")), strict=True):
        past, at = places[number]
        past.mean[at], past.sd[at] = mean, sd
    return float(json.loads(done.stdout.splitlines()[-1])["cpu_seconds"])
