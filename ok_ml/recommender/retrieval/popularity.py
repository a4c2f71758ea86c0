"""How popular each source is as of a cut: recency weighted, over all users and by segment of users."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.lake import Lake
from ok_ml.places import place_of
from ok_ml.recommender.ids import UNKNOWN
from ok_ml.recommender.vectors.interactions import decayed_weights, parts_of, read_events

_IDS, _SCORES, _SEGMENTS = "popularity_ids.npy", "popularity_scores.npy", "popularity_segments.json"
EVERYBODY: Final = 0  # row of the order and of the scores that counts all users


@dataclass(frozen=True)
class Popularity:
    """Weighted events of each source.

    Attributes
    ----------
    source_ids
        int64 [m], ascending: sources with an event.
    segments
        Names of the segments, s of them, ascending.
    scores
        int64 [1 + s, m], fixed point: row 0 counts all users, row 1 + i segment i.
    """

    source_ids: NDArray[np.int64]
    segments: tuple[str, ...]
    scores: NDArray[np.int64]

    def orders(self, catalogue_ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """Indices of a catalogue, most popular first, int32 [1 + s, catalogue]: by segment, then all users, then id."""
        known = place_of(self.source_ids, catalogue_ids)
        scores = np.where(known == UNKNOWN, 0, self.scores[:, known])
        order = [np.lexsort((np.arange(len(catalogue_ids)), -scores[EVERYBODY], -row)) for row in scores]
        return np.array(order, np.int32).reshape(len(self.scores), len(catalogue_ids))

    def segment_rows(self, segments: Sequence[str | None]) -> NDArray[np.int64]:
        """Row of `orders` for each user's segment, int64; a segment without events counts as all users."""
        rows = {name: 1 + i for i, name in enumerate(self.segments)}
        return np.array([rows.get(name, EVERYBODY) if name is not None else EVERYBODY for name in segments], np.int64)

    def save(self, folder: Path) -> None:
        """Write three files into `folder`, made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / _IDS, self.source_ids, allow_pickle=False)
        np.save(folder / _SCORES, self.scores, allow_pickle=False)
        (folder / _SEGMENTS).write_text(json.dumps(self.segments))

    @classmethod
    def load(cls, folder: Path) -> "Popularity":
        """Read the files of `save`."""
        ids, scores = (np.load(folder / name, allow_pickle=False) for name in (_IDS, _SCORES))
        return cls(ids, tuple(json.loads((folder / _SEGMENTS).read_text())), scores)


def popularities_from_events(
    lake: Lake,
    dataset_scope: str,
    dts: Sequence[str],
    weights: Mapping[str, float],
    end_dt: str,
    half_lives: Sequence[float | None],
) -> list[Popularity]:
    """Add up the weighted events of each source over the partitions `dts`; users' segments are those of `end_dt`.

    Parameters
    ----------
    weights
        event type -> strength of interest; types at or below 0 are left out.
    half_lives
        Days, one for each popularity: a weight halves every so many days before `end_dt`; None: no decay. All of them take one
        pass over the events.
    """
    positive = {name: weight for name, weight in weights.items() if weight > 0}
    nothing = (np.zeros(0, np.int64), np.zeros(0, np.str_), np.zeros(0, np.int64))
    pieces = [[nothing] for _ in half_lives]
    for part in parts_of(lake, dataset_scope, c.EVENTS, dts):
        segments = _segments_of_part(lake, dataset_scope, end_dt, part)
        for day in read_events(lake, dataset_scope, dts, list(positive), part):
            names = segments(day.user_ids)
            for mine, half_life_days in zip(pieces, half_lives, strict=True):
                values = decayed_weights(positive, day.dt, end_dt, half_life_days)[day.types]
                mine.append(_by_segment(day.source_ids, names, values))
    return [_tabulate(*(np.concatenate(column) for column in zip(*mine, strict=True))) for mine in pieces]


class _Segments:
    """Segment of each user of one part; "" where it is not known."""

    def __init__(self, user_ids: NDArray[np.int64], names: NDArray[np.str_]) -> None:
        order = np.argsort(user_ids, kind="stable")
        self._user_ids, self._names = user_ids[order], names[order]

    def __call__(self, user_ids: NDArray[np.int64]) -> NDArray[np.str_]:
        place = place_of(self._user_ids, user_ids)
        if not len(self._names):
            return np.full(len(user_ids), "", np.str_)
        return np.where(place == UNKNOWN, "", self._names[place])


def _segments_of_part(lake: Lake, dataset_scope: str, dt: str, part: int) -> _Segments:
    rows = lake.read(dataset_scope, c.USERS, [dt], part=part)
    names = rows[c.SEGMENT].to_pylist() if c.SEGMENT in rows.column_names else [None] * rows.num_rows
    return _Segments(rows[c.USER_ID].to_numpy(), np.array([name or "" for name in names], np.str_))


def _by_segment(
    sources: NDArray[np.int64], names: NDArray[np.str_], values: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.str_], NDArray[np.int64]]:
    """One row a (source, segment) with its sum."""
    known_sources, source = np.unique(sources, return_inverse=True)
    known_names, name = np.unique(names, return_inverse=True)
    keys, place = np.unique(source * max(len(known_names), 1) + name, return_inverse=True)
    sums = np.zeros(len(keys), np.int64)
    np.add.at(sums, place, values)
    return known_sources[keys // max(len(known_names), 1)], known_names[keys % max(len(known_names), 1)], sums


def _tabulate(sources: NDArray[np.int64], names: NDArray[np.str_], sums: NDArray[np.int64]) -> Popularity:
    ids, column = np.unique(sources, return_inverse=True)
    segments = tuple(sorted({str(name) for name in np.unique(names)} - {""}))
    scores = np.zeros((1 + len(segments), len(ids)), np.int64)
    np.add.at(scores[EVERYBODY], column, sums)
    for i, segment in enumerate(segments):
        mine = names == segment
        np.add.at(scores[1 + i], column[mine], sums[mine])
    return Popularity(ids, segments, scores)
