"""What the ticks of the automation sensor ask for: the real conditions on the real graph, over tables of one row."""

from collections.abc import Callable
from dataclasses import replace

import dagster as dg
import pytest

from ok_ml import columns as c
from ok_ml.graph.automation_state import BATCH, DAY, REASON, RETRAINING
from ok_ml.graph.keys import asset_key
from ok_ml.monitoring.accepting import accept_day
from ok_ml.pipelines.source_recommendation.stages import TYPE
from ok_ml.quality.judges.verdicts import FEATURES
from ok_ml.stages.blocked_days import story
from ok_ml.stages.stage import PipelineType
from tests.automation.paper import DATASET, DATASET_FILE, ENOUGH, EXPERIMENT, EXPERIMENT_FILE, OTHER, Paper, tables
from tests.small_project import edit

TRAINING, SERVING = {"embeddings", "training_set", "model", "evaluation", "champion"}, {"predictions", "publication"}
ONLINE, OLD = "online_quality", "model is 3 days old (limit 3)"

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Paper:
    return Paper(tmp_path_factory.mktemp("paper"))


@pytest.fixture
def empty(shared: Paper) -> Paper:
    """No day yet."""
    shared.begin()
    return shared


@pytest.fixture
def begun(empty: Paper) -> Paper:
    """Some days, nothing trained."""
    empty.commit_days(ENOUGH)
    return empty


@pytest.fixture
def paper(begun: Paper) -> Paper:
    """Two experiments that serve the newest day."""
    begun.settle()
    return begun


def trained(runs: list[dg.DagsterRun]) -> list[str]:
    """The experiments that the runs train, which is all that these runs do."""
    assert all(tables(run) >= TRAINING and not tables(run) & SERVING for run in runs)
    return sorted(run.tags[RETRAINING] for run in runs)


def predicted(runs: list[dg.DagsterRun]) -> list[str]:
    """The experiments that the runs predict, which is all that these runs do."""
    assert all(tables(run) >= SERVING and not tables(run) & TRAINING for run in runs)
    return sorted(run.tags[BATCH].partition(":")[0] for run in runs)


def live(
    paper: Paper, days: int, *, trains: Callable[[dg.DagsterRun], bool] = lambda _run: True, **day: bool
) -> list[str]:
    """Days go by, each with ticks until nothing is asked for; trainings succeed if `trains` says so. Why each was made."""
    story: list[str] = []
    for _ in range(days):
        paper.commit_days(1, **day)
        while runs := paper.tick():
            story += [line for run in runs if (line := _ended(paper, run, trains))]
    return story


def _ended(paper: Paper, run: dg.DagsterRun, trains: Callable[[dg.DagsterRun], bool]) -> str:
    name = run.tags.get(RETRAINING, "")
    if not name:
        (name,) = predicted([run])
        paper.predict(name)
        paper.end(run)
        return ""
    fails = not trains(run)
    paper.end(run, failed=fails)
    if not fails:
        paper.train(name)
    return f"{name} day {paper.days - ENOUGH}: {run.tags[REASON]}{' FAILED' if fails else ''}"


# -- the course of things ----------------------------------------------------------------------------------------------


def test_the_first_training_needs_nobody_and_each_thing_is_asked_for_once(begun: Paper) -> None:
    runs = begun.tick()
    assert trained(runs) == [OTHER, EXPERIMENT]  # apart: one that fails is no matter of the other
    assert {run.tags[REASON] for run in runs} == {"there is no model yet"}
    assert begun.tick() == []
    begun.train(OTHER)
    begun.train(EXPERIMENT)
    assert begun.tick() == []  # the runs have not ended
    for run in runs:
        begun.end(run)
    batches = begun.tick()
    assert predicted(batches) == [OTHER, EXPERIMENT]
    assert batches[0].tags[REASON] == f"{begun.day()} is not predicted by the present champion"
    assert begun.tick() == []
    for run in batches:
        begun.predict(run.tags[BATCH].partition(":")[0])
        begun.end(run)
    assert begun.tick() == []
    assert begun.tick() == []


def test_too_short_a_history_trains_nothing_and_says_why(empty: Paper) -> None:
    assert empty.tick() == []
    assert "no committed partition at all" in str(empty.said)
    empty.commit_days(2)
    assert empty.tick() == []
    assert "waits: no committed partition before" in str(empty.said)


def test_a_model_is_trained_anew_after_its_days_of_data(paper: Paper) -> None:
    assert live(paper, 4) == [f"{name} day 3: {OLD}" for name in (OTHER, EXPERIMENT)]
    assert "no training is called for: model is 1 day old (limit 3)" in str(paper.said)


def test_a_log_that_stands_still_makes_nothing_old(paper: Paper) -> None:
    assert [paper.tick() for _ in range(3)] == [[]] * 3


# -- failures ------------------------------------------------------------------------------------------------------------


