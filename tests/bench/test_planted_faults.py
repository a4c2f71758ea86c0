"""Each of the twenty planted faults, in the raw log of one small world, at the sizes of the exam."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.calibration.quiet_scores import COVERED, NOT_COVERED
from bench.calibration.quiet_worlds import DECLARED, QuietWorld
from bench.planting import FAULTS, INGEST, Fault, Outcome, Sitting, sit
from ok_ml import columns as c
from ok_ml.config.loader import load_project
from tests.small_project import ROOT

SEED, USERS, FIRST_SERVED, DAY = 7001, 2000, 7, 25
LIMIT = 4.5  # three weeks of history: scores have fewer degrees of freedom than in the exam
SEEN_BY = {
    "shift": "duration_ms", "scale": "duration_ms", "null burst": "null_share of duration_ms", "constant": "duration_ms",
    "swapped columns": "position", "unit change": "duration_ms", "duplicated day": "repeated_share", "missing day": "rows",
    "late day": "rejected_share", "truncated day": "hour", "new category": "story", "dead category": "comment",
    "id shift": "user_id", "clock shift": "rejected_share", "outliers": "duration_ms", "sign flip": "negative_share",
    "stale join": "log_only_share", "popularity collapse": "unshown_share", "label leak": "position",
    "empty predictions": "list_length",
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuietWorld]:
    project = load_project(ROOT)
    config = project.experiments["prod_discovery"]
    made = QuietWorld.of(
        project.datasets["ok_world"],
        config.stages.features,
        config.checks,
        Path(tmp_path_factory.mktemp("world")),
        seed=SEED,
        days=DAY + 1,
        users=USERS,
        first_served=FIRST_SERVED,
    )
    yield made
    made.clean()


@pytest.fixture(scope="module")
def sitting(world: QuietWorld) -> Sitting:
    return sit(world, [DAY])


@pytest.fixture(scope="module")
def outcomes(sitting: Sitting) -> dict[Fault, Outcome]:
    return {one.fault: one for one in sitting.outcomes(LIMIT)}


def test_the_day_itself_is_quiet(world: QuietWorld, sitting: Sitting) -> None:
    dt = world.dts[DAY]
    numbers = {table: [*days[dt].values()] for table, days in sitting.watched.series.items()}
    assert {c.ONLINE_METRICS, c.PREDICTION_STATISTICS, DECLARED} < numbers.keys()
    assert sitting.seen(dt, numbers, LIMIT) == []


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{fault.name}-{fault.size:g}".replace(" ", "-") for fault in FAULTS])
def test_a_fault_is_noticed_on_its_day(fault: Fault, sitting: Sitting, outcomes: dict[Fault, Outcome]) -> None:
    found = outcomes[fault]
    assert found.noticed, f"{fault.said}: nothing was seen"
    (numbers,) = (one.numbers for one in sitting.planted if one.fault == fault)
    seen = {found.metric} | {one.metric for _, one in sitting.seen(found.dt, numbers or {}, LIMIT)}
    assert any(SEEN_BY[fault.name] in metric for metric in seen), seen


def test_what_blocks_is_counted_apart_from_what_warns(outcomes: dict[Fault, Outcome]) -> None:
    """Another unit contradicts the log and blocks; an hour's less rows may be people, and only warns."""
    blocked = {(fault.name, fault.size): one.blocked for fault, one in outcomes.items()}
    assert blocked["unit change", 1.0]
    assert blocked["missing day", 1.0]
    assert blocked["empty predictions", 0.1]
    assert not blocked["truncated day", 0.15]
    assert not blocked["shift", 0.3]
    assert all(one.noticed for one in outcomes.values() if one.blocked)


def test_a_fault_is_critical_by_its_size_alone() -> None:
    critical = {(fault.name, fault.size) for fault in FAULTS if fault.is_critical}
    assert {("late day", 0.6), ("unit change", 1.0)} <= critical
    assert not {("late day", 0.15), ("dead category", 1.0), ("shift", 0.3)} & critical
    assert {fault.name for fault in FAULTS} - {name for name, _ in critical} == {"dead category", "stale join"}


def test_a_day_without_rows_is_refused_by_the_ingest(outcomes: dict[Fault, Outcome]) -> None:
    (found,) = (one for fault, one in outcomes.items() if fault.name == "missing day")
    assert found.check == INGEST


def test_the_world_is_as_it_was_after_its_faults(
    world: QuietWorld, sitting: Sitting, outcomes: dict[Fault, Outcome]
) -> None:
    assert len({fault.name for fault in outcomes}) == 20
    dt = world.dts[DAY]
    again = {one.name: one for one in world.log_numbers(dt)}
    assert again == sitting.watched.series[c.EVENT_STATISTICS][dt]


def test_the_docs_name_what_is_in_the_rate_and_what_is_not() -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    _, inside, outside = re.split(r"\| In the rate.*\n|\| Not in it.*\n", text.replace("`", ""))
    named, left_out = (set(re.findall(r"^\| ([^|]+) \|", part, re.MULTILINE)) - {"---"} for part in (inside, outside))
    assert {check.split(",")[0] for check in COVERED} == named
    assert set(NOT_COVERED) <= left_out
