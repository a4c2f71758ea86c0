"""The storage on Redis or Valkey, one server or a cluster.

One hash holds one attempt at one part, so a generation is as many keys as it has parts and goes in one step each.
Braces mark what hashes to one slot of a cluster::

    ok_ml:experiments                              set of names
    ok_ml:{<experiment>}:current                   the generation that is served
    ok_ml:{<experiment>}:sealed                    hash: generation -> manifest
    ok_ml:{<experiment>}:staged                    set of generations
    ok_ml:{<experiment>}:keys:<generation>         set of the data keys below, for removal
    ok_ml:{<experiment>}:document:<name>           JSON
    ok_ml:{<experiment>}:lock                      token of whoever switches or collects
    ok_ml:{<experiment>/<generation>/<part>}:<tag> hash: kind byte and key -> value and its hash
    ok_ml:{<experiment>/<generation>/<part>}:state JSON, written in one transaction with the hash
"""

import contextlib
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import redis
from redis.cluster import RedisCluster

from ok_ml.config.models import StorageConfig
from ok_ml.credentials import password_of
from ok_ml.delivery.backends.redis_reader import RedisReader, answering, data_key
from ok_ml.delivery.manifest import GenerationManifest
from ok_ml.delivery.reading import Reader
from ok_ml.delivery.storage import Document, PredictionStore, StagedGeneration
from ok_ml.errors import ConfigError, EnvironmentFault, ServiceUnavailable

_EXPERIMENTS: Final = "ok_ml:experiments"
_LOCK_SECONDS: Final = 60
_LOCK_WAIT_SECONDS: Final = 15.0
_SCAN_COUNT: Final = 1000
_RELEASE: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"


