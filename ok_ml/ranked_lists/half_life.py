"""How fast popularity forgets: the half-life whose list would have been best on days before the cut."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.hashing import mix64
from ok_ml.lake import Lake
from ok_ml.partitions import window
from ok_ml.quality.ranking.ranking_metrics import Relevance, user_metrics
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.recommender.ranking.labels import relevance
from ok_ml.recommender.retrieval.candidates import take_allowed
from ok_ml.recommender.retrieval.popularity import EVERYBODY
from ok_ml.recommender.retrieval.snapshot import Catalogue, Subscriptions
from ok_ml.recommender.vectors.interactions import parts_of, read_events

# Days, longest first; None: no decay. Of equal ones the longest is taken: it says more about the sources of the long tail.
HALF_LIVES: Final = (None, 256.0, 128.0, 64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0, 0.5)
_WINDOWS: Final = 3
_USERS: Final = 2000  # judge a window: the interval of their mean is far below what a wrong half-life costs


@dataclass(frozen=True)
class LabelledDays:
    """Days that judge, and the day before them.

    Attributes
    ----------
    learnt
        Partitions whose events popularity counts, up to `cut`.
    """

    cut: str
    label_dts: Sequence[str]
    learnt: Sequence[str]


@dataclass(frozen=True)
class DailyCounts:
    """Weighted events of each source by day.

    Attributes
    ----------
    days, sources
        int64 [rows]: index into `dts`, and source id; one row a day and source.
    sums
        float64 [rows]: weights of its events.
    """

    dts: Sequence[str]
    days: NDArray[np.int64]
    sources: NDArray[np.int64]
    sums: NDArray[np.float64]

    @classmethod
    def read(cls, lake: Lake, dataset_scope: str, dts: Sequence[str], weights: Mapping[str, float]) -> "DailyCounts":
        """Count some partitions; types with a weight at or below 0 are left out."""
        positive = {name: weight for name, weight in weights.items() if weight > 0}
        values, place = np.array(list(positive.values()), np.float64), {dt: number for number, dt in enumerate(dts)}
        pieces: list[tuple[NDArray[Any], ...]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        for part in parts_of(lake, dataset_scope, c.EVENTS, dts):
            for day in read_events(lake, dataset_scope, dts, list(positive), part):
                ids, mine = np.unique(day.source_ids, return_inverse=True)
                sums = np.bincount(mine, values[day.types], len(ids)).astype(np.float64)
                pieces.append((np.full(len(ids), place[day.dt]), ids, sums))
        days, sources, sums = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
        return cls(dts, days, sources, sums)

    def scores(
        self, catalogue: Catalogue, cut: str, learnt: Sequence[str], half_life_days: float | None
    ) -> NDArray[np.float64]:
        """Decayed sum of each source of a catalogue as of `cut`, float64 [m], over the partitions `learnt`."""
        known = set(learnt)
        ages = np.array([(date.fromisoformat(cut) - date.fromisoformat(dt)).days for dt in self.dts])
        decay = np.ones(len(ages)) if half_life_days is None else 0.5 ** (ages.clip(min=0) / half_life_days)
        decay[[number for number, dt in enumerate(self.dts) if dt not in known]] = 0
        places = catalogue.index(self.sources)
        there = places >= 0
        return np.bincount(places[there], (self.sums * decay[self.days])[there], catalogue.size).astype(np.float64)


def judge_half_lives(
    lake: Lake,
    dataset_scope: str,
    windows: Sequence[LabelledDays],
    weights: Mapping[str, float],
    grades: Mapping[str, int],
    k: int,
) -> dict[float | None, float]:
    """Half-life -> mean ndcg@k of its list over the users who found something new on the days that judge, of all windows.

    Empty where there is no such user. A day that judges is never counted by the list that it judges.
    """
    dts = sorted({dt for one in windows for dt in one.learnt})
    counts = DailyCounts.read(lake, dataset_scope, dts, weights)
    totals, users = dict.fromkeys(HALF_LIVES, 0.0), 0
    for one in windows:
        for half_life, values in _values(lake, dataset_scope, one, counts, grades, k):
            totals[half_life] += float(values.sum())
            users += len(values) if half_life is None else 0
    return {half_life: total / users for half_life, total in totals.items()} if users else {}


def _values(
    lake: Lake,
    dataset_scope: str,
    days: LabelledDays,
    counts: DailyCounts,
    grades: Mapping[str, int],
    k: int,
) -> Iterator[tuple[float | None, NDArray[np.float64]]]:
    catalogue = Catalogue.load(lake, dataset_scope, days.cut)
    found = relevance(lake, dataset_scope, days.label_dts, grades, days.cut)
    chosen = np.sort(np.argsort(mix64(found.user_ids.view(np.uint64)), kind="stable")[:_USERS])
    judged = Relevance(found.indptr, found.source_ids, found.grades).of_users(chosen)
    excluded = Subscriptions.load(lake, dataset_scope, days.cut, catalogue).of(found.user_ids[chosen])
    rows, ids = np.full(len(chosen), EVERYBODY), np.append(catalogue.source_ids, -1)
    for half_life in HALF_LIVES:
        scores = counts.scores(catalogue, days.cut, days.learnt, half_life)
        order = np.lexsort((np.arange(catalogue.size), -scores)).astype(np.int32)
        lists = ids[take_allowed(order[None, :], rows, excluded, k)]
        yield half_life, user_metrics(lists, judged, (k,))[f"ndcg@{k}"]


# -- of a pipeline -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HalfLife:
    """A choice.

    Attributes
    ----------
    judged
        Half-life -> what it was worth; empty where nothing could be judged.
    """

    days: float | None
    judged: Mapping[float | None, float]
    reason: str


def choose_half_life(pipeline: ListPipeline, cut: str) -> HalfLife:
    """The best half-life on days up to `cut`, in up to three windows as long as the evaluation's, the newest at the end."""
    k = min(pipeline.config.stages.evaluation.k)
    windows = judging_windows(pipeline, cut)
    dataset = pipeline.dataset
    judged = judge_half_lives(pipeline.lake, pipeline.dataset_scope, windows, dataset.weights, dataset.grades, k)
    if not judged:
        return HalfLife(None, {}, "no day before the evaluation could judge a half-life, so none")
    best = max(judged, key=lambda days: judged[days])
    told = "no decay" if best is None else f"half-life {best:g} days"
    span = f"{windows[-1].label_dts[0]} .. {windows[0].label_dts[-1]}"
    return HalfLife(best, judged, f"{told}, ndcg@{k} {judged[best]:.4f} on {span} (no decay: {judged[None]:.4f})")


def judging_windows(pipeline: ListPipeline, cut: str) -> list[LabelledDays]:
    """Windows one before the other, the newest first; each with at least as many partitions before it as it has itself.

    They end where the snapshots of a cut are not there.
    """
    known, windows = [dt for dt in pipeline.committed() if dt <= cut], list[LabelledDays]()
    while known and len(windows) < _WINDOWS:
        label_dts = window(known, known[-1], pipeline.config.stages.evaluation.days)
        known = known[: len(known) - len(label_dts)]
        if len(known) < len(label_dts) or not _has_snapshots(pipeline, known[-1]):
            break
        windows.append(LabelledDays(known[-1], label_dts, pipeline.learnt_dts(known[-1])))
    return windows


def _has_snapshots(pipeline: ListPipeline, dt: str) -> bool:
    tables = (c.SOURCES, c.SUBSCRIPTIONS)
    return all(pipeline.lake.find(pipeline.dataset_scope, table, dt) is not None for table in tables)
