"""What every backend must do. Each test runs on LMDB and on a real Valkey."""

import threading
import time

import numpy as np
import pytest

from ok_ml.delivery.codec import CONTROL_KEY, PREFIX_BYTES
from ok_ml.delivery.control import seal_control
from ok_ml.delivery.kafka.consuming import Record
from ok_ml.delivery.live import wait_until_live
from ok_ml.delivery.reading import GenerationGone
from ok_ml.errors import IntegrityError, ServiceUnavailable, Stale, UsageError
from tests.delivery.made_up import EXPERIMENT, KEY, PARTS, SOURCES, USERS, Log, load, new_loader, users_of

FIRST = 10


def generation_served(store):
    return store.current(EXPERIMENT)


def scores_of(answer):
    return {float(one.scores[0]) for one in (*answer.lists, answer.fallback) if one is not None}


# -- the good way ----------------------------------------------------------------------------------------------------


def test_before_anything_is_published(store):
    reader = store.reader(EXPERIMENT)
    assert reader.get_many([1, 2]) is None
    assert reader.describe() is None
    assert reader.example_ids(5) == []
    assert (store.current(EXPERIMENT), store.newest(EXPERIMENT), store.generations(EXPERIMENT)) == (None, 0, [])


def test_a_generation_is_served_whole(store):
    log = Log()
    controls = log.generation(FIRST)
    load(store, log)
    answer = store.reader(EXPERIMENT).get_many([7, -3, 1000], with_names=True)
    assert (answer.manifest.generation, answer.manifest.name, answer.manifest.model_version) == (
        FIRST,
        "19700101-000000-010",
        7,
    )
    assert answer.lists[0].source_ids.tolist() == [int(SOURCES[(7 + place) % 40]) for place in range(5)]
    assert answer.lists[0].scores.tolist() == [10.0, 9.0, 8.0, 7.0, 6.0]
    assert answer.lists[1] is None
    assert answer.fallback.source_ids.tolist() == [100, 101, 102]
    assert answer.names[100] == ("Source 100", "even")
    assert answer.names[101] == ("Source 101", None)
    shown = {int(s) for one in (answer.lists[0], answer.lists[2], answer.fallback) for s in one.source_ids}
    assert set(answer.names) == shown
    manifest = store.reader(EXPERIMENT).describe()
    assert (manifest.predictions, manifest.sources, manifest.count) == (1000, 40, 1000 + 40 + PARTS)
    assert manifest.controls == tuple(controls)
    assert manifest.details == {"data_dt": "2026-01-31"}


def test_every_user_is_found(store):
    log = Log()
    log.generation(FIRST)
    load(store, log, step=37)
    answer = store.reader(EXPERIMENT).get_many(USERS.tolist())
    assert all(one is not None for one in answer.lists)
    assert set(store.reader(EXPERIMENT).example_ids(9)) <= set(USERS.tolist())
    assert len(store.reader(EXPERIMENT).example_ids(9)) == 9


def test_what_is_live_says_what_was_verified(store):
    log = Log()
    controls = log.generation(FIRST)
    load(store, log)
    live = wait_until_live(store, EXPERIMENT, FIRST, 1.0)
    assert live.controls == tuple(controls)
    assert int(live.checksum, 16) == sum(int(control.checksum, 16) for control in controls) % 2**64


def test_the_newer_generation_is_served_and_three_stay(store):
    log = Log()
    for generation in range(FIRST, FIRST + 5):
        log.generation(generation)
    load(store, log)
    assert generation_served(store) == 14
    assert [info.manifest.generation for info in store.generations(EXPERIMENT)] == [14, 13, 12]
    assert store.staged(EXPERIMENT) == []
    assert scores_of(store.reader(EXPERIMENT).get_many([1, 2, 3])) == {14.0}


def test_an_older_generation_that_comes_late_is_ignored(store):
    log = Log()
    log.generation(FIRST + 5)
    loader = load(store, log)
    log.generation(FIRST)
    load(store, log, loader)
    assert store.staged(EXPERIMENT) == []
    assert generation_served(store) == FIRST + 5
    assert len(store.generations(EXPERIMENT)) == 1


