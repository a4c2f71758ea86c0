"""The whole way: a real broker, the real process, real files."""

import os
import signal
import threading
import time

import pytest

from ok_ml.delivery import materialiser as materialiser_module
from ok_ml.delivery.codec import prediction_bytes
from ok_ml.delivery.generation_ids import next_generation
from ok_ml.delivery.kafka.topics import create_topic, topic_ids
from ok_ml.delivery.live import wait_until_live
from ok_ml.delivery.materialiser import Materialiser
from ok_ml.delivery.payloads import RankedListPayload
from ok_ml.delivery.publisher import Publication, prepare_topic, publish_generation, publish_part, total_checksum
from ok_ml.errors import EnvironmentFault, IntegrityError
from ok_ml.local.processes.guarded_process import GuardedProcess
from ok_ml.local.services.materialiser_process import ensure_materialiser, is_running, run_materialiser
from tests.delivery.made_up import PARTS, USERS, catalogue_table, fallback_table, lists_table, users_of
from tests.real_kafka import eventually

pytestmark = pytest.mark.kafka


@pytest.fixture
def deployment(settings, request):
    """Settings that follow one experiment of this test alone."""
    name = request.node.name.removeprefix("test_")[:40]
    return settings.model_copy(update={"keep_generations": {name: 2}})


def publication(settings, generation: int) -> Publication:
    experiment = next(iter(settings.keep_generations))
    return Publication(
        settings.kafka, experiment, generation, PARTS, 7, settings.signing_key(), {"data_dt": "2026-01-31"}
    )


def publish(settings, generation: int, **more):
    job = publication(settings, generation)
    prepare_topic(job, len(USERS), prediction_bytes(5))
    return publish_generation(
        job,
        lambda part: lists_table(users_of(part), generation),
        RankedListPayload(catalogue_table(), fallback_table(generation)),
        **more,
    )


def served(settings):
    store = settings.store()
    answer = store.reader(experiment_of(settings)).get_many(USERS.tolist())
    scores = {float(one.scores[0]) for one in (*answer.lists, answer.fallback) if one is not None}
    assert scores == {float(answer.manifest.generation)}, "an answer mixes generations"
    return answer.manifest.generation


def experiment_of(settings) -> str:
    return next(iter(settings.keep_generations))


def kill(child: GuardedProcess, settings) -> None:
    """SIGKILL the materialiser itself; it holds its lock a moment before its number stands in it."""
    lock = settings.folder / "lock"
    eventually(lambda: lock.read_text().strip().isdigit())
    os.kill(int(lock.read_text()), signal.SIGKILL)
    eventually(lambda: child.exit_code() is not None)


def test_from_the_publisher_to_the_reader(deployment):
    name = experiment_of(deployment)
    with ensure_materialiser(deployment) as child:
        assert child is not None
        assert is_running(deployment)
        receipts = publish(deployment, 10)  # the topic is new to the running process
        live = wait_until_live(deployment.store(), name, 10, 20)
        assert live.checksum == total_checksum([receipt.checksum for receipt in receipts])
        assert [control.count for control in live.controls] == [receipt.count for receipt in receipts]
        assert live.predictions == len(USERS)
        assert served(deployment) == 10
        publish(deployment, 11)
        wait_until_live(deployment.store(), name, 11, 20)
        assert served(deployment) == 11
        status = deployment.store().read_document(name, "status")
        assert abs(time.time() - status["updated_at"]) < 10
        with ensure_materialiser(deployment) as second:
            assert second is None, "the one that is there is used"
        with pytest.raises(EnvironmentFault, match=rf"\(pid {status['pid']}\) is already at work"):
            run_materialiser(deployment)
    assert not is_running(deployment)
    last = deployment.store().read_document(name, "status")
    assert last["stopped"]
    assert (last["lag"], last["current"], last["last_switch"]["generation"], last["refused"]) == (0, 11, 11, [])


def test_killed_at_any_point_it_ends_with_the_right_generation(deployment):
    name = experiment_of(deployment)
    publish(deployment, 10)
    with ensure_materialiser(deployment):
        wait_until_live(deployment.store(), name, 10, 20)
    stop, seen = threading.Event(), []

    def read():
        while not stop.is_set():
            seen.append(served(deployment))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for generation, pause in ((11, 0.0), (12, 0.05), (13, 0.3)):
            publisher = threading.Thread(target=publish, args=(deployment, generation))
            with ensure_materialiser(deployment) as child:
                publisher.start()
                time.sleep(pause)
                kill(child, deployment)
            publisher.join()
        with ensure_materialiser(deployment):
            wait_until_live(deployment.store(), name, 13, 20)
    finally:
        stop.set()
        reader.join()
    assert served(deployment) == 13
    assert seen == sorted(seen), "no reader ever went back"
    assert len(deployment.store().generations(name)) == 2
    assert deployment.store().staged(name) == []


