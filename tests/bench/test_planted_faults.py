"""Each of the twenty planted faults, in the raw log of one small world, at the size of the exam."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.calibration.quiet_worlds import QuietWorld
from bench.planting import FAULTS, INGEST, Exam, Fault, Outcome
from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.quality.bands.daily_bands import judge_day
from tests.small_project import ROOT

SEED, USERS, DAY = 7001, 2000, 25
LIMIT = 4.5  # three weeks of history: scores have fewer degrees of freedom than in the exam
SEEN_BY = {
    "shift": "duration_ms", "scale": "duration_ms", "null burst": "null_share of duration_ms", "constant": "duration_ms",
    "swapped columns": "position", "unit change": "duration_ms", "duplicated day": "repeated_share", "missing day": "rows",
    "late day": "rejected_share", "truncated day": "hour", "new category": "story", "dead category": "comment",
    "id shift": "user_id", "clock shift": "rejected_share", "outliers": "duration_ms", "sign flip": "negative_share",
    "stale join": "log_only_share", "popularity collapse": "unshown_share", "label leak": "position",
    "empty predictions": "list_length_mean",
}  # fmt: skip


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exam]:
    project = load_project(ROOT)
    config = project.experiments["prod_discovery"]
    world = QuietWorld.of(
        project.datasets["ok_world"],
        config.stages.features,
        config.checks.drift,
        Path(tmp_path_factory.mktemp("world")),
        seed=SEED,
        days=DAY + 1,
        users=USERS,
    )
    yield Exam(world)
    world.clean()


@pytest.fixture(scope="module")
def outcomes(exam: Exam) -> dict[str, Outcome]:
    return {one.fault: one for one in exam.outcomes([DAY], LIMIT)}


def test_the_day_itself_is_quiet(exam: Exam) -> None:
    for days in exam.watched.series.values():
        dt = exam.world.dts[DAY]
        worst = judge_day({one: days[one] for one in days if one < dt}, dt, days[dt], limit=LIMIT)[0]
        assert not worst.outside, worst.message


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name.replace(" ", "-") for fault in FAULTS])
def test_a_fault_is_noticed_on_its_day(fault: Fault, outcomes: dict[str, Outcome]) -> None:
    found = outcomes[fault.name]
    assert found.noticed, f"{fault.said}: worst {found.metric}, {found.score:.1f}"
    assert SEEN_BY[fault.name] in found.metric


def test_a_day_without_rows_is_refused_by_the_ingest(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["missing day"].check == INGEST


def test_the_world_is_as_it_was_after_its_faults(exam: Exam, outcomes: dict[str, Outcome]) -> None:
    assert len(outcomes) == len(FAULTS) == 20
    dt = exam.world.dts[DAY]
    again = {one.name: one for one in exam.world.log_numbers(dt)}
    assert again == exam.watched.series[c.EVENT_STATISTICS][dt]
