"""What a notebook sees of a run: the committed tables, and nothing that writes."""

import numpy as np
import pytest

import ok_ml
from ok_ml import columns as c
from ok_ml.errors import ConfigError, NotCommitted, UsageError
from ok_ml.notebook import OpenExperiment, open_experiment
from tests.pipelines.conftest import World
from tests.pipelines.world_project import EXPERIMENT


@pytest.fixture(scope="module")
def opened(world: World) -> OpenExperiment:
    return OpenExperiment(world.pipeline)


def test_tables_are_those_of_the_run(opened: OpenExperiment, world: World) -> None:
    newest = opened.days[-1]
    users = opened.data(c.USERS)
    assert opened.predictions().num_rows == users.num_rows
    assert opened.features("user").equals(opened.features("user", newest))
    assert {"pair_clicks", c.USER_ID, c.SOURCE_ID} <= set(opened.features("pair").column_names)
    assert set(opened.statistics()["entity"].to_pylist()) == {"user", "source", "pair"}
    assert opened.training_set().num_rows == world.lake.manifest(EXPERIMENT, c.TRAINING_SET).rows
    assert {"score", "difference", "attainable"} <= set(opened.metrics()["kind"].to_pylist())


def test_vectors_come_with_their_ids(opened: OpenExperiment) -> None:
    users, sources = opened.embeddings()
    assert users.column_names == [c.USER_ID, "vector"]
    vectors = np.stack(sources["vector"].to_pylist())
    assert vectors.shape == (sources.num_rows, users["vector"].type.list_size)
    assert np.abs(vectors).sum() > 0


def test_everything_becomes_a_frame(opened: OpenExperiment) -> None:
    frame = opened.predictions().to_pandas()
    assert len(frame[c.SOURCE_IDS].iloc[0]) == len(frame[c.SCORES].iloc[0])


def test_what_is_not_there_is_said(opened: OpenExperiment, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OK_ML_STATE", str(world.state))
    with pytest.raises(UsageError, match="no entity named 'users'; known: user, source, pair"):
        opened.features("users")
    with pytest.raises(NotCommitted, match="no committed partition '1999-01-01'"):
        opened.predictions("1999-01-01")
    with pytest.raises(ConfigError, match=f"known: .*{EXPERIMENT}"):
        ok_ml.open("prod_discovry", root=world.root)
    assert open_experiment(EXPERIMENT, root=world.root, size="tiny").days == opened.days
