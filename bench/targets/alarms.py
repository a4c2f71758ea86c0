"""The exam of the alarms: faults planted in the raw log, and false alarms in simulated years in which nothing breaks.

Quiet worlds of some seeds calibrate the limit; faults are planted in worlds of other seeds. False alarms are counted out of
sample: half of the quiet worlds is judged by the limit of the other half, and the other way round. A model is one experiment
with all its checks (`COVERED`); what is not in the rate is named with the reason (`NOT_COVERED`). What blocks and what only warns
is counted apart, and a peer judges the same series (`bench.peer_bands`).
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any, Final

import orjson

from bench.calibration.calibration_run import DAYS_A_WORLD, FIRST_SEED
from bench.calibration.quiet_runs import Plan, live_worlds
from bench.calibration.quiet_scores import (
    ASKED_A_YEAR,
    COVERED,
    NOT_COVERED,
    Scores,
    alarms_of,
    pick_limit,
    scores_of_world,
)
from bench.calibration.quiet_worlds import FIRST_SERVED, Watched
from bench.environments import with_peer
from bench.peer_bands import PACKAGES, PEER, PYTHON_VARIABLE, contest
from bench.planting import CRITICAL_SHARE, FAULTS, Fault, Outcome, Sitting, sit
from bench.rows import Row
from bench.targets import Settings
from ok_ml.config.sections.recommender_models import ListChecks
from ok_ml.monitoring.judges.limit_fitting import Rate, years_of
from ok_ml.quality.bands.daily_bands import HISTORY_DAYS

YEARS: Final = 20
FIRST_EXAM_SEED: Final = 9001
USERS: Final = 1000  # of the quiet worlds on their first day; there are twice as many after a year
EXAM_USERS: Final = 2000
_EXAM_STARTS: Final = FIRST_SERVED + HISTORY_DAYS + 3  # from here on, lists were served on all days that make a band
EXAM_WORLDS, EXAM_DAYS = 6, tuple(range(_EXAM_STARTS, _EXAM_STARTS + 15, 3))
REQUIRED_NOTICED: Final = 0.95
REQUIRED_BLOCKED: Final = 0.8  # of the faults that are critical
WORKERS: Final = 2


def measure(settings: Settings) -> list[Row]:
    """Shares noticed and blocked, and false alarms a year; everything else goes to `alarms-details.json` beside the result."""
    years, worlds = settings.size(YEARS, 2), settings.size(EXAM_WORLDS, 1)
    plan = plan_of(settings, settings.size(DAYS_A_WORLD, FIRST_SERVED + 2 * HISTORY_DAYS), USERS)
    lived = live_worlds(plan, range(FIRST_SEED, FIRST_SEED + years), workers=WORKERS)
    quiet = scores_of_worlds(plan, lived)
    limit, false = pick_limit(quiet, ASKED_A_YEAR), out_of_sample(quiet)
    sittings = exam(settings, range(FIRST_EXAM_SEED, FIRST_EXAM_SEED + worlds), EXAM_DAYS[: settings.size(5, 1)])
    outcomes = [one for sitting in sittings for one in sitting.outcomes(limit)]
    details = report(limit, quiet, false, outcomes)
    path = plan_of(settings, 0, 0).folder.parent / "bench" / "alarms-details.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(details, option=orjson.OPT_INDENT_2))
    beside = with_peer(
        settings, PEER, PYTHON_VARIABLE, PACKAGES, "share", partial(contest, settings.folder, lived, quiet, sittings)
    )
    return [*_rows(outcomes, false), *beside]


def scores_of_worlds(plan: Plan, worlds: Sequence[Watched]) -> Scores:
    """Judge every day on which lists were served, two worlds at a time."""
    judge = partial(scores_of_world, dataset=plan.dataset, checks=plan.checks)
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        return Scores.joined(list(pool.map(judge, worlds)))


def plan_of(settings: Settings, days: int, users: int) -> Plan:
    """The worlds of the shipped experiment; what they brought is stored below the state folder."""
    from ok_ml.config.loader import load_project

    project = load_project(settings.root)
    config = project.experiments["prod_discovery"]
    checks, folder = config.checks, project.state_dir / "calibration"
    assert isinstance(checks, ListChecks)
    return Plan(project.event_logs["ok_world"], config.stages.features, checks, folder, days, users)


def out_of_sample(quiet: Scores) -> dict[str, dict[str, Rate]]:
    """Rates by the limit of the other half of the worlds: of all alarms, and of those that block -> check -> rate.

    "all" stands for all checks together.
    """
    halves, years = (quiet.worlds[::2], quiet.worlds[1::2]), years_of(quiet.bands)
    found: dict[str, dict[str, Rate]] = {}
    for what, blocking in (("alarms", False), ("blocks", True)):
        counts = dict.fromkeys(COVERED, 0)
        for judged, learnt in (halves, halves[::-1]):
            limit = pick_limit(quiet.of(learnt), ASKED_A_YEAR)
            for check, count in alarms_of(quiet.of(judged), limit, blocking=blocking).items():
                counts[check] += count
        found[what] = {"all": Rate(sum(counts.values()), years)} | {name: Rate(n, years) for name, n in counts.items()}
    return found


def exam(settings: Settings, seeds: Iterable[int], days: Sequence[int]) -> list[Sitting]:
    """Plant every fault on every day of every world, two worlds at a time."""
    plan = plan_of(settings, max(days) + 1, EXAM_USERS)
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(_sit, plan, days=tuple(days)), seeds))


def _sit(plan: Plan, seed: int, days: tuple[int, ...]) -> Sitting:
    world = plan.world(seed)
    world.clean()
    try:
        return sit(world, days)
    finally:
        world.clean()


def report(
    limit: float, quiet: Scores, false: dict[str, dict[str, Rate]], outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """Everything that is worth knowing, for programs: by fault, by check, and every miss."""
    worst = sorted(quiet.bands, key=lambda one: -one.score)[:20]
    return {
        "limit": limit,
        "asked_a_year": ASKED_A_YEAR,
        "quiet": {
            "years": round(years_of(quiet.bands), 2),
            "worlds": len(quiet.worlds),
            "seeds": [quiet.worlds[0], quiet.worlds[-1]],
            "users": USERS,
            "worst": [vars(one) for one in worst],
        },
        "covered": COVERED,
        "not_covered": NOT_COVERED,
        "false_alarms": {what: {name: _rate(one) for name, one in rates.items()} for what, rates in false.items()},
        "exam": {
            "users": EXAM_USERS,
            "seeds": sorted({one.seed for one in outcomes}),
            "days": sorted({one.dt for one in outcomes}),
            "planted": len(outcomes),
            "critical_share": CRITICAL_SHARE,
            "noticed": _share([one.noticed for one in outcomes]),
            "blocked_of_critical": _share([one.blocked for one in outcomes if one.fault.is_critical]),
            "blocked_of_others": _share([one.blocked for one in outcomes if not one.fault.is_critical]),
        },
        "faults": [_fault(fault, mine) for fault, mine in _by_fault(outcomes)],
        "misses": [{"fault": one.fault.said, "seed": one.seed, "day": one.dt} for one in outcomes if not one.noticed],
    }


def _rate(one: Rate) -> dict[str, Any]:
    interval = [round(end, 3) for end in one.interval]
    return {"alarms": one.count, "a_year": round(one.a_year, 3), "interval": interval, "upper_95": round(one.upper, 3)}


def _share(hits: Sequence[bool]) -> dict[str, Any]:
    interval = [round(end, 3) for end in exact_interval(sum(hits), len(hits))]
    return {"count": sum(hits), "of": len(hits), "interval": interval}


def _fault(fault: Fault, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    blocked, noticed = (sum(getattr(one, what) for one in outcomes) for what in ("blocked", "noticed"))
    return {
        "kind": fault.name,
        "planted": fault.said,
        "wrong": fault.wrong,
        "critical": fault.is_critical,
        "times": len(outcomes),
        "blocked": blocked,
        "only_warned": noticed - blocked,
        "missed": len(outcomes) - noticed,
        "by": sorted({f"{one.check}: {one.metric}" for one in outcomes if one.noticed})[:4],
    }


def _by_fault(outcomes: Sequence[Outcome]) -> Iterator[tuple[Fault, list[Outcome]]]:
    return ((fault, [one for one in outcomes if one.fault == fault]) for fault in FAULTS)


def exact_interval(count: int, of: int) -> tuple[float, float]:
    """Exact 95 % interval of a share (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(0.975, count + 1, of - count)) if count < of else 1.0
    return low, high


