"""How old data are: no backfill makes them younger."""

import time

import pytest

from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.monitoring.data_ages import came_at, data_day
from tests.automation.paper import DATASET, EXPERIMENT, Paper

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Paper:
    """Four days, and a model that predicted the newest."""
    found = Paper(tmp_path_factory.mktemp("ages"))
    found.commit_days(4)
    found.train()
    found.predict()
    return found


@pytest.mark.parametrize(
    ("scope", "table"),
    [(DATASET, c.EVENTS), (EXPERIMENT, c.FEATURE_STATISTICS), (EXPERIMENT, c.PREDICTIONS)],
)
def test_a_table_is_as_old_as_the_arrival_of_its_newest_day(paper: Paper, scope: str, table: str) -> None:
    project = load_project(paper.root)
    assert data_day(paper.lake, scope, table) == paper.day()
    before = came_at(project, scope, table)
    assert before is not None
    assert time.time() - 300 < before < time.time()
    paper.ingest(paper.day(0), text="delivered again")  # an old day
    paper.predict()  # the same day by another model
    assert came_at(project, scope, table) == before
    paper.commit_days(1)
    later = came_at(project, scope, table)
    assert later == before if table == c.PREDICTIONS else later > before  # not predicted yet
    paper.predict()
    assert came_at(project, scope, table) > before


def test_what_is_not_by_day_is_as_old_as_it_was_made(paper: Paper) -> None:
    project = load_project(paper.root)
    assert data_day(paper.lake, EXPERIMENT, c.CHAMPION) is None
    assert came_at(project, EXPERIMENT, c.CHAMPION) is None
    assert came_at(project, EXPERIMENT, c.EMBEDDINGS) is None  # nothing there
