"""Expectations of the YAML in Dagster: what blocks, what only warns, what a check shows, and how a person lets a day pass."""

import shutil

import dagster as dg
import pytest

from ok_ml import columns as c
from ok_ml.checks.datasets import dataset_checks
from ok_ml.checks.expectations import dataset_expectations
from ok_ml.config.loader import load_project
from ok_ml.graph import keys
from ok_ml.lake import Lake
from ok_ml.monitoring.accepting import accept_day
from ok_ml.monitoring.judges.data_judge import judge_data, known_verdict
from ok_ml.monitoring.judges.expectation_results import Expected, outcomes_on, page_path
from ok_ml.monitoring.open_findings import findings_of
from ok_ml.quality.gx import gx_run
from ok_ml.quality.judges.verdicts import DECLARED_VERDICT, verdict_on
from ok_ml.stages.blocked_days import blocked_log
from tests.quality.day_world import NAME, DayWorld
from tests.small_project import edit, make_project, write

DATASET = "configs/datasets/toy.yml"
DAYS = ["2026-01-05", "2026-01-12", "2026-01-13"]
EXPECTED = """
checks:
  expectations:
    - table: events
      expect:
        - expect_column_values_to_match_regex: {column: content_type, regex: "^[a-z]+$", mostly: 0.9}
        - expect_table_row_count_to_be_between: {min_value: 1}
    - table: users
      severity: warning
      expect:
        - expect_column_values_to_be_unique: {column: user_id}
"""
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name in ("OK_ML_PROJECT", "OK_ML_SIZE", "OK_ML_ENV", "OK_ML_STATE"):
        monkeypatch.delenv(name, raising=False)
    made = make_project(tmp_path / "project")
    edit(made, DATASET, "has_impressions: true", "has_impressions: true" + EXPECTED)
    return made


@pytest.fixture
def world(root):
    made = DayWorld(Lake(load_project(root).lake_root))
    for dt in DAYS[:-1]:
        made.commit(dt)
    made.serve(DAYS[-2])  # there is something to protect
    return made


def run(root):
    """A run of events and users, their checks, and something after them: success, what was made, checks by table and name."""
    project = load_project(root)

    @dg.asset(key=keys.asset_key(NAME, c.EVENTS))
    def events() -> None:
        """As ingest: the lake already has the day."""

    @dg.asset(key=keys.asset_key(NAME, c.USERS), deps=[events])
    def users() -> None:
        """The same of its snapshots."""

    @dg.asset(key=keys.asset_key(NAME, c.EVENT_STATISTICS), deps=[users])
    def numbers() -> None:
        """What is made from them."""

    of = project.datasets[NAME]
    checks = [*dataset_checks(project, of), *dataset_expectations(project, of)]
    defs = dg.Definitions(assets=[events, users, numbers], asset_checks=checks)
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(raise_on_error=False)
    made = [event.asset_key.path[-1] for event in result.get_asset_materialization_events()]
    found = {(one.asset_key.path[-1], one.check_name): one for one in result.get_asset_check_evaluations()}
    return result.success, made, found


def results(check):
    """Rows of the table that a check shows."""
    return [record.data for record in check.metadata["results"].records]


def test_what_holds_passes_with_a_row_an_expectation_and_a_page(root, world):
    world.commit(DAYS[-1])
    success, _, found = run(root)
    check = found[c.EVENTS, "expectations"]
    assert (success, check.passed) == (True, True)
    assert [(row["expectation"], row["passed"], row["observed"]) for row in results(check)] == [
        ("expect_column_values_to_match_regex", True, "0 of 100 values unexpected (0 %)"),
        ("expect_table_row_count_to_be_between", True, "100"),
    ]
    assert check.metadata["rows"].value == "all 100 rows were judged"
    path = page_path(load_project(root), NAME, c.EVENTS, DAYS[-1])
    assert check.metadata["page"].value.endswith(f"/plots/{NAME}/{path.name}")
    assert "all 2 expectations hold; all 100 rows were judged" in path.read_text()
    assert found[c.USERS, "expectations"].passed