def test_a_forged_generation_is_reported_at_once(deployment):
    name = experiment_of(deployment)
    publish(deployment, 10)
    with ensure_materialiser(deployment):
        wait_until_live(deployment.store(), name, 10, 20)
        job = publication(deployment, 11)
        forged = Publication(job.kafka, name, 11, PARTS, 7, b"f" * 64)
        publish_part(forged, 0, lists_table(users_of(0), 11), RankedListPayload(catalogue_table(), fallback_table(11)))
        started = time.monotonic()
        with pytest.raises(IntegrityError, match=r"refused generation 19700101-000000-011 .* signature"):
            wait_until_live(deployment.store(), name, 11, 60)
        assert time.monotonic() - started < 15
        assert served(deployment) == 10


@pytest.fixture
def in_process(deployment, monkeypatch):
    """The materialiser in this process, turned by hand, and quicker to look for topics."""
    monkeypatch.setattr(materialiser_module, "DISCOVERY_SECONDS", 0.2)
    materialiser = Materialiser(deployment)

    def turn(until, seconds=20.0):
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline
            materialiser.step(0.05)

    yield materialiser, turn
    stopping = threading.Event()
    stopping.set()
    materialiser.run(stopping)


def test_records_that_retention_cut_off_are_a_gap_that_is_noticed(deployment, in_process):
    """The log begins after the position that was kept: the rest of that generation cannot verify, the next one does."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    materialiser, turn = in_process
    name, topic = experiment_of(deployment), publication(deployment, 1).topic
    create_topic(deployment.kafka, topic, PARTS)
    store = deployment.store()
    log_id = topic_ids(deployment.kafka, [topic])[topic]
    publish(deployment, 10)
    store.write_document(name, "positions", {"log_id": log_id, "positions": {str(part): 5 for part in range(PARTS)}})
    admin = AdminClient({"bootstrap.servers": deployment.kafka.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(topic, part, 50) for part in range(PARTS)]).values():
        future.result(10)
    publish(deployment, 11)
    turn(lambda: store.current(name) == 11)
    assert [info.manifest.generation for info in store.generations(name)] == [11]
    materialiser._write_status()
    status = store.read_document(name, "status")
    assert sorted(status["restarted_at_earliest"]) == list(range(PARTS))


def test_a_topic_that_is_made_again_is_read_from_its_beginning(deployment, in_process):
    from confluent_kafka.admin import AdminClient

    _, turn = in_process
    name, store = experiment_of(deployment), deployment.store()
    publish(deployment, 10)
    turn(lambda: store.current(name) == 10)
    job = publication(deployment, 11)
    publish_part(job, 0, lists_table(users_of(0), 11), RankedListPayload(catalogue_table(), fallback_table(11)))
    turn(lambda: store.staged(name) == [11])
    admin = AdminClient({"bootstrap.servers": deployment.kafka.bootstrap_servers})
    admin.delete_topics([job.topic])[job.topic].result(10)
    time.sleep(0.5)
    publish(deployment, 11)
    turn(lambda: store.current(name) == 11)
    assert served(deployment) == 11


def test_a_storage_that_fails_for_a_while_costs_nothing(deployment, in_process, monkeypatch):
    from ok_ml.delivery.backends import lmdb_store

    _, turn = in_process
    name, store = experiment_of(deployment), deployment.store()
    publish(deployment, 10)
    turn(lambda: store.current(name) == 10)
    failing, calls = [True], []

    def refuse(path, content, *, durable=False):
        if failing[0] and path.name == "positions.json":
            calls.append(path)
            raise OSError(28, "No space left on device")
        return genuine(path, content, durable=durable)

    genuine = lmdb_store.replace_file
    monkeypatch.setattr(lmdb_store, "replace_file", refuse)
    publish(deployment, 11)
    turn(lambda: calls)
    failing[0] = False
    publish(deployment, next_generation(12, 11))
    turn(lambda: store.current(name) == 12)
    assert served(deployment) == 12


def test_what_is_not_configured_is_not_followed_on_a_shared_broker(deployment, in_process):
    _, turn = in_process
    stranger = deployment.model_copy(update={"keep_generations": {"stranger": 3}})
    publish(stranger, 10)
    publish(deployment, 10)
    turn(lambda: deployment.store().current(experiment_of(deployment)) == 10)
    assert deployment.store().experiments() == [experiment_of(deployment)]
    assert deployment.model_copy(update={"kafka": deployment.kafka.model_copy(update={"mode": "embedded"})}).serves(
        "stranger"
    )
