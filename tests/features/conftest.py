"""Small worlds with known answers."""

from pathlib import Path

import pytest

from ok_ml.lake import Lake
from tests.features.hand_made import random_lake


@pytest.fixture(scope="package")
def random_world(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Seven days, 2026-03-01 .. 07, in three parts. Read it; write under another scope only."""
    return random_lake(tmp_path_factory.mktemp("random-world"))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")