def test_a_critical_one_blocks_what_follows_until_somebody_accepts_it(root, world):
    world.commit(DAYS[-1], content=("PHOTO", "text"))
    success, made, found = run(root)
    check = found[c.EVENTS, "expectations"]
    assert (success, made) == (False, [c.EVENTS])
    assert (check.passed, check.severity) == (False, ERROR)
    assert check.description.startswith(
        f"{DAYS[-1]} blocks; to go on, if the change is real: ok-ml accept {NAME} {DAYS[-1]} --reason TEXT. "
    )
    assert (
        "expect_column_values_to_match_regex is 50 of 100 values unexpected (50 %), such as PHOTO" in check.description
    )
    [row, _] = results(check)
    assert (row["unexpected"], row["percent"], row["examples"]) == ("50", "50", ", ".join(["PHOTO"] * 20))
    assert blocked_log(world.lake, NAME).keys() == {DAYS[-1]}, "no window, label or reference holds it"
    assert all(one.passed for (_, name), one in found.items() if name in ("columns", "nulls", "volume"))

    accept_day(load_project(root), NAME, DAYS[-1], "the app writes them in capitals now")
    success, made, found = run(root)
    check = found[c.EVENTS, "expectations"]
    assert (success, check.passed, c.EVENT_STATISTICS in made) == (True, True, True)
    assert "accepted by" in check.description
    assert not results(check)[0]["passed"], "what was observed stays as it was"
    assert blocked_log(world.lake, NAME) == {}


def test_on_a_day_of_the_past_it_only_tells(root, world):
    world.commit(DAYS[-1], content=("PHOTO", "text"))
    shutil.rmtree(world.lake.root / "toy_sources")  # nothing was served
    success, _, found = run(root)
    check = found[c.EVENTS, "expectations"]
    assert (success, check.passed, check.severity) == (True, False, WARN)
    assert "it blocks nothing: nothing made from toy is served yet" in check.description


def test_a_warning_lets_what_follows_go_on(root, world):
    edit(root, DATASET, "checks:\n", "checks:\n  keys: warn\n")
    world.commit(DAYS[-1], twice=2)
    success, made, found = run(root)
    check = found[c.USERS, "expectations"]
    assert (success, c.EVENT_STATISTICS in made) == (True, True)
    assert (check.passed, check.severity) == (False, WARN)
    assert results(check)[0]["unexpected"] == "4"


def test_its_own_severity_is_worth_more_than_that_of_its_group(root, world):
    edit(root, DATASET, "{column: user_id}", "{column: user_id, severity: critical}")
    edit(root, DATASET, "checks:\n", "checks:\n  keys: warn\n")
    world.commit(DAYS[-1], twice=2)
    success, made, found = run(root)
    assert (success, made) == (False, [c.EVENTS, c.USERS])
    assert found[c.USERS, "expectations"].severity == ERROR


def test_a_missing_column_is_a_finding_that_says_so(root, world):
    edit(root, DATASET, "column: content_type", "column: kind_of_content")
    world.commit(DAYS[-1])
    success, made, found = run(root)
    check = found[c.EVENTS, "expectations"]
    assert (success, made, check.severity) == (False, [c.EVENTS], ERROR)
    assert 'The column "kind_of_content" in BatchData does not exist' in check.description
    assert "what could not be computed does not pass" in check.description


@pytest.mark.parametrize(
    ("most", "said"), [(1000, "all 100 rows were judged"), (30, "30 of 100 rows were drawn and judged")]
)
def test_it_says_how_many_rows_were_judged_whatever_a_condition_picks_of_them(root, world, most, said):
    edit(root, DATASET, "    - table: events\n", f"    - table: events\n      sample_rows: {most}\n")
    edit(root, DATASET, "mostly: 0.9}", "mostly: 0.9, row_condition: user_id < 0}")
    world.commit(DAYS[-1])
    check = run(root)[2][c.EVENTS, "expectations"]
    assert (check.passed, check.metadata["rows"].value) == (True, said)
    assert results(check)[1]["observed"] == "100", "rows are counted of the whole table"


def test_a_table_that_is_not_there_has_nothing_to_judge(root, world):
    edit(root, DATASET, "table: users", "table: friends")
    world.commit(DAYS[-1])
    found = outcomes_on(Expected.of(load_project(root), NAME), c.FRIENDS, DAYS[-1])
    assert found == ([], 0)