def _rows(outcomes: Sequence[Outcome], false: dict[str, dict[str, Rate]]) -> Iterable[Row]:
    critical = [one.blocked for one in outcomes if one.fault.is_critical]
    yield from _share_rows("planted faults noticed on their day", [one.noticed for one in outcomes], REQUIRED_NOTICED)
    yield from _share_rows("critical faults blocked", critical, REQUIRED_BLOCKED)
    for fault, mine in _by_fault(outcomes):
        name = f"{fault.name}: {fault.said}"
        noticed, blocked = (sum(getattr(one, what) for one in mine) / len(mine) for what in ("noticed", "blocked"))
        yield Row(f"{name}: noticed", noticed, "share", "required", REQUIRED_NOTICED)
        if fault.is_critical:
            yield Row(f"{name}: blocked", blocked, "share", "required", REQUIRED_BLOCKED)
    for what, rates in false.items():
        yield Row(f"false {what} of a model, all checks", rates["all"].a_year, "a year", "asked", ASKED_A_YEAR)
        yield Row(f"false {what}: upper 95 % bound", rates["all"].upper, "a year", "asked", ASKED_A_YEAR)
    yield Row("quiet years judged", false["alarms"]["all"].years, "years", "asked", 20.0)


def _share_rows(name: str, hits: Sequence[bool], required: float) -> Iterator[Row]:
    low, high = exact_interval(sum(hits), len(hits))
    yield Row(name, sum(hits) / len(hits), "share", "required", required)
    yield Row(f"{name}: 95 % interval from", low, "share", "required", required)
    yield Row(f"{name}: 95 % interval to", high, "share", "required", required)
