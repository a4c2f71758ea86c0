"""What is counted of a log before its first experiment is written: finds, lives, strays."""

from pathlib import Path

import numpy as np
import pytest

from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.onboarding.guess import measuring
from ok_ml.datasets.onboarding.guess.measuring import LogProfile, measure_log
from ok_ml.lake import Lake

FILE = """\
user,source,did,at
1,10,like,2026-01-01T10:00:00
1,11,like,2026-01-03T10:00:00
1,10,like,2026-01-04T10:00:00
2,10,view,2026-01-02T10:00:00
2,10,like,2026-01-03T10:00:00
2,10,view,2026-01-05T10:00:00
3,12,view,2026-01-01T10:00:00
3,12,view,2026-01-05T10:00:00
"""


def measured(root: Path, text: str, barring: list[str] | None = None) -> LogProfile:
    (root / "log.csv").write_text(text)
    config = DatasetConfig.model_validate(
        {
            "dataset": "toy",
            "description": "",
            "owners": ["a@example.org"],
            "events": {
                "path": "log.csv",
                "format": "csv",
                "columns": {"user_id": "user", "source_id": "source", "item_id": "source", "event_type": "did"},
                "time": {"columns": ["at"], "timezone": "UTC"},
                "event_types": {"like": "like", "view": "impression", "follow": "subscribe"},
            },
            "subscription": {"event_types": barring or ["like"]},
            "has_impressions": True,
            "weights": {"like": 1},
            "grades": {"like": 2},
        }
    )
    return measure_log(config, Lake(root / "lake"), root)


def test_a_find_is_the_first_time_that_a_user_takes_to_a_source(tmp_path: Path) -> None:
    found = measured(tmp_path, FILE)
    assert (found.events, found.users, found.sources) == (8, 3, 3)
    assert found.dts == tuple(f"2026-01-0{day}" for day in range(1, 6))
    assert found.user_days == 4 + 4 + 5
    rows = sorted(zip(found.finds.users.tolist(), (found.finds.days - 20454).tolist(), strict=True))
    assert rows == [(1, 0), (1, 2), (2, 2)]  # not the like again of the fourth, and no view


def test_only_users_whom_the_day_before_knows_are_finders(tmp_path: Path) -> None:
    finds = measured(tmp_path, FILE).finds
    assert finds.finders("2026-01-03", "2026-01-05") == 2
    assert finds.finders("2026-01-02", "2026-01-05") == 1  # user 2 is not there before the second
    assert finds.finders("2026-01-01", "2026-01-01") == 0


def test_what_bars_no_source_can_be_found_again(tmp_path: Path) -> None:
    assert len(measured(tmp_path, FILE, ["subscribe"]).finds.users) == 4


def test_events_long_before_the_log_do_not_stretch_it(tmp_path: Path) -> None:
    many = "".join(f"{u},{s},like,2026-01-{1 + (u + s) % 20:02}T00:00:00\n" for u in range(60) for s in range(50))
    found = measured(tmp_path, FILE.splitlines()[0] + "\n1,10,like,1956-06-01T00:00:00\n" + many)
    assert found.dts[0] == "2026-01-01"
    assert found.events == 3000


def test_a_large_log_is_measured_on_a_share_of_its_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    text = (
        FILE.splitlines()[0]
        + "\n"
        + "".join(
            f"{rng.integers(4000)},{rng.integers(30)},like,2026-01-{rng.integers(1, 21):02}T00:00:00\n"
            for _ in range(20_000)
        )
    )
    whole = measured(tmp_path, text)
    monkeypatch.setattr(measuring, "_KEPT", 5000)
    sampled = measured(tmp_path, text)
    assert whole.finds.weight == 1
    assert sampled.finds.weight >= 4
    assert len(sampled.finds.users) < 5000
    assert sampled.events == whole.events
    assert sampled.users == pytest.approx(whole.users, rel=0.1)
    window = ("2026-01-15", "2026-01-20")
    assert sampled.finds.finders(*window) == pytest.approx(whole.finds.finders(*window), rel=0.1)
