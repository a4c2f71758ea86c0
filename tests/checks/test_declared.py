"""The declared checks of a dataset, in Dagster: what blocks, what only warns, and what a failed one shows."""

import dagster as dg
import pytest

from ok_ml import columns as c
from ok_ml.checks.datasets import dataset_checks
from ok_ml.config.loader import load_project
from ok_ml.graph import keys
from ok_ml.lake import Lake
from ok_ml.monitoring.accepting import accept_day
from ok_ml.monitoring.judges.data_judge import judge_data, known_verdict
from ok_ml.quality.judges.day_rules import KINDS
from tests.quality.day_world import NAME, DayWorld
from tests.small_project import edit, make_project

DATASET = "configs/datasets/toy.yml"
DAYS = ["2026-01-05", "2026-01-12", "2026-01-13"]


@pytest.fixture
def root(tmp_path):
    return make_project(tmp_path / "project")


@pytest.fixture
def open_world(root, monkeypatch):
    for name in ("OK_ML_PROJECT", "OK_ML_SIZE", "OK_ML_ENV", "OK_ML_STATE"):
        monkeypatch.delenv(name, raising=False)

    def opened():
        project = load_project(root)
        world = DayWorld(Lake(project.lake_root))
        for dt in DAYS[:-1]:
            world.commit(dt)
        return project, world

    return opened


def run(project):
    """A run of the events, their checks, and something after them; the names of the steps that were made."""
    key = keys.asset_key(NAME, c.EVENTS)

    @dg.asset(key=key)
    def events() -> None:
        """As ingest: the lake already has the day."""

    @dg.asset(key=keys.asset_key(NAME, c.EVENT_STATISTICS), deps=[key])
    def numbers() -> None:
        """After the snapshots, which the lake has too."""

    @dg.asset(deps=[numbers])
    def features() -> None:
        """What users would be harmed by."""

    checks = list(dataset_checks(project, project.datasets[NAME]))
    defs = dg.Definitions(assets=[events, numbers, features], asset_checks=checks)
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(raise_on_error=False)
    made = [event.asset_key.path[-1] for event in result.get_asset_materialization_events()]
    return result.success, "features" in made, {one.check_name: one for one in result.get_asset_check_evaluations()}


def test_a_quiet_day_passes_every_check(open_world):
    project, world = open_world()
    world.commit(DAYS[-1])
    success, reached, found = run(project)
    assert (success, reached) == (True, True)
    assert set(found) == {*KINDS, "rejected_rows"}
    (mute,) = [one for one in found.values() if not one.passed]
    assert (mute.check_name, mute.severity) == ("categories", dg.AssetCheckSeverity.WARN), "none is declared"
    assert "nothing to judge" in mute.description
    assert keys.NOTHING_JUDGED in mute.metadata
    assert found["volume"].description.startswith("2026-01-13: all 2 rules hold")