def test_two_experiments_do_not_meet(store):
    log = Log()
    log.generation(FIRST)
    load(store, log)
    assert store.experiments() == [EXPERIMENT]
    assert store.reader("other").get_many([1]) is None
    assert store.current("other") is None


# -- attempts ----------------------------------------------------------------------------------------------------------


def test_a_dead_attempt_is_dropped_when_a_good_one_follows(store):
    log = Log()
    log.attempt(FIRST, 0, upto=100)
    controls = log.generation(FIRST)
    log.attempt(FIRST, 0, upto=50)
    load(store, log)
    assert generation_served(store) == FIRST
    assert store.reader(EXPERIMENT).describe().controls == tuple(controls)


def test_the_first_attempt_that_verifies_wins(store):
    log = Log()
    first = log.attempt(FIRST, 0)
    log.attempt(FIRST, 0)
    for part in range(1, PARTS):
        log.attempt(FIRST, part)
    load(store, log)
    assert store.reader(EXPERIMENT).describe().controls[0] == first


def test_interleaved_attempts_of_one_part(store):
    one, other, both = Log(), Log(), Log()
    one.attempt(FIRST, 0, upto=200)
    other.attempt(FIRST, 0)
    for turn in range(max(len(one.records[0]), len(other.records[0]))):
        for log in (one, other):
            if turn < len(log.records[0]):
                record = log.records[0][turn]
                both.append(0, record.key, record.value)
    for part in range(1, PARTS):
        both.attempt(FIRST, part)
    load(store, both)
    assert generation_served(store) == FIRST


def test_a_generation_with_a_missing_part_is_never_switched_to(store):
    log = Log()
    log.generation(FIRST)
    for part in range(PARTS - 1):
        log.attempt(FIRST + 1, part)
    log.attempt(FIRST + 1, PARTS - 1, upto=150)
    loader = load(store, log)
    assert generation_served(store) == FIRST
    assert loader.refusals == {}
    log.generation(FIRST + 2)
    load(store, log, loader)
    assert generation_served(store) == FIRST + 2
    assert store.staged(EXPERIMENT) == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"count": 3}, "published 3 with"),
        ({"checksum": "00000000000000aa"}, "00000000000000aa"),
        ({"part": 3}, "came in part 0"),
        ({"experiment": "other"}, "control record of other"),
        ({"key": b"x" * 64}, "signature"),
    ],
)
def test_a_wrong_control_record_refuses_the_generation_at_once(store, wrong, reason):
    log = Log()
    log.generation(FIRST)
    log.attempt(FIRST + 1, 0, **wrong)
    for part in range(1, PARTS):
        log.attempt(FIRST + 1, part)
    loader = load(store, log)
    assert generation_served(store) == FIRST
    assert reason in loader.refusals[FIRST + 1].reason
    assert store.read_document(EXPERIMENT, f"set-aside-00000-{len(log.records[0]) - 1}") is not None
    log.attempt(FIRST + 1, 0)
    load(store, log, loader)
    assert generation_served(store) == FIRST + 1, "a later good attempt heals it"
    assert loader.refusals == {}


def test_a_record_that_comes_twice_refuses_the_attempt(store):
    log = Log()
    log.attempt(FIRST, 0, upto=50)
    log.append(0, *log.records[0][-1][1:])
    loader = load(store, log)
    assert "not greater than the one before" in loader.refusals[FIRST].reason


def test_a_lost_record_refuses_the_attempt(store):
    log = Log()
    log.generation(FIRST)
    del log.records[1][20]
    log.records[1] = [Record(offset, *record[1:]) for offset, record in enumerate(log.records[1])]
    loader = load(store, log)
    assert generation_served(store) is None
    assert "published" in loader.refusals[FIRST].reason