def test_results_are_kept_and_run_again_only_for_other_rows_other_expectations_or_other_code(root, world, monkeypatch):
    runs = []
    real = gx_run.run
    monkeypatch.setattr(gx_run, "run", lambda named, *more: runs.append(len(named)) or real(named, *more))
    own = "import great_expectations.expectations as gxe\n\n\nclass ExpectMany(gxe.ExpectTableRowCountToBeBetween):\n    min_value: int = {}\n"
    write(root, "ideas/many.py", own.format(1))
    edit(root, DATASET, "    - table: users\n", '        - "ideas/many.py:ExpectMany": {}\n    - table: users\n')

    def outcomes():
        runs.clear()
        found, _ = outcomes_on(Expected.of(load_project(root), NAME), c.EVENTS, DAYS[-1])
        return [one.passed for one in found], [*runs]

    world.commit(DAYS[-1])
    assert outcomes() == ([True] * 3, [3])
    assert outcomes() == ([True] * 3, [])
    kept = world.lake.read(NAME, "events_expectations", [DAYS[-1]]).to_pylist()
    assert [row["expectation"] for row in kept][-1] == "ideas/many.py:ExpectMany"
    write(root, "ideas/many.py", own.format(1000))
    assert outcomes() == ([True, True, False], [3])
    edit(root, DATASET, "mostly: 0.9", "mostly: 1.0")
    assert outcomes() == ([True, True, False], [3])
    world.commit(DAYS[-1], rows=90)
    assert outcomes() == ([True, True, False], [3])
    assert outcomes() == ([True, True, False], [])


def test_a_verdict_is_known_until_what_is_expected_changes(root, world):
    world.commit(DAYS[-1])
    project = load_project(root)
    judge_data(project, project.datasets[NAME])
    assert known_verdict(project, project.datasets[NAME], DAYS[-1]) is not None
    edit(root, DATASET, "mostly: 0.9", "mostly: 1.0")
    project = load_project(root)
    assert known_verdict(project, project.datasets[NAME], DAYS[-1]) is None


def test_a_look_that_is_not_to_commit_keeps_nothing(root, world):
    world.commit(DAYS[-1], content=("PHOTO", "text"))
    project = load_project(root)
    assert judge_data(project, project.datasets[NAME], keep=False).blocks
    assert world.lake.partitions(NAME, "events_expectations") == []
    assert not page_path(project, NAME, c.EVENTS, DAYS[-1]).exists()


def test_it_says_since_when_and_stands_in_the_list_of_all_findings(root, world):
    project = load_project(root)
    for dt in DAYS[1:]:
        world.commit(dt, content=("PHOTO", "text"))
        judge_data(project, project.datasets[NAME], dt=dt)
    dt, rows = findings_of(project, NAME, None, lambda _: None)
    [row] = [row for row in rows if row.check == "expectations" and row.state != "ok"]
    assert (dt, row.state, row.of, row.statistic, row.since) == (
        DAYS[-1], "fail", "events content_type", "expect_column_values_to_match_regex", DAYS[1],
    )  # fmt: skip
    assert row.command == f"ok-ml accept {NAME} {DAYS[-1]} --reason TEXT"


def test_the_same_expected_twice_of_a_column_is_accepted_one_at_a_time(root, world):
    more = '        - expect_column_values_to_match_regex: {column: content_type, regex: "^[A-Z]"}\n'
    edit(root, DATASET, "        - expect_table_row", more + "        - expect_table_row")
    world.commit(DAYS[-1])
    project = load_project(root)
    judge_data(project, project.datasets[NAME])
    accept_day(project, NAME, DAYS[-1], "small letters are meant")
    edit(root, DATASET, "mostly: 0.9", "mostly: 0.95")
    edit(root, DATASET, "^[a-z]+$", "^[0-9]+$")
    project = load_project(root)
    judge_data(project, project.datasets[NAME])
    judged = verdict_on(world.lake, NAME, DECLARED_VERDICT, DAYS[-1])
    [left] = judged.failed
    assert left.severity == "block"
    assert "^[0-9]+$" in left.message