def test_a_training_that_fails_is_tried_once_a_day_so_often_and_every_day_is_served(paper: Paper) -> None:
    edit(paper.root, EXPERIMENT_FILE, "delivery:\n", "retraining: {most_retries: 1}\ndelivery:\n")
    story = live(paper, 5, trains=lambda run: run.tags[RETRAINING] == OTHER)
    assert [line for line in story if line.startswith(EXPERIMENT)] == [
        f"{EXPERIMENT} day {day}: model is {day} days old (limit 3) FAILED" for day in (3, 4)
    ]
    assert "(limit 3), but 2 trainings for it failed: it waits for another cause or a person" in str(paper.said)
    assert len(paper.lake.partitions(EXPERIMENT, c.PREDICTIONS)) == 1 + 5
    edit(paper.root, EXPERIMENT_FILE, "num_trees: 150", "num_trees: 140")  # another cause
    assert trained(paper.tick()) == [EXPERIMENT]


def test_a_batch_that_failed_is_not_repeated_on_the_same_day(paper: Paper) -> None:
    paper.commit_days(1)
    for run in paper.tick():
        paper.end(run, failed=True)
    assert [paper.tick() for _ in range(2)] == [[]] * 2
    paper.commit_days(1)
    assert predicted(paper.tick()) == [OTHER, EXPERIMENT]


def test_a_run_that_dagster_starts_again_after_a_crash_is_the_same_try(begun: Paper) -> None:
    runs = begun.tick()
    for run in runs:
        begun.end(run, failed=True)
        begun.instance.add_run_tags(run.run_id, {"dagster/will_retry": "true"})
    begun.commit_days(1)
    assert begun.tick() == []  # it comes by itself
    again = [begun.again(run) for run in runs]
    assert begun.tick() == []
    for run in again:
        begun.end(run, failed=True)
    assert "retry 1 of 3" in begun.label(EXPERIMENT, "cool-down and retries")
    assert trained(begun.tick()) == [OTHER, EXPERIMENT]


# -- causes --------------------------------------------------------------------------------------------------------------


def test_drift_that_stays_is_a_cause(paper: Paper) -> None:
    drift = "features drifted for 2 days: posts psi 0.14 (expected <= 0.1)"
    assert live(paper, 2, drifted=True) == [f"{EXPERIMENT} day 2: {drift}"]
    assert len(paper.lake.partitions(EXPERIMENT, c.PREDICTIONS)) == 1 + 2  # a warning holds nothing back


def test_a_day_of_drift_is_no_cause_and_a_blocked_day_is_neither_learnt_nor_served(paper: Paper) -> None:
    assert live(paper, 1, drifted=True) == []
    assert live(paper, 3, drifted=True, blocked=True) == [f"{OTHER} day 3: {OLD}"]
    assert paper.day() not in paper.lake.partitions(EXPERIMENT, c.PREDICTIONS)
    assert f"{EXPERIMENT}: waits: the features of {paper.day()} are blocked" in str(paper.said)
    assert live(paper, 1) == [f"{EXPERIMENT} day 5: model is 5 days old (limit 3)"]


def test_an_accepted_day_is_served_and_one_that_is_delivered_again_is_judged_anew(paper: Paper) -> None:
    paper.commit_days(1, blocked=True)
    assert predicted(paper.tick()) == [OTHER]
    told = story(paper.of().project, EXPERIMENT)
    assert told is not None
    assert told.startswith(
        f"{EXPERIMENT}: publication blocked since {paper.day()} because of the features of {paper.day()}"
    )
    accept_day(paper.of().project, EXPERIMENT, paper.day(), "a holiday")
    assert story(paper.of().project, EXPERIMENT) is None
    paper.judge(asset_key(EXPERIMENT, c.FEATURE_STATISTICS), FEATURES, passed=True)  # as the command evaluates it again
    assert predicted(paper.tick()) == [EXPERIMENT]
    paper.ingest(paper.day(), text="again", blocked=True)
    assert story(paper.of().project, EXPERIMENT) is not None


def test_worse_online_metrics_train_once_for_what_failed_since_the_last_model(paper: Paper) -> None:
    key = asset_key(EXPERIMENT, c.ONLINE_METRICS)
    paper.judge(key, ONLINE, passed=False, text="a long story", short="ndcg@10 is 0.05, expected 0.08 to 0.11")
    assert paper.tick() == []  # a model of today is not tried again on the same day
    assert "the cool-down of 1 days lasts until" in str(paper.said)
    fell = f"{EXPERIMENT} day 1: online metrics fell: ndcg@10 is 0.05, expected 0.08 to 0.11"
    assert live(paper, 2) == [fell]


def test_a_changed_configuration_trains_its_own_experiment_once(paper: Paper) -> None:
    edit(paper.root, EXPERIMENT_FILE, "num_trees: 150", "num_trees: 140")
    (run,) = paper.tick()
    assert trained([run]) == [EXPERIMENT]
    assert run.tags[REASON] == "configuration changed: stages.model.num_trees: default -> 140"
    paper.train()
    paper.end(run)
    assert predicted(paper.tick()) == [EXPERIMENT]
    observed = paper.instance.fetch_observations(asset_key(EXPERIMENT, "config"), limit=5).records
    assert [record.asset_observation.metadata.get("changed") for record in observed][-1] is None  # the first look
    assert observed[0].asset_observation.metadata["changed"].value == "stages.model.num_trees: default -> 140"
    assert len(observed) == 2


