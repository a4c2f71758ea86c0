"""Somebody acts: by hand, through the real webserver and its pages; in the YAML; with a kill. Days go by when told to.

One story on one project, in the order of the file; each test counts every run that it caused.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from ok_ml.monitoring.judges.feature_judge import DRIFTED
from ok_ml.quality.judges.verdicts import FEATURE_VERDICT
from tests.daemon.living import (
    DATASET,
    EXPERIMENT,
    EXPERIMENT_FILE,
    PATIENCE,
    TWIN,
    TWIN_FILE,
    Living,
    Run,
    assert_no_errors,
)
from tests.small_project import edit

pytestmark = [pytest.mark.daemon, pytest.mark.timeout(600 * PATIENCE)]

Runs: TypeAlias = Callable[[], list[Run]]

DAY_SECONDS, MODEL_DAYS = 3600.0, 500.0  # nothing grows old while this goes on
RETRAINING = "{drift_days: 1, cool_down_days: 1}"
FROM_THE_MODEL = (
    "model", "evaluation", "champion", "retrieval", "predictions", "prediction_statistics", "publication",
    "live_predictions",
)  # fmt: skip
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    """One experiment was run by `ok-ml run`, its twin never; then everything is started, but days go by on demand."""
    base = tmp_path_factory.mktemp("hand")
    found = Living(
        base, day_seconds=DAY_SECONDS, model_days=MODEL_DAYS, first_port=29710, twin=True, retraining=RETRAINING
    )
    found.ok("run", EXPERIMENT)
    try:
        found.start("--no-clock")
        yield found
    finally:
        if found.is_running:
            found.stop()


@pytest.fixture
def runs(living: Living) -> Runs:
    """What ran since the test began, once nothing runs any more."""
    before = {run.id for run in living.runs()}
    return lambda: [run for run in living.quiet() if run.id not in before]


def kinds(runs: list[Run]) -> Counter[str]:
    return Counter(run.kind for run in runs)


def test_what_a_command_has_made_is_not_made_again_and_the_twin_needs_nobody(living: Living) -> None:
    living.wait("the twin is live", 300, lambda: living.live(TWIN)[0])
    asked = [run for run in living.quiet() if run.reason]
    assert kinds(asked) == {f"train {TWIN}": 1, f"predict {TWIN}": 1}, living.story()
    assert next(run.reason for run in asked) == "there is no model yet"


def test_a_partition_range_of_old_events_starts_nothing_else(living: Living, runs: Runs) -> None:
    days = living.days()[2:5]
    run = _launch(living, DATASET, ("events",), days)
    assert run.tables == {"events"}
    records = living.instance.fetch_materializations(_key(DATASET, "events"), limit=20).records
    assert {record.partition_key for record in records if record.run_id == run.id} == set(days)
    assert [found.id for found in runs()] == [run.id], living.story()


def test_a_day_goes_by_once_though_the_daemon_is_killed_in_the_middle(living: Living, runs: Runs) -> None:
    """What the users see changes with the next day, predicted by the model of the first run."""
    generation, (_, version) = living.generation(), living.live()
    day = living.day()
    living.wait(
        "its run has started", 120, lambda: any(run.is_ingest and run.status == "STARTED" for run in living.runs())
    )
    living.restart("daemon")
    living.wait("the day is live", 300, lambda: living.live()[0] == living.live(TWIN)[0] == day)
    found = runs()
    assert kinds(found) == {"ingest": 1, f"predict {EXPERIMENT}": 1, f"predict {TWIN}": 1}, living.story()
    assert {run.status for run in found} == {"SUCCESS"}, living.story()
    assert living.generation() > generation
    assert living.live()[1] == version
    assert living.alerts("opened") == living.alerts("closed")  # of the daemon's death, if anybody saw it
    assert all("daemon" in title for title in living.alerts("opened")), living.story()


def test_from_the_model_to_what_is_live(living: Living) -> None:
    generation, version = living.generation(), living.live()[1]
    run = _launch(living, EXPERIMENT, FROM_THE_MODEL)
    assert run.tables == set(FROM_THE_MODEL)
    assert living.generation() > generation
    champion = living.manifest("champion")["details"]
    assert living.live()[1] == str(champion["model_version"])
    assert champion["promoted"] is (int(champion["model_version"]) > int(version))


def test_a_click_on_materialize(living: Living) -> None:
    """The button on the page of the publication; what follows from it goes live by itself."""
    generation = living.generation()
    _click_materialize(living, f"{EXPERIMENT}/publication")
    run = living.wait("the run of the click ends", 200, lambda: _of_the_click(living))
    assert run.status == "SUCCESS", living.story()
    assert living.wait("its generation is live", 120, lambda: living.generation() > generation)


def test_a_changed_configuration_trains_its_own_experiment_once(living: Living, runs: Runs) -> None:
    edit(living.root, TWIN_FILE, "{psi_warn: 5, psi_block: 50}", "{psi_warn: 6, psi_block: 50}")  # trains nothing
    edit(living.root, EXPERIMENT_FILE, "num_trees: 20}", "num_trees: 21}")
    found = runs()
    trained = [run for run in found if run.trains]
    assert [run.reason for run in trained] == ["configuration changed: stages.model.num_trees: 20 -> 21"], (
        living.story()
    )
    assert {scope for run in found for scope in run.scopes} == {EXPERIMENT}
    assert len(found) == 1 + bool(living.manifest("champion")["details"]["promoted"]), living.story()
    made = living.instance.fetch_materializations(_key(EXPERIMENT, "model"), limit=1).records[0].asset_materialization
    assert made.metadata["reason"].value == trained[0].reason
    seen = living.instance.fetch_observations(_key(EXPERIMENT, "config"), limit=9).records
    assert [record.asset_observation.metadata.get("changed") is not None for record in seen] == [True, False]


def test_a_training_that_fails_is_retried_on_the_next_day_and_is_one_alert(living: Living, runs: Runs) -> None:
    opened = living.alerts("opened")
    living.sabotage.touch()
    edit(living.root, EXPERIMENT_FILE, "num_trees: 21}", "num_trees: 22}")
    found = runs()
    assert kinds(found) == {f"train {EXPERIMENT}": 1}, living.story()
    assert found[0].failed_steps == {"model"}
    alert = living.wait("an alert opens", 60, lambda: living.alerts("opened")[len(opened) :])
    living.sabotage.unlink()
    day = living.day()
    living.wait("the day is live", 400, lambda: living.live()[0] == living.live(TWIN)[0] == day)
    trained = [run for run in runs() if run.trains]
    assert [run.status for run in trained] == ["FAILURE", "SUCCESS"], living.story()
    assert len({run.reason for run in trained}) == 1
    living.wait("the alert closes", 120, lambda: living.alerts("closed")[-1:] == alert)
    assert living.alerts("opened") == [*opened, *alert], living.story()


def test_features_that_drift_train_once_within_the_cool_down(living: Living, runs: Runs) -> None:
    opened = living.alerts("opened")
    edit(living.root, EXPERIMENT_FILE, "{psi_warn: 5, psi_block: 50}", "{psi_warn: 0.00001, psi_block: 50}")
    for _ in range(2):
        day = living.day()
        living.wait("the day is live", 400, lambda day=day: living.live()[0] == living.live(TWIN)[0] == day)
        living.quiet()
    trained = [run for run in runs() if run.trains]
    assert len(trained) == 1, living.story()
    assert trained[0].scopes == {EXPERIMENT}
    assert trained[0].reason.startswith("features drifted for 1 day: ")
    # The second day is held against the new model's reference; among 300 users it may be within chance, and then nothing waits.
    verdict = living.manifest(FEATURE_VERDICT, day)
    assert verdict is not None
    waits = living.says("the cool-down of 2 days lasts until")
    assert waits == bool(verdict["details"][DRIFTED]), living.story()
    drift = f"{EXPERIMENT}/feature_statistics: feature_distributions failed"
    assert living.alerts("opened")[len(opened) :] == [drift], living.story()


def test_nobody_has_complained(living: Living) -> None:
    living.stop()
    assert_no_errors(living)


# -- by hand --------------------------------------------------------------------------------------------------------


def _launch(living: Living, scope: str, tables: tuple[str, ...], days: list[str] | None = None) -> Run:
    """Launch a run as the page does and wait for its success."""
    tags = (
        {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]} if days else {}
    )
    selector = {
        "repositoryLocationName": "ok_ml",
        "repositoryName": "__repository__",
        "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": [scope, table]} for table in tables],
        "assetCheckSelection": None,
    }
    named = [{"key": key, "value": value} for key, value in {**tags, "ok_ml/by": "hand"}.items()]
    params = {"selector": selector, "runConfigData": "{}", "mode": "default", "executionMetadata": {"tags": named}}
    answer = living.graphql(LAUNCH, params=params)["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    run_id = answer["run"]["runId"]
    run = living.wait("the launched run ends", 300, lambda: _ended(living, run_id))
    assert run.status == "SUCCESS", (run.failed_steps, living.story())
    return run


def _ended(living: Living, run_id: str) -> Run | None:
    return next(
        (run for run in living.runs() if run.id == run_id and run.status in ("SUCCESS", "FAILURE", "CANCELED")), None
    )


def _of_the_click(living: Living) -> Run | None:
    clicked = [run for run in living.runs() if run.tables == {"publication"}]
    return _ended(living, clicked[-1].id) if clicked else None


def _key(scope: str, table: str) -> object:
    from dagster import AssetKey

    return AssetKey([scope, table])


def _click_materialize(living: Living, asset: str) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"http://127.0.0.1:{living.ports['3000']}/assets/{asset}", timeout=60_000)
            button = page.get_by_role("button", name="Materialize", exact=False).first
            button.wait_for(timeout=60_000)
            button.click()
            page.get_by_text("Launched run", exact=False).first.wait_for(timeout=60_000)
        finally:
            browser.close()
