"""`ok-ml calibrate`: quiet days from simulated worlds or from the past, the limit, what it lets pass, what it notices."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.calibration.quiet_runs import Plan, live_worlds
from bench.calibration.quiet_scores import Scores, alarms_of, pick_limit, scans_of, scores_of_scans, scores_of_world
from bench.calibration.quiet_worlds import FIRST_SERVED, Days
from ok_ml import columns as c
from ok_ml.config.calibration import FOLDER, Calibration, CheckRate, Limit, Noticed
from ok_ml.config.sections.recommender_models import ListChecks
from ok_ml.config.written import write_model
from ok_ml.errors import DataError
from ok_ml.monitoring.judges import limit_fitting as k
from ok_ml.monitoring.judges.expected_values import judge_watch, product_watches
from ok_ml.monitoring.judges.series_watch import judge_series
from ok_ml.quality.bands.daily_bands import HISTORY_DAYS
from ok_ml.quality.statistics.number_series import Number, read_days, regimes_of
from ok_ml.stages.pipeline import Pipeline

if TYPE_CHECKING:
    from ok_ml.config.sections.check_models import DatasetChecks
    from ok_ml.quality.statistics.event_statistics import LogDay

FIRST_SEED: Final = 201  # of the quiet worlds; those of planted faults and of the shipped world are others
USERS: Final = 1000
DAYS_A_WORLD: Final = FIRST_SERVED + 365
_LEAST_DAYS: Final = 60  # of the past, below which no tail can be told
_REPLAY_WARM_DAYS: Final = 28
_PROBE_SEED: Final = 5
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Quiet:
    """Quiet days: the scores of every check, and one day to try faults on."""

    scores: Scores
    seeds: tuple[int, ...]
    probe: "Probe | None" = None

    @property
    def years(self) -> float:
        """Judged days of all worlds."""
        return k.years_of(self.scores.bands)


@dataclass(frozen=True)
class Probe:
    """A day, how its numbers are made and judged, and the numbers of the days before it by table."""

    dt: str
    day: "LogDay"
    numbers: "dict[str, Callable[[LogDay], Sequence[Number]]]"
    history: dict[str, Days]
    checks: "DatasetChecks"
    regimes: dict[str, str]


def calibrate(
    pipeline: Pipeline,
    *,
    asked_a_year: float,
    years: int,
    replay: bool,
    progress: Progress,
    users: int = USERS,
) -> tuple[Calibration, list[k.DayScore]]:
    """Find the limit of an experiment's bands; the scores that it was found from, too.

    Raises
    ------
    DataError
        The dataset is real and is not replayed, or has too few committed days.
    """
    quiet = replayed(pipeline, progress) if replay else simulated(pipeline, years, users, progress)
    limit = pick_limit(quiet.scores, asked_a_year)
    replayed_checks = {one.check for one in (*quiet.scores.bands, *quiet.scores.stated)}
    counts = {
        check: n for check, n in alarms_of(quiet.scores, limit).items() if quiet.seeds or check in replayed_checks
    }
    rate = k.Rate(sum(counts.values()), quiet.years)
    progress(f"limit {limit:.2f}; looking for the smallest faults that are noticed")
    noticed = tuple(smallest_noticed(quiet.probe, limit)) if quiet.probe is not None else ()
    found = Calibration(
        experiment=pipeline.name,
        limit=round(limit, 2),
        false_alarms_a_year=asked_a_year,
        expected_a_year=round(rate.a_year, 3),
        low_a_year=round(rate.interval[0], 3),
        high_a_year=round(rate.interval[1], 3),
        source="replayed" if replay else "simulated",
        seeds=quiet.seeds,
        days=round(quiet.years * k.DAYS_A_YEAR),
        date=datetime.now(UTC).date().isoformat(),
        code=_code(),
        rates=tuple(
            CheckRate(check=one, alarms=counts.get(one, 0), a_year=round(counts.get(one, 0) / quiet.years, 3))
            for one in sorted(counts)
        ),
        noticed=noticed,
    )
    return found, quiet.scores.bands


def write_calibration(root: Path, found: Calibration) -> Path:
    """Write configs/calibration/<experiment>.yml."""
    remark = f"Written by `ok-ml calibrate {found.experiment}`; what the numbers mean: ok_ml/config/calibration.py"
    return write_model(root / FOLDER / f"{found.experiment}.yml", remark, found)


def simulated(pipeline: Pipeline, years: int, users: int, progress: Progress) -> Quiet:
    """Quiet worlds of other seeds, a year of judged days each.

    Raises
    ------
    DataError
        The dataset is real.
    """
    if pipeline.dataset.world is None:
        raise DataError(
            f"{pipeline.dataset_scope} is a real dataset: there is no quiet world of it to simulate",
            why="limits that were found elsewhere say nothing of its false alarms",
            remedy=f"ok-ml calibrate {pipeline.name} --replay",
        )
    seeds = tuple(range(FIRST_SEED, FIRST_SEED + years))
    plan = plan_of(pipeline, DAYS_A_WORLD, users)
    worlds = live_worlds(plan, seeds, progress=progress)
    progress("judging the quiet days")
    scores = Scores.joined([scores_of_world(watched, plan.dataset, plan.checks) for watched in worlds])
    return Quiet(scores, seeds, world_probe(plan))


def plan_of(pipeline: Pipeline, days: int, users: int) -> Plan:
    """The quiet worlds of an experiment. Raises DataError of one that makes no lists."""
    stages, folder = pipeline.config.stages, pipeline.project.state_dir / "calibration"
    dataset = pipeline.project.event_logs[pipeline.dataset_scope]
    checks = pipeline.config.checks
    if not isinstance(checks, ListChecks):
        raise DataError(
            f"{pipeline.name} is a {pipeline.type.name}: quiet worlds are simulated for pipelines that make lists",
            why="what is served to people is part of a quiet day",
            remedy=f"ok-ml calibrate {pipeline.name} --replay",
        )
    return Plan(dataset, stages.features, checks, folder, days, users)


def world_probe(plan: Plan, days: int = HISTORY_DAYS + 14) -> Probe:
    """The last day of a short quiet world of yet another seed."""
    from dataclasses import replace

    world = replace(plan, days=days).world(_PROBE_SEED)
    world.clean()
    try:
        watched = world.live(features=False, keep=True)
        dts = world.dts
        day = world.log_day(dts[-1])
    finally:
        world.clean()
    history = {table: {dt: days[dt] for dt in sorted(days)[:-1]} for table, days in watched.series.items()}
    return Probe(
        dts[-1],
        day,
        _numbers_of(sorted(set(plan.dataset.events.event_types.values())), sorted(plan.dataset.grades)),
        history,
        plan.dataset.checks,
        watched.regimes,
    )


def replayed(pipeline: Pipeline, progress: Progress) -> Quiet:
    """The committed days of the dataset and of the experiment as they were; they are taken to be quiet.

    Raises
    ------
    DataError
        There are too few days.
    """
    from ok_ml.monitoring.series.event_series import build_event_statistics, read_log_day
    from ok_ml.quality.statistics.event_statistics import DAYS_BEFORE

    lake, scope = pipeline.lake, pipeline.dataset_scope
    dts = pipeline.committed() if pipeline.dataset.partition.grain == "day" else []
    if len(dts) < _LEAST_DAYS:
        raise DataError(
            f"{scope} has {len(dts)} committed days, at least {_LEAST_DAYS} are needed to tell a tail",
            why="a limit from a few days raises false alarms or misses faults",
            remedy=f"ingest more days, or simulate: ok-ml calibrate {pipeline.name}",
        )
    progress(f"numbers of {len(dts)} days")
    build_event_statistics(pipeline.project.event_logs[scope], lake, dts)
    series = {c.EVENT_STATISTICS: read_days(lake, scope, c.EVENT_STATISTICS, dts)}
    checks = pipeline.config.checks if isinstance(pipeline.config.checks, ListChecks) else None
    watched = [c.ONLINE_METRICS] if checks is not None else []
    for where, table in (
        (scope, c.PRODUCT_METRICS),
        *((pipeline.name, one) for one in (*pipeline.type.banded, *watched)),
    ):
        days = read_days(lake, where, table, lake.partitions(where, table))
        series |= {table: days} if days else {}
    dataset, regimes = pipeline.project.event_logs[scope], regimes_of(lake, scope, dts)
    scans = scans_of(series, regimes, dataset, checks)
    scores = scores_of_scans(scans, dts[_REPLAY_WARM_DAYS:])
    last = min(
        (one for one in scores.bands if one.check == c.EVENT_STATISTICS and one.dt >= dts[-HISTORY_DAYS]),
        key=lambda one: one.score,
    ).dt
    before = dts[max(dts.index(last) - DAYS_BEFORE, 0) : dts.index(last)]
    day = read_log_day(lake, scope, last, before)
    numbers = _numbers_of([], [])
    probe = Probe(last, day, {c.EVENT_STATISTICS: numbers[c.EVENT_STATISTICS]}, series, dataset.checks, regimes)
    return Quiet(scores, (), probe)


def smallest_noticed(probe: Probe, limit: float) -> Iterator[Noticed]:
    """For every check and fault the smallest size that leaves a band on the same day."""
    from bench.calibration.growing_faults import faults_for

    for fault in faults_for(probe.day.events):
        open_checks = dict(probe.numbers)
        found: dict[str, float] = {}
        for size, day in fault.days(probe.day, _PROBE_SEED):
            for check in list(open_checks):
                if _notices(probe, check, day, limit):
                    found[check] = size
                    del open_checks[check]
            if not open_checks:
                break
        for check in sorted(probe.numbers):
            yield Noticed(check=check, fault=fault.name, unit=fault.unit, smallest=found.get(check))


def _notices(probe: Probe, check: str, day: "LogDay", limit: float) -> bool:
    today = {one.name: one for one in probe.numbers[check](day)}
    days, tried = {**probe.history[check], probe.dt: today}, Limit(limit, "tried")
    if check == c.PRODUCT_METRICS:
        return any(
            one.outside and watch.worse(one) > 0
            for watch in product_watches(probe.checks, tried)
            for one in judge_watch(watch, watch.of(days), probe.dt, ())
        )
    return any(one.outside for one in judge_series(check, days, probe.dt, tried, odd=(), regimes=probe.regimes))


def _numbers_of(event_types: list[str], positive: list[str]) -> "dict[str, Callable[[LogDay], Sequence[Number]]]":
    from ok_ml.quality.statistics.event_statistics import event_statistics

    def product(day: "LogDay") -> list[Number]:
        from ok_ml.quality.statistics.product_statistics import DayCounts, count_part, product_numbers

        users = day.snapshots[c.USERS]
        counts = DayCounts.none()
        counts.add(count_part(day.events, users.select([c.USER_ID, c.SEGMENT])))
        return product_numbers(counts, event_types, positive, users.num_rows)

    return {c.EVENT_STATISTICS: event_statistics, c.PRODUCT_METRICS: product}


def _code() -> str:
    from bench.calibration.quiet_runs import CODE_VERSION as WORLDS
    from ok_ml.monitoring.series.event_series import CODE_VERSION

    return f"event_statistics {CODE_VERSION}, quiet worlds {WORLDS}"
