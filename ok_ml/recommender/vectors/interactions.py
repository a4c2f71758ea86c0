"""Interactions, popularity and labels from the event log, read part by part with only the columns needed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.config.models import EmbeddingsStage
from ok_ml.lake import Lake
from ok_ml.recommender.ids import require_int32
from ok_ml.recommender.vectors.embeddings import Interactions

FIXED_POINT: Final = 2**20  # weights are added as integers, so that no order of rows changes a sum


@dataclass(frozen=True)
class EventRows:
    """Some events of one partition and part.

    Attributes
    ----------
    user_ids, source_ids
        int64 [rows].
    types
        int64 [rows]: index into the event types that were asked for.
    """

    dt: str
    user_ids: NDArray[np.int64]
    source_ids: NDArray[np.int64]
    types: NDArray[np.int64]


def parts_of(lake: Lake, scope: str, table: str, dts: Sequence[str]) -> list[int]:
    """The parts that have a file in at least one of these partitions, ascending."""
    names = {Path(name).name for dt in dts for name in lake.manifest(scope, table, dt).files}
    return sorted(int(name.split("-")[1].split(".")[0]) for name in names)


def read_events(
    lake: Lake, dataset_scope: str, dts: Sequence[str], event_types: Sequence[str], part: int
) -> Iterator[EventRows]:
    """The events of some types of one part, partition by partition."""
    wanted = pa.array(event_types, pa.string())
    for dt in dts:
        rows = lake.read(dataset_scope, c.EVENTS, [dt], columns=[c.USER_ID, c.SOURCE_ID, c.EVENT_TYPE], part=part)
        codes = pc.index_in(rows[c.EVENT_TYPE].cast(pa.string()), value_set=wanted)
        kept = rows.filter(codes.is_valid())
        yield EventRows(
            dt,
            kept[c.USER_ID].to_numpy(),
            kept[c.SOURCE_ID].to_numpy(),
            codes.drop_null().to_numpy().astype(np.int64),
        )


def decayed_weights(
    weights: Mapping[str, float], dt: str, end_dt: str, half_life_days: float | None
) -> NDArray[np.int64]:
    """Weight of each event type on day `dt` seen from `end_dt`, fixed point, int64: halves every `half_life_days`."""
    age_days = (date.fromisoformat(end_dt) - date.fromisoformat(dt)).days
    decay = 1.0 if half_life_days is None else 0.5 ** (age_days / half_life_days)
    return np.array([round(weight * decay * FIXED_POINT) for weight in weights.values()], np.int64)


def embedding_weights(weights: Mapping[str, float], stage: EmbeddingsStage) -> dict[str, float]:
    """What the embeddings learn from: the dataset's weights, and being shown a source as a weak sign of interest."""
    return {**weights, c.IMPRESSION: stage.impression_weight}


def interactions_from_events(
    lake: Lake,
    dataset_scope: str,
    dts: Sequence[str],
    weights: Mapping[str, float],
    end_dt: str,
    half_life_days: float | None = None,
) -> Interactions:
    """Add up the weighted events of each (user, source) over the partitions `dts`.

    Parameters
    ----------
    dts
        Partitions of the window, none after `end_dt`.
    weights
        event type -> strength of interest; types at or below 0 are left out.
    half_life_days
        A weight halves every so many days before `end_dt`; None: no decay.
    """
    from scipy.sparse import csr_matrix

    positive = {name: weight for name, weight in weights.items() if weight > 0}
    parts = [
        _pair_sums(lake, dataset_scope, dts, positive, end_dt, half_life_days, part)
        for part in parts_of(lake, dataset_scope, c.EVENTS, dts)
    ]
    users, sources, sums = (np.concatenate([part[i] for part in parts] or [np.zeros(0, np.int64)]) for i in range(3))
    user_ids, rows = np.unique(users, return_inverse=True)
    source_ids, columns = np.unique(sources, return_inverse=True)
    require_int32(len(user_ids), "users")
    order = np.lexsort((columns, rows))
    data = (sums[order] / FIXED_POINT).astype(np.float32)
    indptr = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=len(user_ids)))))
    matrix = csr_matrix((data, columns[order].astype(np.int32), indptr), shape=(len(user_ids), len(source_ids)))
    return Interactions(user_ids, source_ids, matrix)


def _pair_sums(
    lake: Lake,
    dataset_scope: str,
    dts: Sequence[str],
    weights: Mapping[str, float],
    end_dt: str,
    half_life_days: float | None,
    part: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """User, source and fixed-point sum of each pair of one part."""
    days = list(read_events(lake, dataset_scope, dts, list(weights), part))
    users = np.concatenate([day.user_ids for day in days])
    sources = np.concatenate([day.source_ids for day in days])
    values = np.concatenate([decayed_weights(weights, day.dt, end_dt, half_life_days)[day.types] for day in days])
    return sum_pairs(users, sources, values)


def sum_pairs(
    users: NDArray[np.int64], sources: NDArray[np.int64], values: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sum of `values` of each (user, source), ordered by user and source; sums of 0 or less are left out."""
    order = np.lexsort((sources, users))
    users, sources, values = users[order], sources[order], values[order]
    starts = pair_starts(users, sources)
    sums = np.add.reduceat(values, starts) if len(starts) else values
    kept = sums > 0
    return users[starts][kept], sources[starts][kept], sums[kept]


def pair_starts(users: NDArray[np.int64], sources: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each (user, source) of ordered rows begins, int64."""
    if not len(users):
        return np.zeros(0, np.int64)
    changes = (np.diff(users) != 0) | (np.diff(sources) != 0)
    return np.concatenate(([0], np.flatnonzero(changes) + 1))