def test_a_flipped_bit_refuses_the_attempt(store):
    log = Log()
    log.generation(FIRST)
    offset, key, value = log.records[2][5]
    log.records[2][5] = Record(offset, key, value[:30] + bytes([value[30] ^ 4]) + value[31:])
    loader = load(store, log)
    assert generation_served(store) is None
    assert "checksum" in loader.refusals[FIRST].reason


def test_a_malformed_record_is_set_aside_and_refuses_its_generation(store):
    log = Log()
    log.attempt(FIRST, 0, upto=5)
    log.append(0, b"\xff" * 8, log.records[0][0].value + b"x")
    loader = load(store, log)
    assert "a list of 5 sources has" in loader.refusals[FIRST].reason
    assert loader.set_aside == 1


@pytest.mark.parametrize("value", [b"", b"hello", b"\x00" * 100, b"\xa1\x09" + b"\x00" * 98])
def test_foreign_records_are_set_aside_and_harm_nobody(store, value):
    log = Log()
    log.append(0, b"12345678", value)
    log.generation(FIRST)
    log.append(1, b"", value)
    loader = load(store, log)
    assert generation_served(store) == FIRST
    assert loader.set_aside == 2


def test_parts_of_two_models_do_not_make_a_generation(store):
    log = Log()
    for part in range(1, PARTS):
        log.attempt(FIRST, part)
    records = Log()
    control = records.attempt(FIRST, 0)
    changed = [
        (key, value[: PREFIX_BYTES - 4] + b"\0\0\0\x08" + value[PREFIX_BYTES:])
        for _, key, value in records.records[0][:-1]
    ]
    for key, value in changed:
        log.append(0, key, value)
    from dataclasses import replace

    from ok_ml.delivery.control import hex_checksum
    from ok_ml.delivery.reading import stored_value

    total = hex_checksum(sum(stored_value(key, value)[1] for key, value in changed))
    log.append(0, CONTROL_KEY, seal_control(replace(control, model_version=8, checksum=total), KEY))
    loader = load(store, log)
    assert generation_served(store) is None
    assert "model versions" in loader.refusals[FIRST].reason


# -- crashes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_a_crash_at_any_point_loses_nothing_and_takes_nothing_twice(store, seed):
    log = Log()
    log.generation(FIRST)
    log.attempt(FIRST + 1, 0, upto=100)
    log.generation(FIRST + 1)
    dice = np.random.default_rng(seed)
    loader = new_loader(store)
    for _ in range(120):
        part, step = int(dice.integers(PARTS)), int(dice.integers(1, 60))
        start = loader.positions.get(part, 0)
        loader.apply(part, log.records[part][start : start + step])
        if dice.random() < 0.2:
            loader.checkpoint()
        if dice.random() < 0.2:  # killed: what was not committed is gone
            loader.close()
            loader = new_loader(store)
    load(store, log, loader)
    assert generation_served(store) == FIRST + 1
    assert loader.refusals == {}
    assert scores_of(store.reader(EXPERIMENT).get_many(USERS.tolist())) == {11.0}


