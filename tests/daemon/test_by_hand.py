"""A person materialises by hand, through the real webserver and its pages, while days go by."""

import shutil
from collections.abc import Iterator

import pytest

from tests.daemon.living import DATASET, EXPERIMENT, Living, Run

pytestmark = [pytest.mark.daemon, pytest.mark.timeout(420)]

DAY_SECONDS, MODEL_DAYS = 60.0, 500.0
FROM_THE_MODEL = ("model", "evaluation", "champion", "predictions", "publication", "live_predictions")
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
    """Run once by `ok-ml run`, then started."""
    found = Living(tmp_path_factory.mktemp("hand"), day_seconds=DAY_SECONDS, model_days=MODEL_DAYS, first_port=29710)
    found.ok("run")
    try:
        found.start()
        yield found
    finally:
        if found.is_running:
            found.stop()


def test_a_partition_range_of_events(living: Living) -> None:
    days = living.days()[2:5]
    before = {run.id for run in living.runs()}
    run = _launch(living, DATASET, ("events",), days)
    assert run.id not in before
    assert run.tables == {"events"}
    records = living.instance.fetch_materializations(_key(DATASET, "events"), limit=20).records
    assert {record.partition_key for record in records if record.run_id == run.id} == set(days)


def test_after_a_run_from_the_command_line_days_go_on(living: Living) -> None:
    """What the users see changes with the next day, predicted by the model of the first run."""
    generation, (day, version) = living.generation(), living.live()
    assert generation is not None
    living.wait("a later day is live", 300, lambda: living.live()[0] > day)
    assert living.generation() > generation
    assert living.live()[1] == version
    assert not any(run.trains for run in living.runs() if run.tags.get("dagster/from_automation_condition"))


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


# -- by hand --------------------------------------------------------------------------------------------------------


def _launch(living: Living, scope: str, tables: tuple[str, ...], days: list[str] | None = None) -> Run:
    """Launch a run as the page does and wait for its success."""
    tags = (
        {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]} if days else {}
    )
    selector = {
        "repositoryLocationName": "ok_ml", "repositoryName": "__repository__", "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": [scope, table]} for table in tables], "assetCheckSelection": None,
    }  # fmt: skip
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
