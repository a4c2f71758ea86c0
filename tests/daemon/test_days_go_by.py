"""Days go by and nobody acts: the real daemon ingests, predicts, publishes, retrains, and holds back what is broken.

One story on one project, in the order of the file; each test goes on where the one before ended.
"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise

import pytest

from tests.daemon.living import DATASET, DATASET_FILE, DAYS, EXPERIMENT, PATIENCE, TRAINING, Living, assert_no_errors
from tests.small_project import edit

pytestmark = [pytest.mark.daemon, pytest.mark.timeout(420 * PATIENCE)]

DAY_SECONDS, MODEL_DAYS = 20.0, 5.0
BROKEN_DAYS = 4
CHECK = "feature_statistics_feature_distributions"


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    """Started on an empty state."""
    base = tmp_path_factory.mktemp("living")
    found = Living(
        base, day_seconds=DAY_SECONDS, model_days=MODEL_DAYS, first_port=29700, retraining="{most_retries: 1}"
    )
    try:
        found.start()
        yield found
    finally:
        if found.is_running:
            found.stop()


def test_an_empty_project_comes_to_serve_by_itself(living: Living) -> None:
    assert living.served() is None
    generation = living.wait("something is served", 300, living.generation)
    live = living.wait("it is recorded as live", 60, lambda: living.live()[0])
    first = living.days()[DAYS - 1]
    assert live >= first
    assert living.manifest("live_predictions")["details"]["generation_name"] == generation
    assert living.manifest("champion")["details"]["promoted"] is True
    assert len(living.served()["predictions"]) == 20


def test_a_new_day_is_served_and_what_is_served_is_seen(living: Living) -> None:
    generation, (day, _) = living.generation(), living.live()
    newer = living.wait("a later day is live", 240, lambda: living.live()[0] > day and living.live()[0])
    assert living.generation() > generation
    assert newer in living.days("user_features", EXPERIMENT)
    # The users of the days to come are shown what the storage serves.
    shown = living.wait("a day that saw it", 60, lambda: _generations_seen(living))
    assert shown <= {str(name) for name in _generations_published(living)} | {generation, living.generation()}


def test_a_stale_model_is_trained_judged_and_served_anew(living: Living) -> None:
    living.wait("another model was decided upon", 300, lambda: _trainings(living, "SUCCESS") > 1)
    decided = living.manifest("champion")["details"]
    assert decided["reasons"]
    if decided["promoted"]:  # the first one was version 1; the second may be live before anybody looks
        assert int(decided["model_version"]) > 1
    living.wait("the champion is served", 200, lambda: living.live()[1] == str(decided["model_version"]))
    for run in living.runs():
        if run.trains:
            assert run.tables == TRAINING
            assert run.reason == "there is no model yet" or re.fullmatch(
                r"model is \d+ days old \(limit 5\)", run.reason
            )


def test_broken_days_are_not_served_and_the_last_good_generation_stays(living: Living) -> None:
    broken = _break_days_to_come(living)
    living.sabotage.touch()  # from now on no training comes to an end, which must not hold back anything
    blocked = living.wait("a broken day is blocked", 300, lambda: _blocked(living))
    generation, (day, _) = living.generation(), living.live()
    assert generation is not None
    assert day < broken[0]
    assert blocked[0] >= broken[0]
    # The verdict is there before its pictures, and these before the run has ended.
    living.wait("its run has failed", 120, lambda: CHECK in _failed_steps_of_ingests(living))
    assert "block" in living.manifest("feature_verdict", blocked[0])["details"]["headline"]
    living.wait("the broken days have gone by", 200, lambda: living.days()[-1] > broken[-1])
    assert living.generation() == generation
    living.wait("a good day is live", 300, lambda: living.live()[0] > day)
    assert living.generation() > generation
    assert living.live()[0] > broken[-1]
    assert not {*broken, *_blocked(living)} & set(living.days("predictions", EXPERIMENT))


def test_a_training_that_fails_is_tried_so_often_and_days_are_served_all_the_same(living: Living) -> None:
    living.wait("a training fails, and so does its retry", 300, lambda: _trainings(living, "FAILURE") > 1)
    day = living.live()[0]
    living.wait("a later day is live", 240, lambda: living.live()[0] > day)
    failed = [run for run in living.runs() if run.trains and run.status == "FAILURE"]
    assert {step for run in failed for step in run.failed_steps} == {"model"}
    ingests = [run for run in living.runs() if run.is_ingest]
    for one, other in pairwise(failed):
        assert any(one.created < run.created < other.created for run in ingests), living.story()
    assert len(failed) == 2, living.story()
    # a tick says what it waits for only between two runs: let no more days go by
    edit(living.root, "configs/base.yml", f"day_seconds: {DAY_SECONDS}", "day_seconds: 3600")
    living.restart("clock")
    living.wait(
        "it says that it waits", 240, lambda: living.says("2 trainings for it failed: it waits for another cause")
    )


def test_no_more_runs_than_days_call_for_and_no_error_in_any_log(living: Living) -> None:
    failed = [run for run in living.runs() if run.status == "FAILURE"]
    living.stop()
    kinds = Counter(run.kind.partition(" ")[0] for run in living.runs())
    assert set(kinds) == {"ingest", "train", "predict"}, living.story()
    days = len(living.days()) - DAYS + 1  # all days of the beginning come at once
    assert kinds["ingest"] <= days, living.story()
    assert kinds["train"] <= kinds["ingest"], living.story()
    assert kinds["predict"] <= kinds["ingest"] + kinds["train"], living.story()
    assert {step for run in failed for step in run.failed_steps} == {CHECK, "model"}
    assert_no_errors(living)


# -- looking ------------------------------------------------------------------------------------------------------


def _failed_steps_of_ingests(living: Living) -> set[str]:
    return {step for run in living.runs() if run.is_ingest for step in run.failed_steps}


def _trainings(living: Living, status: str) -> int:
    return sum(run.trains and run.status == status for run in living.runs())


def _generations_seen(living: Living) -> set[str]:
    manifests = [living.manifest("raw_events", day, DATASET) for day in living.days()]
    return {found["inputs"]["served"] for found in manifests if found} - {"none"}


def _generations_published(living: Living) -> set[str]:
    return set(re.findall(r"\d{8}-\d{6}-\d{3}", living.log("materialiser")))


def _break_days_to_come(living: Living) -> list[str]:
    """Tell the world that time spent is exported in another unit for some days; returns them.

    Several, because a machine that lags behind its days takes some at once and has only the newest judged.
    """
    start = date.fromisoformat(living.days()[0])
    first = (date.fromisoformat(living.days()[-1]) - start).days + 2
    numbers = range(first, first + BROKEN_DAYS)
    incidents = ", ".join(f"{{day: {number}, kind: shift, size: 100000}}" for number in numbers)
    edit(living.root, DATASET_FILE, "world: {users: 300", f"world: {{incidents: [{incidents}], users: 300")
    living.restart("clock")
    return [(start + timedelta(days=number)).isoformat() for number in numbers]


def _blocked(living: Living) -> list[str]:
    days = living.days("feature_verdict", EXPERIMENT)
    return [day for day in days if living.manifest("feature_verdict", day)["details"]["blocks"]]
