"""Lists by what had passed between user and source before: showing again what was shown is no discovery."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.places import place_of
from ok_ml.quality.ranking.ranking_evaluation import Stratum
from ok_ml.quality.ranking.ranking_metrics import EMPTY, Relevance
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.recommender.vectors.interactions import parts_of, read_events

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEVER_SHOWN: Final = "never_shown"  # no event of the pair in the window of the vectors
SHOWN: Final = "shown_not_reacted"  # events, none of them a reaction
REACTED: Final = "reacted_before"
STRATA: Final = (NEVER_SHOWN, SHOWN, REACTED)


@dataclass(frozen=True)
class Met:
    """What had passed between some users and the sources by the evening before the evaluation.

    Attributes
    ----------
    users
        int64 [n], ascending.
    sources
        int64 [m], ascending: those of any event of these users.
    shown, reacted
        int64, ascending: row of the user times m plus place of the source, of pairs with an event, and with a reaction.
    """

    users: "NDArray[np.int64]"
    sources: "NDArray[np.int64]"
    shown: "NDArray[np.int64]"
    reacted: "NDArray[np.int64]"

    @classmethod
    def read(cls, pipeline: ListPipeline, users: "NDArray[np.int64]") -> "Met":
        """From the window of the vectors. In a log without impressions it is unknown what was shown: only reactions count."""
        lake, scope, dts = pipeline.lake, pipeline.dataset_scope, pipeline.learnt_dts(pipeline.calendar().eval_cut)
        reactions = {name for name, grade in pipeline.dataset.grades.items() if grade > 0}
        types = sorted({c.IMPRESSION, *pipeline.dataset.grades, *pipeline.dataset.weights})
        is_reaction = np.array([name in reactions for name in types])
        no_ids = np.zeros(0, np.int64)
        pieces = [(no_ids, no_ids, np.zeros(0, bool))]
        for part in parts_of(lake, scope, c.EVENTS, dts):
            for day in read_events(lake, scope, dts, types, part):
                row = place_of(users, day.user_ids)
                asked = row >= 0
                pieces.append((row[asked], day.source_ids[asked], is_reaction[day.types[asked]]))
        rows, ids, reacted = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
        sources, place = np.unique(ids, return_inverse=True)
        keys = rows * len(sources) + place
        return cls(users, sources, np.unique(keys), np.unique(keys[reacted]))

    def strata(self, rows: "NDArray[np.int64]", source_ids: "NDArray[np.int64]") -> "NDArray[np.int64]":
        """Index into STRATA of some pairs, int64; `rows` are rows of `users`."""
        place = place_of(self.sources, source_ids)
        keys = np.where(place < 0, -1, rows * len(self.sources) + place)
        return (place_of(self.shown, keys) >= 0).astype(np.int64) + (place_of(self.reacted, keys) >= 0)


def by_novelty(
    pipeline: ListPipeline,
    users: "NDArray[np.int64]",
    relevance: Relevance,
    lists: "Mapping[str, NDArray[np.int64]]",
) -> dict[str, Stratum]:
    """The relevant sources, and the lists, with only the sources of each stratum; one without a relevant source is left out.

    Parameters
    ----------
    users
        int64 [n], ascending, row by row as `relevance` and the lists.
    """
    met = Met.read(pipeline, users)
    of_relevant = met.strata(relevance.user_rows, relevance.source_ids)
    rows = np.arange(len(users))[:, None]
    of_lists = {
        name: np.where(
            ids == EMPTY, -1, met.strata(np.broadcast_to(rows, ids.shape).ravel(), ids.ravel()).reshape(ids.shape)
        )
        for name, ids in lists.items()
    }
    strata = {}
    for number, stratum in enumerate(STRATA):
        kept = of_relevant == number
        if kept.any():
            some = {name: _taken(ids, of_lists[name] == number) for name, ids in lists.items()}
            strata[stratum] = Stratum(relevance.only(kept), some)
    return strata


def _taken(ids: "NDArray[np.int64]", kept: "NDArray[np.bool_]") -> "NDArray[np.int64]":
    """The chosen sources of each list, in order, padded."""
    order = np.argsort(~kept, axis=1, kind="stable")
    return np.take_along_axis(np.where(kept, ids, EMPTY), order, axis=1)
