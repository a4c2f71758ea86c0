"""Every block of the text on expectations, on a small network that has been run once; and what holds back features and lists."""

import re

import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.checks.expectations import dataset_expectations, experiment_expectations
from ok_ml.config.sections.expectation_models import gallery
from ok_ml.errors import GateRefused
from ok_ml.monitoring.accepting import accept_day
from ok_ml.monitoring.judges.expectation_results import Expected, outcomes_on
from ok_ml.monitoring.judges.feature_judge import is_judged, judge_features, require_verdict
from ok_ml.monitoring.judges.prediction_judge import require_predictions
from tests.pipelines.conftest import World
from tests.pipelines.world_project import DATASET, DATASET_FILE, EXPERIMENT, EXPERIMENT_FILE
from tests.small_project import ROOT, edit

TEXT = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("## Expectations of Great Expectations")[2].partition("\n## ")[0]
_BLOCK = re.compile(r"^`(\S+)`\n\n```(?:python|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = dict(_BLOCK.findall(SECTION))


def put(world: World, name: str, block: str) -> None:
    """A block that begins with `checks:` becomes the beginning of that section of a file."""
    edit(world.root, name, "\nchecks:\n", "\n" + block)


@pytest.fixture(scope="module")
def written(copied_world: World) -> World:
    """The project with everything of the text in it."""
    for name, body in FILES.items():
        if name.endswith(".yml"):
            put(copied_world, name, body)
        else:
            (copied_world.root / name).parent.mkdir(exist_ok=True)
            (copied_world.root / name).write_text(body, encoding="utf-8")
    return copied_world


def test_the_text_has_a_block_of_each_kind(written: World) -> None:
    """The small network is run for it, if no other module has asked for it yet: most of a test's time."""
    assert (written.root / "ideas/my_checks.py").is_file()
    assert sorted(FILES) == [DATASET_FILE, EXPERIMENT_FILE, "ideas/my_checks.py"]
    assert SECTION.count("\n```\n") == len(FILES)
    assert f"All {len(gallery())}\nexpectations of GX" in SECTION


def test_the_text_s_configuration_is_valid_and_every_expectation_of_it_is_computed(written: World) -> None:
    done = written.ok("validate")
    assert done.code == 0, done.out
    pipeline = written.pipeline
    for scope in (DATASET, EXPERIMENT):
        expected = Expected.of(pipeline.project, scope)
        for table in expected.tables:
            dt = pipeline.lake.latest(scope, table)
            outcomes, _ = outcomes_on(expected, table, dt)
            assert outcomes, table
            assert [(one.expectation, one.error, one.passed) for one in outcomes if not one.passed] == []


def test_there_is_a_check_a_table(written: World) -> None:
    pipeline = written.pipeline
    checks = [*dataset_expectations(pipeline.project, pipeline.dataset), *experiment_expectations(pipeline)]
    found = {key.to_user_string(): next(iter(one.check_specs)).blocking for one in checks for key in one.check_keys}
    assert found == {
        f"{DATASET}/{c.EVENTS}:expectations": True,
        f"{DATASET}/{c.USERS}:expectations": True,
        f"{EXPERIMENT}/{c.USER_FEATURES}:expectations": False,
        f"{EXPERIMENT}/{c.FEATURE_STATISTICS}:expectations": False,
        f"{EXPERIMENT}/{c.PREDICTIONS}:expectations": True,
    }


def test_a_critical_one_of_the_features_holds_back_predictions_until_it_is_accepted(spare_world: World) -> None:
    expected = "checks:\n  expectations:\n    - {table: user_features, expect: [{expect_column_max_to_be_between: {column: user_id, max_value: 1}}]}\n"
    put(spare_world, EXPERIMENT_FILE, expected)
    pipeline = spare_world.pipeline
    dt = pipeline.calendar().serve_cut
    assert not is_judged(pipeline, dt), "something else is expected of it now"
    verdict = judge_features(pipeline)
    [found] = [one for one in verdict.failed if one.entity == c.USER_FEATURES]
    assert found.severity == "warn", "the days of the first generation are its past"

    for path in (spare_world.lake.root / EXPERIMENT / c.LIVE_HISTORY / "_committed").iterdir():
        manifest = path.read_text()
        path.write_text(manifest.replace(f'"data_dt": "{dt}"', '"data_dt": "2000-01-01"'))
    verdict = judge_features(pipeline)
    assert verdict.blocks
    with pytest.raises(GateRefused, match=rf"expect_column_max_to_be_between.*(?s:.)*ok-ml accept {EXPERIMENT} {dt}"):
        require_verdict(pipeline, dt)
    accept_day(pipeline.project, EXPERIMENT, dt, "ids are large here")
    assert not judge_features(pipeline).blocks
    require_verdict(pipeline, dt)


def test_a_critical_one_of_the_lists_holds_back_publication_and_a_warning_does_not(spare_world: World) -> None:
    expected = "checks:\n  expectations:\n    - {table: predictions, expect: [{expect_table_row_count_to_equal: {value: 3}}]}\n"
    put(spare_world, EXPERIMENT_FILE, expected)
    pipeline = spare_world.pipeline
    dt = pipeline.lake.latest(EXPERIMENT, c.PREDICTIONS)
    with pytest.raises(
        GateRefused, match=rf"expect_table_row_count_to_equal is \d+, expected(?s:.)*ok-ml accept {EXPERIMENT} {dt}"
    ):
        require_predictions(pipeline)
    accept_day(pipeline.project, EXPERIMENT, dt, "there are more of them")
    require_predictions(pipeline)
    before = pipeline.lake.read(EXPERIMENT, c.PREDICTIONS, [dt])
    assert pa.types.is_list(before.schema.field(c.SOURCE_IDS).type)
    edit(spare_world.root, EXPERIMENT_FILE, "{value: 3}", "{value: 4, severity: warning}")
    require_predictions(spare_world.pipeline)
