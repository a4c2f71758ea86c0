"""The freshness policy that people see starts a training, as Dagster's own daemon and conditions evaluate it; and where it cannot."""

from datetime import timedelta

import dagster as dg
import pytest

from ok_ml import columns as c
from ok_ml.graph.automation_state import BATCH, REASON, RETRAINING
from ok_ml.graph.keys import asset_key
from tests.automation.paper import ENOUGH, EXPERIMENT, EXPERIMENT_FILE, MODEL_DAYS, OTHER, Paper, later
from tests.small_project import edit

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
LATE = MODEL_DAYS + 2  # days of the wall clock until the policy fails
OVERDUE = "the champion's freshness policy failed, 1 day of data came since"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Paper:
    return Paper(tmp_path_factory.mktemp("fresh"))


@pytest.fixture
def begun(shared: Paper) -> Paper:
    """Some days, nothing trained."""
    shared.begin()
    shared.commit_days(ENOUGH)
    return shared


@pytest.fixture
def paper(begun: Paper) -> Paper:
    """Two experiments that serve the newest day."""
    begun.settle()
    return begun


def reasons(paper: Paper) -> dict[str, str]:
    """Experiment -> why a tick trains it; batches come to their end."""
    runs = paper.tick()
    for run in runs:
        if RETRAINING not in run.tags:
            paper.predict(run.tags[BATCH].partition(":")[0])
            paper.end(run)
    return {run.tags[RETRAINING]: run.tags[REASON] for run in runs if RETRAINING in run.tags}


@pytest.mark.parametrize(("days", "state"), [(1, "PASS"), (LATE - 0.1, "WARN"), (LATE + 0.1, "FAIL")])
def test_the_first_new_day_is_learnt_from_once_the_policy_has_failed(paper: Paper, days: float, state: str) -> None:
    """A log that came late: a day of data since the last decision, and more than five of the wall clock."""
    [policy] = {
        spec.freshness_policy
        for spec in paper.definitions.resolve_all_asset_specs()
        if spec.key in [asset_key(name, c.CHAMPION) for name in (EXPERIMENT, OTHER)]
    }
    assert policy.fail_window.to_timedelta() == timedelta(days=LATE)
    assert paper.freshness_daemon(days) == dict.fromkeys((EXPERIMENT, OTHER), state)
    paper.commit_days(1)
    failed = state == "FAIL"
    assert reasons(paper) == (dict.fromkeys((EXPERIMENT, OTHER), OVERDUE) if failed else {})
    said = OVERDUE if failed else "the champion is not overdue, 1 day of data came since"
    assert paper.label(EXPERIMENT, "new days") == f"new days: {said}", "what the UI shows"


def test_a_log_that_stands_still_trains_nothing_however_late_the_model_is(paper: Paper) -> None:
    paper.freshness_daemon(100)
    assert [reasons(paper) for _ in range(3)] == [{}] * 3
    assert "no training is called for" in str(paper.said)


def test_after_the_training_it_is_fresh_again_also_before_the_daemon_has_looked(paper: Paper) -> None:
    paper.freshness_daemon(LATE + 1)
    paper.commit_days(1)
    with later(LATE + 1.1):
        for run in paper.tick():
            paper.train(run.tags[RETRAINING])
            paper.end(run)
    paper.commit_days(1)
    assert reasons(paper) == {}, "the state is still that of before the training"
    assert paper.freshness_daemon(LATE + 1.2) == dict.fromkeys((EXPERIMENT, OTHER), "PASS")
    assert reasons(paper) == {}
    assert paper.freshness_daemon(2 * LATE + 2) == dict.fromkeys((EXPERIMENT, OTHER), "FAIL")
    assert reasons(paper) == dict.fromkeys((EXPERIMENT, OTHER), OVERDUE)


def test_a_training_that_fails_is_tried_as_often_as_any_other(paper: Paper) -> None:
    paper.freshness_daemon(LATE + 1)
    days = []
    for number in range(1, 8):
        paper.commit_days(1)
        runs = [run for _ in range(3) for run in paper.tick() if run.tags.get(RETRAINING) == EXPERIMENT]
        for run in runs:
            paper.end(run, failed=True)
            days.append(number)
    assert days == [1, 2, 3, 4], "once and three retries, one a day"


def test_who_does_not_listen_to_age_does_not_listen_to_this(paper: Paper) -> None:
    edit(paper.root, EXPERIMENT_FILE, "cycle: automatic}", "cycle: automatic}\nretraining: {causes: [drift]}")
    paper.freshness_daemon(LATE + 1)
    paper.commit_days(1)
    assert reasons(paper) == {OTHER: OVERDUE}


def test_what_was_never_made_is_unknown_and_its_first_training_has_a_cause_of_its_own(begun: Paper) -> None:
    assert begun.freshness_daemon(100) == dict.fromkeys((EXPERIMENT, OTHER), "UNKNOWN")
    assert reasons(begun) == dict.fromkeys((EXPERIMENT, OTHER), "there is no model yet")


# -- why the bare condition does not do for other tables ----------------------------------------------------------------


def test_the_bare_condition_on_a_table_of_days_asks_for_every_day(paper: Paper) -> None:
    """And asks at every tick again: what of it is missing is a fact of the log, which no run of ours makes arrive."""
    days = dg.StaticPartitionsDefinition(["2026-01-05", "2026-01-06", "2026-01-07"])
    key = asset_key(EXPERIMENT, c.CHAMPION)  # of which the daemon has written down that it failed
    policy = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=LATE))

    @dg.asset(
        key=key,
        partitions_def=days,
        freshness_policy=policy,
        automation_condition=dg.AutomationCondition.freshness_failed(),
    )
    def by_day() -> None: ...

    paper.freshness_daemon(LATE + 1)
    cursor, asked = None, []
    for _ in range(2):
        found = dg.evaluate_automation_conditions([by_day], paper.instance, cursor=cursor)
        cursor, asked = found.cursor, [*asked, found.get_num_requested(key)]
    assert asked == [3, 3]
