"""Made-up predictions, in the shapes that publication and storage take."""

import time
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ok_ml.columns import REASON_FRIENDS, REASON_POPULAR, REASON_SIMILAR, REASON_TASTE
from ok_ml.delivery.codec import FALLBACK_KEY, Kind, encode_catalogue, encode_predictions, keys_of
from ok_ml.delivery.control import Control, hex_checksum
from ok_ml.delivery.manifest import GenerationManifest
from ok_ml.delivery.reading import stored_value
from ok_ml.delivery.storage import PredictionStore
from ok_ml.hashing import part_of

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

Records = list[tuple[bytes, bytes]]
Parts = list[tuple[Control, Records]]

PARTS, TOP_N, SOURCES, CHUNK = 8, 50, 5000, 8192
GENERATION = 1_767_225_600_000
# Users with history: every reason but that of the list for those without.
_REASONS = np.array([REASON_TASTE, REASON_POPULAR, REASON_FRIENDS, REASON_SIMILAR], np.int8)


@dataclass(frozen=True)
class MadeUp:
    """Lists of some users."""

    users: "NDArray[np.int64]"
    seed: int

    @cached_property
    def parts(self) -> "list[pa.Table]":
        """Predictions by part, ascending by user."""
        part = part_of(self.users, PARTS)
        return [self._table(np.sort(self.users[part == number]), number) for number in range(PARTS)]

    @cached_property
    def catalogue(self) -> "pa.Table":
        """Every source with a name and a topic."""
        import pyarrow as pa

        ids = np.arange(1, SOURCES + 1, dtype=np.int64)
        return pa.table(
            {"source_id": ids, "name": [f"Source {n}" for n in ids], "topic": [f"topic {n % 24}" for n in ids]}
        )

    @cached_property
    def fallback(self) -> "pa.Table":
        """The list for unknown users."""
        return self._table(np.zeros(1, np.int64), PARTS).drop_columns(["user_id"])

    def _table(self, users: "NDArray[np.int64]", stream: int) -> "pa.Table":
        import pyarrow as pa

        rng = np.random.default_rng((self.seed, stream))
        shape = (len(users), TOP_N)
        ids = rng.integers(1, SOURCES - TOP_N, (len(users), 1)) + rng.permuted(
            np.tile(np.arange(TOP_N), (len(users), 1)), axis=1
        )
        scores = -np.sort(-rng.normal(size=shape).astype(np.float32), axis=1)
        offsets = np.arange(len(users) + 1, dtype=np.int32) * TOP_N
        return pa.table(
            {
                "user_id": users,
                "source_ids": pa.ListArray.from_arrays(offsets, ids.ravel()),
                "scores": pa.ListArray.from_arrays(offsets, scores.ravel()),
                "reasons": pa.ListArray.from_arrays(offsets, rng.choice(_REASONS, shape[0] * TOP_N)),
                "is_fallback": np.zeros(len(users), bool),
            }
        )


def made_up(users: int, seed: int) -> MadeUp:
    """Lists of 50 sources for users with scattered ids."""
    ids = np.random.default_rng(seed).choice(1 << 40, users + 100, replace=False)
    return MadeUp(np.unique(ids)[:users].astype(np.int64), seed)


def published_values(made: MadeUp, control: Control) -> Records:
    """Keys and values of one part as they go into the topic."""
    predictions = made.parts[control.part]
    mine = made.catalogue.filter(part_of(made.catalogue["source_id"].to_numpy(), PARTS) == control.part)
    keys = keys_of(predictions["user_id"]) + keys_of(mine["source_id"]) + [FALLBACK_KEY]
    values = encode_predictions(control.prefix(Kind.PREDICTION), predictions)
    values += encode_catalogue(control.prefix(Kind.CATALOGUE), mine["name"].to_pylist(), mine["topic"].to_pylist())
    values += encode_predictions(control.prefix(Kind.FALLBACK), made.fallback)
    return list(zip(keys, values, strict=True))


def stored_records(made: MadeUp, experiment: str, generation: int) -> Parts:
    """Every part as it goes into the storage, keys ascending, with the control record that it verifies against."""
    return [
        _stored_part(made, Control(experiment, generation, part, PARTS, uuid.uuid4().hex, 1, 0, 0, 0, "0"))
        for part in range(PARTS)
    ]


def _stored_part(made: MadeUp, blank: Control) -> tuple[Control, Records]:
    published = published_values(made, blank)
    predictions = made.parts[blank.part].num_rows
    sources, total, records = len(published) - predictions - 1, 0, []
    for place, (key, value) in enumerate(published):
        kind = (
            Kind.PREDICTION if place < predictions else Kind.CATALOGUE if place < len(published) - 1 else Kind.FALLBACK
        )
        stored, digest = stored_value(key, value)
        total += digest
        records.append((bytes([kind]) + key, stored))
    control = Control(
        blank.experiment,
        blank.generation,
        blank.part,
        PARTS,
        blank.attempt,
        1,
        len(records),
        predictions,
        sources,
        hex_checksum(total),
    )
    return control, sorted(records)


def load_generation(store: PredictionStore, parts: Parts, generation: int) -> float:
    """Load a generation until it is served; returns the seconds until it was durable."""
    experiment = parts[0][0].experiment
    staged, started = store.stage(experiment, generation), time.perf_counter()
    for control, records in parts:
        for start in range(0, len(records), CHUNK):
            staged.write(control.part, control.tag, records[start : start + CHUNK], {})
    staged.commit()
    written = time.perf_counter() - started
    for control, _ in parts:
        staged.verify(control)
    staged.seal(GenerationManifest(experiment, generation, tuple(control for control, _ in parts), time.time()))
    store.switch(experiment, generation)
    return written