def test_a_blocking_check_that_fails_holds_back_what_hangs_on_it(paper: Paper) -> None:
    statistics = asset_key(EXPERIMENT, c.FEATURE_STATISTICS)
    edit(paper.root, EXPERIMENT_FILE, "num_trees: 150", "num_trees: 140")
    paper.judge(statistics, FEATURES, passed=False)
    assert paper.tick() == []
    paper.judge(statistics, FEATURES, passed=False, warns=True)
    assert trained(paper.tick()) == [EXPERIMENT]


def test_what_no_training_reads_trains_nothing(paper: Paper) -> None:
    edit(
        paper.root,
        EXPERIMENT_FILE,
        "delivery:\n",
        "checks: {drift: {psi_warn: 0.01}}\ngate: {metric: ndcg@50}\ndelivery:\n",
    )
    edit(paper.root, EXPERIMENT_FILE, "owners: [discovery@example.org]", "owners: [others@example.org]")
    edit(paper.root, DATASET_FILE, "A toy log.", "Another text.")
    assert paper.tick() == []
    edit(paper.root, EXPERIMENT_FILE, "num_trees: 150", "num_trees: [")  # broken for a moment
    assert paper.tick() == []
    edit(paper.root, EXPERIMENT_FILE, "num_trees: [", "num_trees: 150")
    assert paper.tick() == []


def test_a_changed_weight_of_the_dataset_trains_all_that_read_it(paper: Paper) -> None:
    edit(paper.root, DATASET_FILE, "like: 1.0", "like: 2.0")
    assert paper.tick() == []  # their features come first
    for name in (EXPERIMENT, OTHER):
        paper.check(name, paper.day())
    assert trained(paper.tick()) == [OTHER, EXPERIMENT]


def test_a_changed_limit_holds_without_a_reload(paper: Paper) -> None:
    assert live(paper, 2) == []
    edit(paper.root, EXPERIMENT_FILE, "{model_days: 3}", "{model_days: 2}")
    assert [run.tags[REASON] for run in paper.tick()] == ["model is 2 days old (limit 2)"]


def test_code_that_makes_other_rows_trains(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = [replace(stage, code="next") if stage.name == c.MODEL else stage for stage in TYPE.made_for(c.EVALUATION)]
    monkeypatch.setattr(PipelineType, "made_for", lambda _type, _table: changed)
    runs = paper.tick()
    assert trained(runs) == [OTHER, EXPERIMENT]
    assert runs[0].tags[REASON].startswith("code changed: model: ")


def test_a_cause_that_is_not_listened_to(paper: Paper) -> None:
    edit(paper.root, EXPERIMENT_FILE, "delivery:\n", "retraining: {causes: [drift]}\ndelivery:\n")
    assert live(paper, 3) == [f"{OTHER} day 3: {OLD}"]


# -- backfills and restarts ------------------------------------------------------------------------------------------------


def test_a_backfill_of_an_old_day_starts_nothing(paper: Paper) -> None:
    live(paper, 2)
    old = paper.day(1)
    for scope, names in ((DATASET, (c.EVENTS, *c.SNAPSHOTS)), (EXPERIMENT, (*c.FEATURE_TABLES, c.FEATURE_STATISTICS))):
        for name in names:
            paper.report(asset_key(scope, name), old)
    assert [paper.tick() for _ in range(2)] == [[]] * 2
    assert live(paper, 1) == [f"{name} day 3: {OLD}" for name in (OTHER, EXPERIMENT)]  # the model is no younger for it


def test_an_old_day_delivered_again_is_learnt_from_once(paper: Paper) -> None:
    """With other rows: out of reach of the newest day's features, in reach of what its candidates come from."""
    live(paper, 2)
    paper.ingest(paper.day(1), text="delivered again")
    assert predicted(paper.tick()) == sorted([EXPERIMENT, OTHER])
    assert paper.tick() == []


def test_the_newest_day_delivered_again_is_predicted_again_once(paper: Paper) -> None:
    paper.ingest(paper.day(), text="delivered again")
    assert predicted(paper.tick()) == [OTHER, EXPERIMENT]
    assert paper.tick() == []


def test_a_restart_at_any_moment_changes_nothing(begun: Paper) -> None:
    """Nothing is kept but the runs: new definitions and a lost cursor see what there was."""

    def restart() -> None:
        begun.load()
        begun.cursor = None

    runs = begun.tick()
    restart()
    assert begun.tick() == []
    for run in runs:
        begun.train(run.tags[RETRAINING])
        begun.end(run)
    restart()
    batches = begun.tick()
    assert predicted(batches) == [OTHER, EXPERIMENT]
    restart()
    assert begun.tick() == []
    assert {run.tags[DAY] for run in [*runs, *batches]} == {begun.day()}


def test_the_conditions_tell_what_they_saw(paper: Paper) -> None:
    live(paper, 2)
    assert paper.label(EXPERIMENT, "age of the model") == "age of the model: model is 2 days old (limit 3)"
    assert paper.label(EXPERIMENT, "the newest day") == f"the newest day: {paper.day()} is checked and not blocked"
