"""`ok-ml estimate`: what lists would earn, on days on which the champion's own lists were shown."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from ok_ml import columns as c
from ok_ml.cli.context import Settings
from ok_ml.cli.runs.estimate_run import THIS, EstimateSummary, estimate, listed
from ok_ml.config.loader import load_project
from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.errors import DataError
from ok_ml.monitoring.series.live_history import live_history
from ok_ml.ranked_lists import exposures
from ok_ml.ranked_lists.exposures import padded
from ok_ml.world.behaviour.exposure import ServedLists
from ok_ml.world.log.raw_log import export_days
from ok_ml.world.population.network import World as Network
from tests.pipelines.conftest import SIZE, World
from tests.pipelines.world_project import DATASET, EXPERIMENT


@pytest.fixture(scope="module")
def copied(copied_world: World) -> Iterator[World]:
    """A copy of the world; commands of this process find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OK_ML_STATE", str(copied_world.state))
        patch.setenv("NUMBA_CACHE_DIR", str(copied_world.state / "numba"))
        patch.chdir(copied_world.root)
        yield copied_world


@pytest.fixture(scope="module")
def lists(copied: World) -> pa.Table:
    """The served lists as a file has them: a row a user and place."""
    rows = copied.lake.read(EXPERIMENT, c.PREDICTIONS, [copied.pipeline.newest()])
    users, served = padded(rows, c.SOURCE_IDS, -1)
    made = [
        (user, source, rank)
        for user, row in zip(users.tolist(), served.tolist(), strict=True)
        for rank, source in enumerate(row)
        if source >= 0
    ]
    return pa.table(dict(zip((c.USER_ID, c.SOURCE_ID, "rank"), zip(*made, strict=True), strict=True)))


def test_before_anything_was_shown_because_of_a_list_there_is_nothing_to_rest_on(
    copied: World, lists: pa.Table
) -> None:
    pyarrow.csv.write_csv(lists, copied.root / "lists.csv")
    done = copied.ok("estimate", EXPERIMENT, "--with", "lists.csv")
    assert done.code == 1
    assert "because of a list" in done.err
    assert "ok-ml try" in done.err


@pytest.fixture(scope="module")
def shown(copied: World, lists: pa.Table) -> World:
    """Two more days, on which the served lists were shown."""
    pipeline = copied.pipeline
    network = Network(pipeline.dataset.world, pipeline.dataset.parts)
    rows = copied.lake.read(EXPERIMENT, c.PREDICTIONS, [pipeline.newest()])
    users, served = padded(rows, c.SOURCE_IDS, -1)
    name = live_history(copied.lake, EXPERIMENT)[-1].generation_name
    first = network.day_of(pipeline.newest()) + 1
    days = [network.date_of(first + number) for number in range(2)]
    export_days(network, copied.lake, DATASET, days, served=ServedLists(users, served, name), workers=1)
    ingest_events(pipeline.dataset, copied.lake, days, root=copied.root)
    build_snapshots(pipeline.dataset, copied.lake, days, root=copied.root)
    pq.write_table(lists, copied.root / "lists.parquet")
    return copied


def estimated(world: World, file: str) -> EstimateSummary:
    settings = Settings(world.root, None, SIZE)
    project = load_project(world.root, SIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exposures, "LEAST_EXPLORED", 1)  # among 300 users
        return estimate(settings, EXPERIMENT, project, world.root / file, upto=None, quiet=True)


def test_lists_of_a_file_are_estimated_beside_the_champion(shown: World) -> None:
    summary = estimated(shown, "lists.parquet")
    this, baseline = summary.estimates
    assert this.lists == THIS
    assert "exposures" in summary.rests_on
    assert 0 <= this.low <= this.estimate <= this.high <= 1
    assert this.difference is None
    assert baseline.difference == pytest.approx(this.estimate - baseline.estimate)
    assert this.unserved_share < 0.1  # they are the served ones, but for places that explored
    assert this.effective_exposures > 0
    said = json.loads((shown.state / "runs" / "last-estimate.json").read_text())
    assert said["rows"][0]["peer"] == baseline.lists


def test_a_change_is_trained_first(shown: World) -> None:
    (shown.root / "fewer.yml").write_text("stages: {model: {num_trees: 20}}\n")
    summary = estimated(shown, "fewer.yml")
    assert summary.estimates[0].lists == THIS
    assert summary.estimates[0].unserved_share < 0.9


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": [1], "source_id": [2]}, "lacks rank"),
        ({"user_id": [1, 1], "source_id": [2, 3], "rank": [0, 0]}, "two sources at one place"),
        ({"user_id": [99], "source_id": [2], "rank": [0]}, "no list for any user"),
    ],
)
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, columns: dict[str, list[int]], message: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "lists.parquet")
    with pytest.raises(DataError, match=message):
        listed(tmp_path / "lists.parquet", np.array([1, 2]), 3)


def test_users_and_places_beyond_those_asked_for_are_left_out(tmp_path: Path) -> None:
    rows = {"user_id": [1, 1, 7, 2], "source_id": [5, 6, 8, 9], "rank": [0, 3, 0, 1]}
    pyarrow.csv.write_csv(pa.table(rows), tmp_path / "lists.csv")
    assert listed(tmp_path / "lists.csv", np.array([1, 2]), 3).tolist() == [[5, -1, -1], [-1, 9, -1]]
