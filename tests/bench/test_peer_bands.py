"""The peer's side of the bench: which series it gets, how its forecasts judge a day, and how it is asked."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bench.calibration.quiet_worlds import Watched
from bench.peer_bands import Day, Past, Peer, own_day
from ok_ml import columns as c
from ok_ml.partitions import minus_days
from ok_ml.quality.statistics.number_series import Name, Number

LAST, DAYS = "2027-12-31", 50
ROWS, NULLS, KIND = Name("rows"), Name("null_share", "x"), Name("event_type_share", "click")
LIKES, CLICKS = Name("likes_per_active_user"), Name("clicks", "content video")


@pytest.fixture(scope="module")
def watched() -> Watched:
    """Rows move by chance, nulls never; of what people did only a fall is wrong."""
    made, rng = Watched(7), np.random.default_rng(3)
    for back in range(DAYS, -1, -1):
        dt = minus_days(LAST, back)
        rows = float(rng.poisson(10_000))
        log = [Number(ROWS, rows, 10_000), Number(NULLS, 0.0, 10_000), Number(KIND, 1.0, 10_000)]
        made.add(c.EVENT_STATISTICS, dt, log)
        made.add(
            c.PRODUCT_METRICS, dt, [Number(LIKES, 5 + 0.1 * rng.standard_normal(), 500), Number(CLICKS, rows, 500)]
        )
        made.add(c.PREDICTION_STATISTICS, dt, [])
        made.add(c.ONLINE_METRICS, dt, [])
    return made


@pytest.fixture
def stand_in(tmp_path: Path) -> str:
    """An interpreter that answers what it is asked with the mean and the spread of each series."""
    answer = tmp_path / "answer.py"
    answer.write_text(
        "import sys, json, pyarrow.parquet as pq\n"
        "rows = pq.read_table(sys.argv[2]).group_by('unique_id').aggregate([('y', 'mean'), ('y', 'stddev')])\n"
        "pq.write_table(rows.rename_columns(['unique_id', 'mean', 'sd']), sys.argv[3])\n"
        "print(json.dumps({'cpu_seconds': 2.0}))\n",
        encoding="utf-8",
    )
    command = tmp_path / "python"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {answer} "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return str(command)


def test_a_series_that_never_moved_is_not_forecast(watched: Watched) -> None:
    past = Past.of(c.EVENT_STATISTICS, own_day(watched, LAST))
    assert dict(zip(past.names, np.isnan(past.sd).tolist(), strict=True)) == {ROWS: True, NULLS: False, KIND: False}
    assert len(past.values) == 42


def test_the_peer_judges_what_the_bands_judge(watched: Watched, stand_in: str, tmp_path: Path) -> None:
    peer = Peer.of([own_day(watched, LAST)], stand_in, tmp_path)
    assert peer.speed == 5 / 2.0  # series a second
    assert peer.worst(own_day(watched, LAST)) < 4

    def score(table: str, *numbers: Number) -> float:
        known = {one.name: one for one in own_day(watched, LAST).numbers[table]} | {one.name: one for one in numbers}
        return peer.worst(Day(watched, LAST, {table: [*known.values()]}))

    assert score(c.EVENT_STATISTICS, Number(ROWS, 5_000.0, 5_000)) > 20
    assert score(c.EVENT_STATISTICS, Number(NULLS, 0.05, 10_000)) > 20
    assert score(c.EVENT_STATISTICS, Number(Name("event_type_share", "story"), 0.1, 10_000)) > 20  # a new group
    assert score(c.PRODUCT_METRICS, Number(LIKES, 2.0, 500)) > 10
    assert score(c.PRODUCT_METRICS, Number(LIKES, 9.0, 500)) < 4