def test_a_warning_lets_what_follows_go_on_and_has_a_plot_first(open_world):
    project, world = open_world()
    world.commit(DAYS[-1], rows=20)
    success, reached, found = run(project)
    assert (success, reached) == (True, True)
    volume = found["volume"]
    assert (volume.passed, volume.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "events on 2026-01-13: rows is 20 (usual: 100" in volume.description
    assert (
        "since that day; see whether the day's files are all there, and none twice; look further:" in volume.description
    )
    assert "`ok-ml checks toy --day 2026-01-13`, http://127.0.0.1:21315/monitoring/toy_sources" in volume.description
    assert next(iter(volume.metadata)) == "plot"
    assert (project.state_dir / "plots" / NAME / "check-2026-01-13.png").read_bytes()[:4] == b"\x89PNG"
    failed = {name for name, one in found.items() if not one.passed and keys.NOTHING_JUDGED not in one.metadata}
    assert failed == {"volume"}


def test_what_would_harm_users_blocks_what_follows_unless_the_yaml_says_warn(open_world, root):
    project, world = open_world()
    world.commit(DAYS[-1], twice=2)
    success, reached, found = run(project)
    assert (success, reached, found["uniqueness"].passed) == (True, True, False)
    assert found["uniqueness"].severity == dg.AssetCheckSeverity.WARN
    assert "it blocks nothing: nothing made from toy is served yet" in found["uniqueness"].description

    world.serve(DAYS[-2])
    success, reached, found = run(project)
    assert (success, reached) == (False, False)
    assert found["uniqueness"].severity == dg.AssetCheckSeverity.ERROR
    way_out = f"{DAYS[-1]} blocks; to go on, if the change is real: ok-ml accept {NAME} {DAYS[-1]} --reason TEXT. "
    assert found["uniqueness"].description.startswith(way_out)
    edit(root, DATASET, "has_impressions: true", "has_impressions: true\nchecks: {keys: warn}")
    success, reached, found = run(load_project(root))
    assert (success, reached, found["uniqueness"].passed) == (True, True, False)


def test_what_is_accepted_lets_what_follows_go_on(open_world):
    project, world = open_world()
    world.commit(DAYS[-1], twice=2)
    run(project)
    accept_day(project, NAME, DAYS[-1], "two share a device")
    success, reached, found = run(project)
    assert (success, reached, found["uniqueness"].passed) == (True, True, True)
    assert "or are accepted by" in found["uniqueness"].description


def test_a_verdict_is_known_until_data_or_limits_change(open_world, root):
    project, world = open_world()
    world.commit(DAYS[-1], rows=20)
    config = project.datasets[NAME]
    assert known_verdict(project, config, DAYS[-1]) is None
    judged = judge_data(project, config)
    again = known_verdict(project, config, DAYS[-1])
    assert again is not None
    assert (again.headline, again.failed) == (judged.headline, judged.failed)
    edit(root, DATASET, "has_impressions: true", "has_impressions: true\nchecks: {volume: {low_warn: 0.1}}")
    changed = load_project(root)
    assert known_verdict(changed, changed.datasets[NAME], DAYS[-1]) is None
    assert judge_data(changed, changed.datasets[NAME]).failed == []
    world.commit(DAYS[-1], rows=90)
    assert known_verdict(changed, changed.datasets[NAME], DAYS[-1]) is None


def test_the_declaration_enters_no_record_of_what_is_made(open_world, root):
    from ok_ml.datasets.formats.raw_tables import config_version

    before = config_version(load_project(root).datasets[NAME], c.EVENTS)
    edit(root, DATASET, "has_impressions: true", "has_impressions: true\nchecks: {volume: {low_warn: 0.1}}")
    assert config_version(load_project(root).datasets[NAME], c.EVENTS) == before


@pytest.mark.parametrize(("aside", "passed"), [(5, True), (20, False)])
def test_rows_set_aside_warn_beyond_their_share(open_world, aside, passed):
    project, world = open_world()
    world.commit(DAYS[-1])
    lake = Lake(project.lake_root)
    manifest = lake.manifest(NAME, c.EVENTS, DAYS[-1])
    reasons = {"bad_user_id": aside - 1, "repeated": 1}
    rows = lake.read(NAME, c.EVENTS, [DAYS[-1]])
    details = {**manifest.details, "rejected": reasons}
    lake.write(NAME, c.EVENTS, DAYS[-1], rows, sort_by=[c.USER_ID], details=details)
    check = run(project)[2]["rejected_rows"]
    assert (check.passed, check.severity) == (passed, dg.AssetCheckSeverity.WARN)
    total = rows.num_rows + aside
    assert check.description == (
        f"{aside} of {total} rows of {DAYS[-1]} set aside ({aside / total:.2%}, limit 5%): bad_user_id {aside - 1},"
        f" repeated 1. They are in {NAME}/rejected_events."
    )
    assert check.metadata["rejected"].value == aside
