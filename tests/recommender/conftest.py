"""The tiny world and what is fitted on it, once a session."""

import pytest

from ok_ml.recommender.ranking.ranking_context import Cut
from tests.recommender.tiny_world import DTS, LAYOUT, build_world, fit, fitted


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def train_factors(world):
    return fit(world, DTS[5])


@pytest.fixture(scope="session")
def cut(world, train_factors):
    return Cut.load(world.tables, DTS[7], fitted=fitted(world, DTS[7], train_factors), layout=LAYOUT)
