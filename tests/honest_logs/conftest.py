"""What is not the subject here is left out: pictures, and Great Expectations, whose answers `Rule.holds` gives too."""

import pytest

from tests.honest_logs.delivery import without_pictures


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pictures(monkeypatch)
