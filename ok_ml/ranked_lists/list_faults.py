"""What users would notice at once in the newest lists."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ok_ml import columns as c
from ok_ml.quality.judges.verdicts import Verdict
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.ranked_lists.predicting import DIVERSITY
from ok_ml.recommender.ranking.rank_blocks import DIVERSE
from ok_ml.stages.plot_files import plot_path
from ok_ml.stages.prediction_kind import fault_verdict

if TYPE_CHECKING:
    import pyarrow as pa


def plot_scores(pipeline: ListPipeline, dt: str) -> Path:
    """Histogram of the best and of all scores of a day."""
    from ok_ml.quality.plots.evaluation_plots import score_distribution

    lists = _lists(pipeline, dt)
    scores = {"best of each list": lists.scores[lists.starts[lists.lengths > 0]], "all": lists.scores}
    path = plot_path(pipeline, "scores.png")
    score_distribution(scores, title=f"Scores of the predictions of {dt}", path=path)
    return path


def faults_of_lists(pipeline: ListPipeline) -> Verdict:
    """No user missing, full lists, finite descending scores, no source twice, nothing that a user is subscribed to.

    A list is empty for good reason where its user is subscribed to every source that there is. The scores of a diverse list
    descend behind its re-ranked head.
    """
    dt = pipeline.lake.latest(pipeline.name, c.PREDICTIONS)
    diverse = bool(pipeline.lake.manifest(pipeline.name, c.PREDICTIONS, dt).details.get(DIVERSITY))
    lists, top_n = _lists(pipeline, dt), pipeline.config.stages.predictions.top_n
    users = pipeline.lake.manifest(pipeline.dataset_scope, c.USERS, dt).rows
    pairs = _pairs(pipeline, dt)
    empty, done = lists.user_ids[lists.lengths == 0], _with_everything(pipeline, dt, pairs)
    nothing_left = int(np.isin(empty, done).sum())
    faults = {
        "users without a row": users - len(lists.user_ids),
        "empty lists": len(empty) - nothing_left,
        "scores that are not finite": int((~np.isfinite(lists.scores)).sum()),
        "lists not in order": lists.unordered(DIVERSE if diverse else 0),
        "sources twice in a list": lists.repeated(),
        "sources already subscribed to": lists.also_in(pairs),
    }
    short = int((lists.lengths < top_n).sum())
    facts = f"{len(lists.user_ids):,} users on {dt}, {short:,} lists shorter than {top_n}"
    facts += f", {nothing_left:,} of them empty: these users are subscribed to every source" if nothing_left else ""
    counted = {"users": len(lists.user_ids), "short_lists": short, "nothing_left": nothing_left}
    return fault_verdict(pipeline.lake, pipeline.name, dt, facts, faults, **counted)


@dataclass(frozen=True)
class _Lists:
    """Flat lists: user i owns the entries starts[i] .. starts[i] + lengths[i]."""

    user_ids: "np.ndarray[Any, np.dtype[np.int64]]"
    starts: "np.ndarray[Any, np.dtype[np.int64]]"
    lengths: "np.ndarray[Any, np.dtype[np.int64]]"
    sources: "np.ndarray[Any, np.dtype[np.int64]]"
    scores: "np.ndarray[Any, np.dtype[np.float32]]"

    @property
    def owners(self) -> "np.ndarray[Any, np.dtype[np.int64]]":
        return np.repeat(np.arange(len(self.user_ids)), self.lengths)

    def unordered(self, head: int) -> int:
        """How many lists have scores that rise behind their first `head` places."""
        place = np.arange(len(self.scores)) - self.starts[self.owners]
        same = (np.diff(self.owners) == 0) & (place[:-1] >= head)
        return len(np.unique(self.owners[1:][same & (np.diff(self.scores) > 0)]))

    def repeated(self) -> int:
        order = np.lexsort((self.sources, self.owners))
        owners, sources = self.owners[order], self.sources[order]
        return int(((np.diff(owners) == 0) & (np.diff(sources) == 0)).sum())

    def also_in(self, pairs: "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]") -> int:
        """How many (user, source) of the lists are among other pairs."""
        users = np.concatenate((self.user_ids[self.owners], pairs[0]))
        sources = np.concatenate((self.sources, pairs[1]))
        order = np.lexsort((np.arange(len(users)) >= len(self.sources), sources, users))
        users, sources, served = users[order], sources[order], order < len(self.sources)
        return int(((np.diff(users) == 0) & (np.diff(sources) == 0) & served[:-1] & ~served[1:]).sum())


def _lists(pipeline: ListPipeline, dt: str) -> _Lists:
    rows = pipeline.lake.read(
        pipeline.name, c.PREDICTIONS, [dt], columns=[c.USER_ID, c.SOURCE_IDS, c.SCORES]
    ).combine_chunks()
    lengths = _flat_lengths(rows[c.SOURCE_IDS])
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(np.int64)
    sources, scores = (rows[name].combine_chunks().flatten().to_numpy() for name in (c.SOURCE_IDS, c.SCORES))
    return _Lists(rows[c.USER_ID].to_numpy(), starts, lengths, sources, scores)


def _flat_lengths(column: "pa.ChunkedArray") -> "np.ndarray[Any, np.dtype[np.int64]]":
    import pyarrow.compute as pc

    return np.asarray(pc.list_value_length(column).to_numpy(), dtype=np.int64)


def _pairs(pipeline: ListPipeline, dt: str) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    rows = pipeline.lake.read(pipeline.dataset_scope, c.SUBSCRIPTIONS, [dt], columns=[c.USER_ID, c.SOURCE_ID])
    return rows[c.USER_ID].to_numpy(), rows[c.SOURCE_ID].to_numpy()


def _with_everything(
    pipeline: ListPipeline, dt: str, pairs: "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]"
) -> "np.ndarray[Any, Any]":
    """Users who are subscribed to every source of the catalogue."""
    catalogue = pipeline.lake.read(pipeline.dataset_scope, c.SOURCES, [dt], columns=[c.SOURCE_ID])[
        c.SOURCE_ID
    ].to_numpy()
    users, counts = np.unique(pairs[0][np.isin(pairs[1], catalogue)], return_counts=True)
    done: np.ndarray[Any, Any] = users[counts == len(catalogue)]
    return done
