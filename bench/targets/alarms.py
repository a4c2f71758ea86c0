"""The exam of the alarms: faults planted in the raw log, and false alarms in simulated years in which nothing breaks.

Quiet worlds of some seeds calibrate the limit; faults are planted in worlds of other seeds. False alarms are counted out of
sample: half of the quiet worlds is judged by the limit of the other half, and the other way round. A model is one experiment
with all its checks: bands of the log, of what people did, of lists, and the drift of features against the week's reference.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Final

import orjson

from bench.calibration.calibration_run import FIRST_SEED
from bench.calibration.quiet_runs import Plan, live_worlds
from bench.calibration.quiet_worlds import drift_days, scores_of_world
from bench.planting import FAULTS, Exam, Outcome
from bench.rows import Row
from bench.targets import Settings
from ok_ml.monitoring.judges import limit_fitting as k

YEARS: Final = 20
FIRST_EXAM_SEED: Final = 9001
USERS: Final = 1000  # of the quiet worlds on their first day; there are twice as many after a year
EXAM_USERS: Final = 2000
DAYS_A_YEAR: Final = 365
EXAM_WORLDS, EXAM_DAYS = 6, (45, 48, 51, 54, 57)
ASKED_A_YEAR: Final = 1.0
REQUIRED_SHARE: Final = 0.9
WORKERS: Final = 2


def measure(settings: Settings) -> list[Row]:
    """Shares noticed, and false alarms a year; everything else goes to `alarms-details.json` beside the result."""
    years = settings.size(YEARS, 2)
    worlds = settings.size(EXAM_WORLDS, 1)
    quiet = quiet_scores(settings, years, settings.size(DAYS_A_YEAR, 35) + k.WARM_DAYS)
    limit = k.pick_limit(quiet.bands, ASKED_A_YEAR, quiet.drift_a_year)
    false = out_of_sample(quiet)
    outcomes = exam(settings, limit, range(FIRST_EXAM_SEED, FIRST_EXAM_SEED + worlds), EXAM_DAYS[: settings.size(5, 1)])
    details = report(limit, quiet, false, outcomes)
    path = plan_of(settings, 0, 0).folder.parent / "bench" / "alarms-details.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(details, option=orjson.OPT_INDENT_2))
    return list(_rows(outcomes, false))


class Quiet:
    """Scores of the quiet worlds."""

    def __init__(self, bands: list[k.DayScore], drift: list[k.DayScore]) -> None:
        self.bands, self.drift = bands, drift

    @property
    def seeds(self) -> list[int]:
        """The worlds."""
        return sorted({one.world for one in self.bands})

    @property
    def drift_a_year(self) -> float:
        """Alarms of the drift of features, whose limits are the experiment's."""
        return sum(k.alarms(self.drift, 0.5).values()) / k.years_of(self.bands)

    def of(self, seeds: Sequence[int]) -> "Quiet":
        """Those of some worlds."""
        return Quiet(*([one for one in some if one.world in seeds] for some in (self.bands, self.drift)))


def quiet_scores(settings: Settings, years: int, days: int) -> Quiet:
    """Live the quiet worlds, two at a time, and judge every day."""
    plan = plan_of(settings, days, USERS)
    seeds = range(FIRST_SEED, FIRST_SEED + years)
    worlds = live_worlds(plan, seeds, workers=WORKERS)
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        bands = list(pool.map(scores_of_world, worlds))
    return Quiet([one for some in bands for one in some], [one for world in worlds for one in drift_days(world)])


def plan_of(settings: Settings, days: int, users: int) -> Plan:
    """The worlds of the shipped experiment; what they brought is stored below the state folder."""
    from ok_ml.config.loader import load_project

    project = load_project(settings.root)
    config = project.experiments["prod_discovery"]
    folder = project.state_dir / "calibration"
    return Plan(project.event_logs["ok_world"], config.stages.features, config.checks.drift, folder, days, users)


