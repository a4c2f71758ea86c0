"""When days close, which version they get, and that batches and order do not matter: over a topic in memory."""

import shutil
import time

import pytest

from ok_ml.datasets.collecting.collector import Collector
from ok_ml.datasets.collecting.collector_names import FOLDER, RAW_EVENTS
from ok_ml.datasets.collecting.collector_status import describe
from ok_ml.errors import IntegrityError
from ok_ml.lake import Lake
from tests.datasets.collecting.feed import DAYS, committed, dataset, event, expected, stream, versions
from tests.datasets.collecting.in_memory import KAFKA, SENT, to_the_end, work


@pytest.mark.parametrize("batch_messages", [1, 7, 1000])
def test_any_batches_in_any_order_make_the_same_versions(made_of, tmp_path, batch_messages):
    found = []
    for seed in (1, 2):
        lake = Lake(tmp_path / str(seed))
        done = work(made_of(SENT, seed), lake, batch_messages if seed == 1 else 50)
        assert committed(lake) == expected(SENT)
        assert done.checkpoint.set_aside == {"broken_json": 1}
        assert done.checkpoint.messages == len(SENT)
        found.append(versions(lake))
    assert found[0] == found[1]
    assert list(found[0]) == list(DAYS[:3])


def commits(lake: Lake) -> dict[str, int]:
    return {
        dt: lake.manifest("stream", RAW_EVENTS, dt).details["commits"] for dt in lake.partitions("stream", RAW_EVENTS)
    }


def test_days_close_while_the_stream_goes_on_and_late_events_wait_for_one_commit(made_of, lake):
    sent = stream(3, 100)
    log = made_of(sent, 1)
    config = dataset("log", batch_seconds=60, batch_messages=17, idle_seconds=60, recommit_seconds=60)
    collector = Collector(config, lake, KAFKA)
    to_the_end(collector)
    assert commits(lake) == {DAYS[0]: 1, DAYS[1]: 1}, "the last day is open: nothing has come from after it"
    assert {dt: committed(lake)[dt] for dt in DAYS[:2]} == {dt: expected(sent)[dt] for dt in DAYS[:2]}
    late = [event(700 + number, 0, number) for number in range(30)]
    for first in (0, 10, 20):
        log.append(late[first : first + 10])
        to_the_end(collector)
    assert commits(lake) == {DAYS[0]: 1, DAYS[1]: 1}
    assert describe(collector)["late_days"] == {DAYS[0]: 30}
    assert describe(collector)["open_days"] == {DAYS[2]: 100}
    collector.close_days(time.monotonic() + 61)
    assert commits(lake) == {DAYS[0]: 2, DAYS[1]: 1}
    assert committed(lake)[DAYS[0]] == expected([*sent, *late])[DAYS[0]]
    restarted = Collector(config, lake, KAFKA)
    assert restarted.watermark_ms() == collector.watermark_ms()
    restarted.finish()
    assert commits(lake) == {DAYS[0]: 2, DAYS[1]: 1, DAYS[2]: 1}
    assert committed(lake) == expected([*sent, *late])


def test_without_its_batches_it_reads_the_topic_again_and_changes_nothing(made_of, lake):
    work(made_of(SENT, 1), lake)
    before = versions(lake)
    shutil.rmtree(lake.root / "stream" / FOLDER)
    late = [event(800, 0, 5), event(801, 2, 5)]
    done = work(made_of([*SENT, *late], 2), lake)
    assert committed(lake) == expected([*SENT, *late])
    assert versions(lake)[DAYS[1]] == before[DAYS[1]]
    assert done.checkpoint.messages == len(SENT) + 2


def test_a_batch_that_is_not_whole_stops_it(made_of, lake):
    done = work(made_of(SENT, 1), lake)
    (path,) = (batch.path for batch in done.staging.batches)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(
        IntegrityError, match=r"is no whole batch: .*\n.*where the topic continues.*\n.*read the topic again"
    ):
        work(made_of(SENT, 1), lake)


def test_a_broker_that_lost_its_newest_messages_lost_none_that_were_not_read(made_of, lake):
    """It begins again before the offset that was expected: what is read again is a duplicate, and nothing was lost."""
    log = made_of(SENT, 1)
    done = work(log, lake)
    done._gaps[0], log.at[0] = done.checkpoint.positions[0], 0
    to_the_end(done)
    done.finish()
    assert done.checkpoint.lost == 0
    assert committed(lake) == expected(SENT)
