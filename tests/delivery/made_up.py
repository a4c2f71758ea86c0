"""Made-up predictions, and a log of records as a broker would hand them over, without a broker."""

import uuid
from dataclasses import replace

import numpy as np
import pyarrow as pa

from ok_ml.delivery.codec import (
    CONTROL_KEY,
    FALLBACK_KEY,
    Kind,
    encode_catalogue,
    encode_predictions,
    keys_of,
)
from ok_ml.delivery.control import Control, hex_checksum, seal_control
from ok_ml.delivery.kafka.consuming import Record
from ok_ml.delivery.loading import ExperimentLoader
from ok_ml.delivery.reading import stored_value
from ok_ml.delivery.storage import PredictionStore
from ok_ml.hashing import part_of

KEY = b"k" * 64
PARTS = 4
EXPERIMENT = "toy"
USERS = np.arange(1, 1001, dtype=np.int64)
SOURCES = np.arange(100, 140, dtype=np.int64)


def lists_table(users: np.ndarray, generation: int, length: int = 5) -> pa.Table:
    """One list a user. The first source's score is the generation's number, so that a mixed answer shows."""
    rows = len(users)
    ids = SOURCES[(users[:, None] + np.arange(length)) % len(SOURCES)]
    scores = np.broadcast_to(np.float32(generation) - np.arange(length, dtype=np.float32), (rows, length))
    offsets = np.arange(rows + 1, dtype=np.int32) * length
    return pa.table(
        {
            "user_id": users,
            "source_ids": pa.ListArray.from_arrays(offsets, ids.ravel()),
            "scores": pa.ListArray.from_arrays(offsets, scores.ravel().astype(np.float32)),
            "reasons": pa.ListArray.from_arrays(offsets, np.zeros(rows * length, np.int8)),
            "is_fallback": np.zeros(rows, bool),
        }
    )


def users_of(part: int, parts: int = PARTS, users: np.ndarray = USERS) -> np.ndarray:
    """The users of one part."""
    return users[part_of(users, parts) == part]


def catalogue_table() -> pa.Table:
    """Every source; odd ones have no topic."""
    topics = [None if source % 2 else "even" for source in SOURCES]
    return pa.table({"source_id": SOURCES, "name": [f"Source {source}" for source in SOURCES], "topic": topics})


def fallback_table(generation: int) -> pa.Table:
    """The list for unknown users: scored by the generation's number too."""
    return lists_table(np.array([0]), generation, 3).drop_columns(["user_id"])


class Log:
    """One topic in memory: a list of records a part, offsets ascending."""

    def __init__(self, parts: int = PARTS) -> None:
        self.parts = parts
        self.records: dict[int, list[Record]] = {part: [] for part in range(parts)}

    def append(self, part: int, key: bytes, value: bytes) -> None:
        """Add one record at the next offset."""
        self.records[part].append(Record(len(self.records[part]), key, value))

    def attempt(
        self, generation: int, part: int, /, *, upto: int | None = None, key: bytes = KEY, **wrong: object
    ) -> Control:
        """Write an attempt: whole with its control record, or only its first `upto` records, as a dead task leaves it.

        `wrong` overrides fields of the control record before it is signed.
        """
        control = Control(
            EXPERIMENT, generation, part, self.parts, uuid.uuid4().hex, 7, 0, 0, 0, "0", {"data_dt": "2026-01-31"}
        )
        records = self._values(control)
        for name, value in records[:upto]:
            self.append(part, name, value)
        total = sum(stored_value(name, value)[1] for name, value in records)
        control = replace(
            control,
            count=len(records),
            predictions=len(users_of(part, self.parts)),
            sources=len(records) - len(users_of(part, self.parts)) - 1,
            checksum=hex_checksum(total),
        )
        if upto is None:
            self.append(part, CONTROL_KEY, seal_control(replace(control, **wrong), key))
        return control

    def generation(self, generation: int) -> list[Control]:
        """Write every part."""
        return [self.attempt(generation, part) for part in range(self.parts)]

    def _values(self, control: Control) -> list[tuple[bytes, bytes]]:
        users = users_of(control.part, self.parts)
        mine = catalogue_table().filter(part_of(SOURCES, self.parts) == control.part)
        predictions = encode_predictions(control.prefix(Kind.PREDICTION), lists_table(users, control.generation))
        sources = encode_catalogue(control.prefix(Kind.CATALOGUE), mine["name"].to_pylist(), mine["topic"].to_pylist())
        fallback = encode_predictions(control.prefix(Kind.FALLBACK), fallback_table(control.generation))
        keys = keys_of(pa.chunked_array([users])) + keys_of(mine["source_id"]) + [FALLBACK_KEY]
        return list(zip(keys, predictions + sources + fallback, strict=True))


def new_loader(store: PredictionStore, log_id: str = "log-1", keep: int = 3) -> ExperimentLoader:
    """A loader as a fresh process makes it."""
    return ExperimentLoader(store, EXPERIMENT, signing_key=KEY, keep=keep, log_id=log_id)


def load(
    store: PredictionStore, log: Log, loader: ExperimentLoader | None = None, step: int = 10_000
) -> ExperimentLoader:
    """Hand a loader everything that it has not had, `step` records of each part in turn; then a checkpoint."""
    loader = loader or new_loader(store)
    while any(loader.positions.get(part, 0) < len(records) for part, records in log.records.items()):
        for part, records in log.records.items():
            start = loader.positions.get(part, 0)
            loader.apply(part, records[start : start + step])
            if loader.is_complete:
                loader.checkpoint()
    loader.checkpoint()
    return loader