def out_of_sample(quiet: Quiet) -> dict[str, k.Rate]:
    """Check -> false alarms by the limit of the other half of the worlds; "all" for all checks together."""
    halves = quiet.seeds[::2], quiet.seeds[1::2]
    counts: dict[str, int] = {}
    for judged, learnt in (halves, halves[::-1]):
        other, mine = quiet.of(learnt), quiet.of(judged)
        limit = k.pick_limit(other.bands, ASKED_A_YEAR, other.drift_a_year)
        for check, count in (k.alarms(mine.bands, limit) | k.alarms(mine.drift, 0.5)).items():
            counts[check] = counts.get(check, 0) + count
    years = k.years_of(quiet.bands)
    checks = sorted({one.check for one in (*quiet.bands, *quiet.drift)})
    return {"all": k.Rate(sum(counts.values()), years)} | {one: k.Rate(counts.get(one, 0), years) for one in checks}


def exam(settings: Settings, limit: float, seeds: Iterable[int], days: Sequence[int]) -> list[Outcome]:
    """Every fault on every day of every world, two worlds at a time."""
    plan = plan_of(settings, max(days) + 2, EXAM_USERS)
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(_sit, plan, seed, limit, tuple(days)) for seed in seeds]
        return [one for future in running for one in future.result()]


def _sit(plan: Plan, seed: int, limit: float, days: tuple[int, ...]) -> list[Outcome]:
    world = plan.world(seed)
    world.clean()
    try:
        return list(Exam(world).outcomes(days, limit))
    finally:
        world.clean()


def report(limit: float, quiet: Quiet, false: dict[str, k.Rate], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything that is worth knowing, for programs: by kind, by check, and every miss with its reason."""
    worst = sorted(quiet.bands, key=lambda one: -one.score)[:20]
    return {
        "limit": limit,
        "asked_a_year": ASKED_A_YEAR,
        "quiet": {
            "years": round(k.years_of(quiet.bands), 2),
            "worlds": len(quiet.seeds),
            "seeds": [quiet.seeds[0], quiet.seeds[-1]],
            "users": USERS,
            "worst": [vars(one) for one in worst],
        },
        "false_alarms": {
            name: {
                "alarms": one.count,
                "a_year": round(one.a_year, 3),
                "interval": [round(end, 3) for end in one.interval],
                "upper_95": round(one.upper, 3),
            }
            for name, one in false.items()
        },
        "exam": {
            "users": EXAM_USERS,
            "seeds": sorted({one.seed for one in outcomes}),
            "days": sorted({one.day for one in outcomes}),
            "planted": len(outcomes),
            "noticed": sum(one.noticed for one in outcomes),
        },
        "kinds": [
            _kind(fault.name, fault.said, [one for one in outcomes if one.fault == fault.name]) for fault in FAULTS
        ],
        "misses": [_miss(one, limit) for one in outcomes if not one.noticed],
    }


def _kind(name: str, said: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    scores = sorted(one.score for one in outcomes)
    noticed = sum(one.noticed for one in outcomes)
    by = sorted({f"{one.check}: {one.metric}" for one in outcomes})
    middle = scores[len(scores) // 2] if scores else 0.0
    return {
        "kind": name,
        "planted": said,
        "times": len(outcomes),
        "noticed": noticed,
        "least_score": _finite(scores[0]),
        "median_score": _finite(middle),
        "by": by[:4],
    }


def _miss(one: Outcome, limit: float) -> dict[str, Any]:
    reason = f"the worst number, {one.metric}, scored {one.score:.1f}, within the limit {limit:.2f}"
    return {"kind": one.fault, "seed": one.seed, "day": one.day, "reason": reason}


def _finite(score: float) -> float | None:
    return round(score, 1) if score < float("inf") else None


def _rows(outcomes: Sequence[Outcome], false: dict[str, k.Rate]) -> Iterable[Row]:
    noticed = sum(one.noticed for one in outcomes) / len(outcomes)
    yield Row("planted faults noticed on their day", noticed, "share", "required", REQUIRED_SHARE)
    for fault in FAULTS:
        mine = [one.noticed for one in outcomes if one.fault == fault.name]
        yield Row(f"{fault.name}: {fault.said}", sum(mine) / len(mine), "share", "required", REQUIRED_SHARE)
    yield Row("false alarms of a model, all checks", false["all"].a_year, "a year", "asked", ASKED_A_YEAR)
    yield Row("upper 95 % bound of them", false["all"].upper, "a year", "asked", ASKED_A_YEAR)
    yield Row("quiet years judged", false["all"].years, "years", "asked", 20.0)