class RedisStaged(StagedGeneration):
    """A generation being filled; every write is a transaction of its own."""

    def __init__(self, store: "RedisStore", experiment: str, generation: int) -> None:
        self._store, self._experiment, self.generation = store, experiment, generation
        self._client = store.client
        self._known: set[str] = set()

    def states(self) -> dict[int, Document]:
        """See `StagedGeneration`."""
        with answering():
            keys = [
                key.decode() for key in self._client.smembers(self._store.keys_key(self._experiment, self.generation))
            ]
            documents = {
                int(key.split("}")[0].rsplit("/", 1)[1]): self._client.get(key)
                for key in keys
                if key.endswith(":state")
            }
        return {part: orjson.loads(value) for part, value in documents.items() if value is not None}

    def write(self, part: int, tag: bytes, records: Sequence[tuple[bytes, bytes]], state: Document) -> None:
        """See `StagedGeneration`."""
        data, state_key = self._key(part, tag.hex()), self._key(part, "state")
        with answering():
            self._register(data, state_key)
            pipe = self._client.pipeline(transaction=True)
            if records:
                pipe.hset(data, mapping=dict(records))
            pipe.set(state_key, orjson.dumps(state))
            pipe.execute()

    def drop(self, part: int, tag: bytes) -> None:
        """See `StagedGeneration`."""
        with answering():
            self._client.unlink(self._key(part, tag.hex()))

    def commit(self) -> None:
        """See `StagedGeneration`: nothing is buffered."""

    def scan(self, part: int, tag: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `StagedGeneration`. HSCAN may say a field twice while the hash is rearranged: it is passed on once."""
        seen: set[bytes] = set()
        with answering():
            for key, stored in self._client.hscan_iter(self._key(part, tag.hex()), count=_SCAN_COUNT):
                if key not in seen:
                    seen.add(key)
                    yield key, stored

    def seal(self, manifest: GenerationManifest) -> None:
        """See `StagedGeneration`."""
        with answering():
            pipe = self._client.pipeline(transaction=True)
            pipe.hset(
                self._store.key(self._experiment, "sealed"), str(self.generation), orjson.dumps(manifest.to_json())
            )
            pipe.srem(self._store.key(self._experiment, "staged"), str(self.generation))
            pipe.execute()

    def close(self) -> None:
        """See `StagedGeneration`."""

    def _key(self, part: int, name: str) -> str:
        return data_key(self._experiment, self.generation, part, name)

    def _register(self, *keys: str) -> None:
        """Note keys for removal before they exist."""
        fresh = set(keys) - self._known
        if fresh:
            self._client.sadd(self._store.keys_key(self._experiment, self.generation), *fresh)
            self._known |= fresh


class RedisStore(PredictionStore):
    """Generations on one server or cluster.

    Raises
    ------
    ConfigError
        ``storage.url`` is missing, or ``storage.password_env`` names an unset variable.
    ServiceUnavailable
        The server does not answer.
    """

    def __init__(self, config: StorageConfig, _root: Path) -> None:
        if not config.url:
            raise ConfigError("storage.url is not set", why="backend redis needs an address", remedy="set storage.url")
        self._url = config.url
        self.client = _connect(config.url, password_of("storage", config.password_env))
        self._is_checked = False

    # -- contract --------------------------------------------------------------------------------------------------

    def reader(self, experiment: str, *, verify: bool = True) -> Reader:
        """See `PredictionStore`; values are always verified one by one, so `verify` changes nothing."""
        del verify
        return RedisReader(self.client, experiment, self.key(experiment, "current"), self.key(experiment, "sealed"))

    def experiments(self) -> list[str]:
        """See `PredictionStore`."""
        with answering():
            return sorted(name.decode() for name in self.client.smembers(_EXPERIMENTS))

    def read_document(self, experiment: str, name: str) -> Document | None:
        """See `PredictionStore`."""
        with answering():
            raw = self.client.get(self.key(experiment, f"document:{name}"))
        document: Document | None = orjson.loads(raw) if raw else None
        return document

    def write_document(self, experiment: str, name: str, document: Document, *, durable: bool = True) -> None:
        """See `PredictionStore`; how durable it is, the server's settings say."""
        del durable
        with answering():
            self.client.sadd(_EXPERIMENTS, experiment)
            self.client.set(self.key(experiment, f"document:{name}"), orjson.dumps(document))

    def stage(self, experiment: str, generation: int) -> StagedGeneration:
        """See `PredictionStore`. Raises EnvironmentFault if the server may evict keys."""
        self._check_eviction()
        with answering():
            self.client.sadd(_EXPERIMENTS, experiment)
            self.client.sadd(self.key(experiment, "staged"), str(generation))
        return RedisStaged(self, experiment, generation)

    def staged(self, experiment: str) -> list[int]:
        """See `PredictionStore`."""
        with answering():
            return sorted(int(name) for name in self.client.smembers(self.key(experiment, "staged")))

    def drop_staged(self, experiment: str, generation: int) -> None:
        """See `PredictionStore`."""
        self._unlink_data(experiment, generation)
        with answering():
            self.client.srem(self.key(experiment, "staged"), str(generation))

    def sealed(self, experiment: str) -> list[GenerationManifest]:
        """See `PredictionStore`."""
        with answering():
            manifests = self.client.hvals(self.key(experiment, "sealed"))
        return sorted(
            (GenerationManifest.from_json(orjson.loads(one)) for one in manifests), key=lambda m: m.generation
        )

    def current(self, experiment: str) -> int | None:
        """See `PredictionStore`."""
        with answering():
            value = self.client.get(self.key(experiment, "current"))
        return int(value) if value else None

    def close(self) -> None:
        """See `PredictionStore`."""
        self.client.close()

    # -- the rest ----------------------------------------------------------------------------------------------------

    def key(self, experiment: str, name: str) -> str:
        """A key of an experiment, all on one slot."""
        return f"ok_ml:{{{experiment}}}:{name}"

    def keys_key(self, experiment: str, generation: int) -> str:
        """The set of data keys of a generation."""
        return self.key(experiment, f"keys:{generation}")

    @contextlib.contextmanager
    def _lock(self, experiment: str) -> Iterator[None]:
        key, token = self.key(experiment, "lock"), uuid.uuid4().hex
        deadline = time.monotonic() + _LOCK_WAIT_SECONDS
        with answering():
            while not self.client.set(key, token, nx=True, ex=_LOCK_SECONDS):
                if time.monotonic() > deadline:
                    raise ServiceUnavailable(
                        f"another process holds the lock of {experiment} for more than {_LOCK_WAIT_SECONDS:.0f} s",
                        why="two switches at once could lose one",
                        remedy=f"try again; it ends by itself after {_LOCK_SECONDS} s",
                    )
                time.sleep(0.02)
        try:
            yield
        finally:
            with answering():
                self.client.eval(_RELEASE, 1, key, token)

    def _point(self, experiment: str, generation: int) -> None:
        with answering():
            self.client.set(self.key(experiment, "current"), str(generation))

    def _remove(self, experiment: str, generation: int) -> None:
        with answering():
            self.client.hdel(self.key(experiment, "sealed"), str(generation))
        self._unlink_data(experiment, generation)

    def _unlink_data(self, experiment: str, generation: int) -> None:
        keys_key = self.keys_key(experiment, generation)
        with answering():
            for key in self.client.smembers(keys_key):
                self.client.unlink(key)
            self.client.unlink(keys_key)

    def _check_eviction(self) -> None:
        """With an eviction policy the server drops values without a word when memory runs out."""
        if self._is_checked:
            return
        with answering():
            info = self.client.info("memory")
        nodes = info.values() if info and all(isinstance(value, dict) for value in info.values()) else [info]
        policies = {str(node.get("maxmemory_policy")) for node in nodes}
        if policies != {"noeviction"}:
            raise EnvironmentFault(
                f"the storage at {self._url} has maxmemory-policy {', '.join(sorted(policies))}, expected noeviction",
                why="predictions would vanish without an error",
                remedy="set maxmemory-policy noeviction on the server",
            )
        self._is_checked = True


def _connect(url: str, password: str | None) -> Any:
    """A client of the server, or of the cluster that it belongs to."""
    options: dict[str, Any] = {"password": password, "socket_timeout": 10.0, "socket_connect_timeout": 5.0}
    with answering():
        client = redis.Redis.from_url(url, **options)
        if not int(client.info("cluster").get("cluster_enabled", 0)):
            return client
        client.close()
        return RedisCluster.from_url(url, **options)
