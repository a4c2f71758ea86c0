"""From a real topic to committed days: each event once, in its own day, whatever came in which order."""

import base64
import random

import pytest

from ok_ml.datasets.collecting.collector_names import RAW_EVENTS
from ok_ml.datasets.collecting.staging import Staging
from ok_ml.lake import Lake
from tests.datasets.collecting.feed import DAYS, PARTS, committed, dataset, event, expected, send, stream, versions

pytestmark = pytest.mark.kafka


def test_what_was_sent_is_committed_each_event_once_and_in_its_day(stream_of, kafka, topic, lake, drain):
    sent = stream(3, 400)
    draw = random.Random(5)
    again = [*sent, *draw.sample(sent, 200)]
    draw.shuffle(again)
    send(kafka, topic, again)
    status = drain(stream_of)
    assert committed(lake) == expected(sent)
    assert sum(lake.manifest("stream", RAW_EVENTS, dt).details["duplicates"] for dt in DAYS[:3]) == 200
    assert (status["messages"], status["lag"], status["set_aside"], status["last_day"]) == (1400, 0, {}, DAYS[2])
    assert status["open_days"] == status["late_days"] == {}
    assert status["batches"] == 1, "of closed days only the newest batch stays: it says where to go on"


def test_late_events_make_a_new_version_of_their_own_day_alone(stream_of, kafka, topic, lake, drain):
    sent = stream(3, 100)
    send(kafka, topic, sent)
    drain(stream_of)
    before = {dt: lake.manifest("stream", RAW_EVENTS, dt) for dt in DAYS[:3]}
    late = [event(900 + number, 1, number * 1000) for number in range(5)]
    send(kafka, topic, [*late, *late, sent[0]])
    status = drain(stream_of)
    after = {dt: lake.manifest("stream", RAW_EVENTS, dt) for dt in DAYS[:3]}
    assert committed(lake) == expected([*sent, *late])
    assert after[DAYS[1]].data_version != before[DAYS[1]].data_version
    assert (after[DAYS[1]].details["late"], after[DAYS[1]].details["duplicates"]) == (5, 5)
    assert after[DAYS[2]] == before[DAYS[2]], "nothing came for it: not even its manifest is written"
    assert after[DAYS[0]].data_version == before[DAYS[0]].data_version, "a duplicate is no news"
    assert after[DAYS[0]].details["duplicates"] == 1
    assert status["messages"] == 311


def test_messages_that_are_no_events_are_kept_aside_and_counted(stream_of, kafka, topic, lake, drain):
    sent = stream(1, 50)
    poison = [
        b"{not json",
        b"\xff\xfe",
        b"[1, 2]",
        b'{"user_id": 1, "event_time_ms": 1767225600000}',
        b'{"event_id": "x", "user_id": 1}',
        b'{"event_id": "x", "event_time_ms": 99999999999999}',
        b'{"event_id": "x", "event_time_ms": 1767225600000, "user_id": "seven"}',
        b'{"event_id": "x", "event_time_ms": 1767225600000, "position": 1.5}',
    ]
    send(kafka, topic, [*sent[:25], *poison, *sent[25:]])
    status = drain(stream_of)
    assert committed(lake) == expected(sent)
    assert status["set_aside"] == {
        "broken_json": 3,
        "no_event_id": 1,
        "no_event_time": 1,
        "in_the_future": 1,
        "bad_user_id": 1,
        "bad_position": 1,
    }
    aside = list(Staging(lake, "stream", PARTS).set_aside())
    assert [base64.b64decode(one["raw_base64"]) for one in aside] == poison
    assert {one["partition"] for one in aside} == {0}
    assert [one["offset"] for one in aside] == list(range(aside[0]["offset"], aside[0]["offset"] + len(poison)))


def test_the_data_version_does_not_depend_on_the_batches(kafka, topic, lake, drain, tmp_path):
    from ok_ml.datasets.collecting.events_topic import prepare_events_topic

    config = dataset(topic, batch_messages=37)
    prepare_events_topic(config, kafka)
    sent = stream(2, 300, seed=3)
    random.Random(2).shuffle(sent)
    send(kafka, topic, sent[:400])
    drain(config)
    send(kafka, topic, sent[400:])
    drain(config)
    whole = Lake(tmp_path / "whole")
    drain(dataset(topic), into=whole)
    assert versions(whole) == versions(lake)
    assert committed(whole) == committed(lake) == expected(sent)