def test_a_crash_between_sealing_and_switching_is_mended(store, monkeypatch):
    log = Log()
    log.generation(FIRST)
    load(store, log)
    log.generation(FIRST + 1)
    monkeypatch.setattr(type(store), "_point", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        load(store, log)
    monkeypatch.undo()
    assert generation_served(store) == FIRST
    assert store.pending(EXPERIMENT) == FIRST + 1
    new_loader(store)
    assert generation_served(store) == FIRST + 1


def test_positions_of_another_log_are_forgotten(store):
    log = Log()
    log.attempt(FIRST, 0, upto=80)
    load(store, log).close()
    remade = Log()
    remade.generation(FIRST)
    loader = new_loader(store, log_id="log-2")
    assert loader.positions == {}
    load(store, remade, loader)
    assert generation_served(store) == FIRST


def test_what_was_received_and_not_stored_is_seen_before_the_switch(store, monkeypatch):
    """The backend loses one record without a word: reading everything back notices."""
    log = Log()
    log.generation(FIRST)
    kind = type(store.stage(EXPERIMENT, FIRST))
    genuine = kind.write
    monkeypatch.setattr(
        kind, "write", lambda self, part, tag, records, state: genuine(self, part, tag, records[1:], state)
    )
    loader = load(store, log)
    assert generation_served(store) is None
    assert loader.refusals[FIRST].final
    assert "stored" in loader.refusals[FIRST].reason
    assert store.staged(EXPERIMENT) == []


# -- switching, rolling back, collecting ---------------------------------------------------------------------------------


def test_two_rollbacks_go_back_twice_and_do_not_return(store):
    log = Log()
    for generation in (10, 11, 12):
        log.generation(generation)
    loader = load(store, log)
    assert store.rollback(EXPERIMENT) == 11
    assert scores_of(store.reader(EXPERIMENT).get_many([1])) == {11.0}
    assert store.rollback(EXPERIMENT) == 10
    with pytest.raises(UsageError, match="cannot be rolled back; older generations: none"):
        store.rollback(EXPERIMENT)
    loader.close()
    loader = new_loader(store)
    assert generation_served(store) == 10, "a restart does not switch to a withdrawn generation"
    log.generation(13)
    load(store, log, loader)
    assert generation_served(store) == 13
    assert store.rollback(EXPERIMENT) == 10, "withdrawn generations are skipped"
    assert [event["why"] for event in store.read_document(EXPERIMENT, "history")["events"]][-2:] == [
        "published",
        "rolled back",
    ]


def test_a_rollback_to_a_named_generation(store):
    log = Log()
    for generation in (10, 11, 12):
        log.generation(generation)
    load(store, log)
    with pytest.raises(UsageError, match="cannot be rolled back to 19700101-000000-099"):
        store.rollback(EXPERIMENT, to=99)
    assert store.rollback(EXPERIMENT, to=10) == 10
    store.switch(EXPERIMENT, 12, why="forward again")
    assert [(i.manifest.generation, i.is_current, i.is_withdrawn) for i in store.generations(EXPERIMENT)] == [
        (12, True, False),
        (11, False, True),
        (10, False, False),
    ]


def test_what_is_not_sealed_is_never_switched_to(store):
    log = Log()
    log.attempt(FIRST, 0)
    load(store, log)
    with pytest.raises(UsageError, match="no sealed generation"):
        store.switch(EXPERIMENT, FIRST)


def test_collecting_spares_the_current_generation(store):
    log = Log()
    for generation in (10, 11, 12):
        log.generation(generation)
    load(store, log)
    store.rollback(EXPERIMENT, to=10)
    assert store.collect(EXPERIMENT, 1) == [12, 11]
    assert [info.manifest.generation for info in store.generations(EXPERIMENT)] == [10]
    assert scores_of(store.reader(EXPERIMENT).get_many([1])) == {10.0}


def test_a_thousand_ids_are_whole_from_one_generation_while_it_switches(store):
    log = Log()
    for generation in (10, 11, 12):
        log.generation(generation)
    load(store, log)
    reader, stop, mixed, seen = store.reader(EXPERIMENT), threading.Event(), [], set()

    def read():
        while not stop.is_set():
            answer = reader.get_many(USERS.tolist())
            scores = scores_of(answer)
            seen.add(answer.manifest.generation)
            if scores != {float(answer.manifest.generation)}:
                mixed.append(scores)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    switches = 0
    while switches < 30 or len(seen) < 2:  # counts, not seconds: a busy machine takes longer
        target = (10, 11, 12)[switches % 3]
        store.switch(EXPERIMENT, target)
        switches += 1
        assert store.reader(EXPERIMENT).describe().generation == target, "a request after the switch gets the new one"
    stop.set()
    for thread in threads:
        thread.join()
    assert mixed == []
    assert len(seen) >= 2


def test_readers_survive_new_generations_that_push_out_old_ones(store):
    """Load, switch and remove in a loop, keeping only one generation, under a reader."""
    log = Log()
    log.generation(10)
    loader = load(store, log, new_loader(store, keep=1))
    reader, stop, wrong, answers = store.reader(EXPERIMENT), threading.Event(), [], []

    def read():
        while not stop.is_set():
            answer = reader.get_many(USERS[:200].tolist(), with_names=True)
            answers.append(answer.manifest.generation)
            if scores_of(answer) != {float(answer.manifest.generation)} or not answer.names:
                wrong.append(answer)

    thread = threading.Thread(target=read)
    thread.start()
    for generation in range(11, 19):
        log.generation(generation)
        load(store, log, loader)
    stop.set()
    thread.join()
    assert wrong == []
    assert len(answers) > 5
    assert answers == sorted(answers)
    assert [info.manifest.generation for info in store.generations(EXPERIMENT)] == [18]


@pytest.mark.parametrize("question", ["lists", "manifest", "ids"])
def test_a_generation_that_goes_while_it_is_opened_is_looked_for_again_a_bounded_number_of_times(
    store, monkeypatch, question
):
    log = Log()
    log.generation(FIRST)
    load(store, log)
    reader, tries, gone = store.reader(EXPERIMENT), [], [3]
    genuine = reader._snapshot

    def vanish():
        tries.append(1)
        if len(tries) <= gone[0]:
            raise GenerationGone
        return genuine()

    monkeypatch.setattr(reader, "_snapshot", vanish)
    ask = {
        "lists": lambda: reader.get_many([1]),
        "manifest": reader.describe,
        "ids": lambda: reader.example_ids(1),
    }[question]
    assert ask()
    assert len(tries) == 4
    gone[0] = 10**6
    with pytest.raises(ServiceUnavailable, match="vanished 8 times"):
        ask()


# -- waiting -------------------------------------------------------------------------------------------------------------


def test_waiting_for_a_refused_generation_ends_at_once(store):
    refusal = {"generation": FIRST, "reason": "part 2: received 5 records", "at": 0.0, "final": False}
    store.write_document(EXPERIMENT, "status", {"refused": [refusal], "updated_at": time.time()})
    started = time.monotonic()
    with pytest.raises(IntegrityError, match=r"refused generation 19700101-000000-010 of toy: part 2: received 5"):
        wait_until_live(store, EXPERIMENT, FIRST, 30.0)
    assert time.monotonic() - started < 1


def test_waiting_without_a_materialiser_says_so(store):
    with pytest.raises(ServiceUnavailable, match=r"no materialiser works on toy \(it never wrote a heartbeat\)"):
        wait_until_live(store, EXPERIMENT, FIRST, 0.2)


def test_waiting_too_long_says_how_far_it_is(store):
    loading = [{"generation": FIRST, "parts_verified": 3}]
    store.write_document(EXPERIMENT, "status", {"loading": loading, "lag": 77, "updated_at": time.time()})
    with pytest.raises(Stale, match="3 parts are verified, 77 records to come"):
        wait_until_live(store, EXPERIMENT, FIRST, 0.2)


def test_waiting_for_an_overtaken_generation_ends(store):
    log = Log()
    log.generation(FIRST + 1)
    load(store, log)
    with pytest.raises(Stale, match="newer than"):
        wait_until_live(store, EXPERIMENT, FIRST, 5.0)


def test_damaged_values_are_not_served(store, monkeypatch):
    """What a backend returns is checked against the hash that was stored with it."""
    log = Log()
    log.generation(FIRST)
    load(store, log)
    reader = store.reader(EXPERIMENT)
    reader.describe()
    with pytest.raises(IntegrityError, match=r"does not match its checksum"):
        _with_a_flipped_bit(reader, monkeypatch).get_many([int(users_of(0)[0])])


def _with_a_flipped_bit(reader, monkeypatch):
    snapshot = reader._held
    genuine = snapshot.lookup

    def damaged(wanted):
        return [value and bytes([*value[:40], value[40] ^ 1, *value[41:]]) for value in genuine(wanted)]

    monkeypatch.setattr(snapshot, "lookup", damaged)
    return reader
