"""What was shown because of a served list: which place of which generation, with what probability, and whether it was liked.

The log names the generation of an impression (`generation`); place and probability are in the lists of that generation, as they
were made. So nothing that a client sends can change a probability.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml import columns as c
from ok_ml.monitoring.series.live_history import lists_folder, live_history, read_lists
from ok_ml.places import NOWHERE, place_of
from ok_ml.quality.ranking.policy_value import Exposures, ShownLists
from ok_ml.quality.ranking.ranking_metrics import EMPTY
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.ranked_lists.reaction_model import Posts
from ok_ml.recommender.vectors.interactions import parts_of
from ok_ml.stages.pipeline import ATTEMPT_MARK

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_EXPLORED: Final = (
    300  # exposures that explored: with fewer the intervals hold the truth less often than they promise
)


@dataclass(frozen=True)
class Impressions:
    """Posts that were shown, one row each time.

    Attributes
    ----------
    users, sources
        int64 [n].
    rewards
        float64 [n]: 1 if a positive reaction to the post followed before the user was shown it again.
    generations
        int64 [n]: place in `names`; -1 of what was not shown because of a list.
    """

    users: "NDArray[np.int64]"
    sources: "NDArray[np.int64]"
    rewards: "NDArray[np.float64]"
    generations: "NDArray[np.int64]"
    names: tuple[str, ...]

    @classmethod
    def of(cls, rows: pa.Table, grades: Mapping[str, int]) -> "Impressions":
        """From events of one part: a reaction belongs to the last time that the user was shown the post before it."""
        users, items = rows[c.USER_ID].to_numpy(), rows[c.ITEM_ID].to_numpy()
        kinds = rows[c.EVENT_TYPE].cast(pa.string())
        shown = pc.equal(kinds, c.IMPRESSION).to_numpy(zero_copy_only=False)
        graded = pa.array([name for name, grade in grades.items() if grade > 0], pa.string())
        good = pc.is_in(kinds, value_set=graded).to_numpy(zero_copy_only=False)
        order = np.lexsort((~shown, rows[c.EVENT_TIME].cast(pa.int64()).to_numpy(), items, users))
        last = np.maximum.accumulate(np.where(shown[order], np.arange(len(order)), NOWHERE))
        at = np.flatnonzero(good[order] & (last >= 0))
        before, reaction = order[last[at]], order[at]
        same = (users[before] == users[reaction]) & (items[before] == items[reaction])
        rewarded = np.zeros(len(users), bool)
        rewarded[before[same]] = True
        coded = rows[c.GENERATION].combine_chunks().dictionary_encode()
        codes = coded.indices.fill_null(NOWHERE).to_numpy(zero_copy_only=False).astype(np.int64)
        sources = rows[c.SOURCE_ID].to_numpy()
        return cls(
            users[shown],
            sources[shown],
            rewarded[shown].astype(np.float64),
            codes[shown],
            tuple(coded.dictionary.to_pylist()),
        )


@dataclass(frozen=True)
class ServedLog:
    """What some days say of served lists.

    Attributes
    ----------
    user_ids
        int64 [users], ascending: those with an exposure.
    exposures
        Their rows of users are places in `user_ids`.
    posts
        Everything that was shown on these days, because of a list or not.
    """

    user_ids: "NDArray[np.int64]"
    exposures: Exposures
    posts: Posts


def served_log(pipeline: ListPipeline, dts: Sequence[str]) -> ServedLog | str:
    """What the log of some days says of served lists; where it says too little, why.

    Exposures of generations whose lists are not in the lake any more are left out.
    """
    if c.GENERATION not in pipeline.dataset.events.columns:
        return "the log does not say what was shown because of a list (events.columns.generation)"
    if not pipeline.dataset.has_impressions:
        return "the log does not say what was shown"
    known, posts, exposed = _Lists.of(pipeline), list[Impressions](), list[_Exposed]()
    columns = [c.USER_ID, c.SOURCE_ID, c.ITEM_ID, c.EVENT_TYPE, c.EVENT_TIME, c.GENERATION]
    for part in parts_of(pipeline.lake, pipeline.dataset_scope, c.EVENTS, dts):
        events = pipeline.lake.read(pipeline.dataset_scope, c.EVENTS, list(dts), columns=columns, part=part)
        posts.append(Impressions.of(events, pipeline.dataset.grades))
        for number, name in enumerate(posts[-1].names):
            made = known.part(name, part)
            exposed += [_Exposed.of(posts[-1], number, *made)] if made is not None else []
    if not sum(len(one.rows) for one in exposed):
        return f"nothing was shown on {dts[0]} .. {dts[-1]} because of a list that is still in the lake"
    log = _joined(exposed, posts)
    explored = int(log.exposures.explored.sum())
    if explored < LEAST_EXPLORED:
        return (
            f"{explored} of {len(log.exposures.rows):,} exposures on {dts[0]} .. {dts[-1]} explored, expected"
            f" {LEAST_EXPLORED} at least: a longer stages.evaluation.days, or a larger stages.predictions.exploration"
        )
    return log


class _Lists:
    """The lists of every generation that went live and is still in the lake."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders

    @classmethod
    def of(cls, pipeline: ListPipeline) -> "_Lists":
        """Also those of other experiments on the log: who is served matters to all that learn from it."""
        lake, project, folders = pipeline.lake, pipeline.project, dict[str, Path]()
        for name in project.experiments:
            same = not name.count(ATTEMPT_MARK) and project.dataset_of(name).dataset == pipeline.dataset.dataset
            for served in live_history(lake, name) if same else ():
                folder = lists_folder(lake, name, served)
                folders |= {served.generation_name: folder} if folder is not None else {}
        return cls(folders)

    def part(self, name: str, part: int) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]] | None":
        """Users, ascending, their lists and the probability of each place, padded; None of lists that do not say it."""
        if name not in self._folders:
            return None
        table = read_lists(self._folders[name], part)
        if table is None or c.PROPENSITIES not in table.column_names:
            return None
        users, lists = padded(table, c.SOURCE_IDS, EMPTY)
        return users, lists.astype(np.int64), padded(table, c.PROPENSITIES, 0.0)[1].astype(np.float64)


@dataclass(frozen=True)
class _Exposed:
    """Exposures of one generation in one part: their row among its lists that were shown, place and reward."""

    users: "NDArray[np.int64]"
    lists: "NDArray[np.int64]"
    propensities: "NDArray[np.float64]"
    rows: "NDArray[np.int64]"
    ranks: "NDArray[np.int64]"
    rewards: "NDArray[np.float64]"

    @classmethod
    def of(
        cls,
        posts: Impressions,
        generation: int,
        users: "NDArray[np.int64]",
        lists: "NDArray[np.int64]",
        propensities: "NDArray[np.float64]",
    ) -> "_Exposed":
        """What was shown because of a generation and is in its lists, [n, k] of `users`."""
        at = np.flatnonzero(posts.generations == generation)
        place = place_of(users, posts.users[at])
        same = (lists[place] == posts.sources[at, None]) & (place >= 0)[:, None]
        found = same.any(axis=1)
        shown, rows = np.unique(place[found], return_inverse=True)
        ranks, rewards = same[found].argmax(axis=1), posts.rewards[at[found]]
        return cls(users[shown], lists[shown], propensities[shown], rows, ranks, rewards)


def _joined(exposed: Sequence[_Exposed], posts: Sequence[Impressions]) -> ServedLog:
    width = max(one.lists.shape[1] for one in exposed)
    owners = np.concatenate([one.users for one in exposed])
    user_ids, begins = np.unique(owners), np.cumsum([0, *(len(one.users) for one in exposed)])
    sources = np.concatenate([_wide(one.lists, width, EMPTY) for one in exposed])
    propensities = np.concatenate([_wide(one.propensities, width, 0.0) for one in exposed])
    lists = ShownLists(place_of(user_ids, owners), sources, propensities, explores(propensities))
    rows = np.concatenate([one.rows + begin for one, begin in zip(exposed, begins[:-1], strict=True)])
    ranks, rewards = (np.concatenate([getattr(one, name) for one in exposed]) for name in ("ranks", "rewards"))
    names = ("users", "sources", "generations", "rewards")
    users, shown, generations, liked = (np.concatenate([getattr(one, name) for one in posts]) for name in names)
    return ServedLog(user_ids, Exposures(lists, rows, ranks, rewards), Posts(users, shown, generations >= 0, liked))


def explores(propensities: "NDArray[np.floating[Any]]") -> "NDArray[np.bool_]":
    """Places that hold what was drawn: bool like `propensities`. A place explores with at most 0.2, so the others have 0.8."""
    drawn: NDArray[np.bool_] = (propensities > 0) & (propensities < 0.5)
    return drawn


def padded(table: pa.Table, column: str, empty: float) -> "tuple[NDArray[np.int64], NDArray[Any]]":
    """User ids int64 [n], ascending, and a column of lists as [n, longest], padded with `empty`."""
    table = table.sort_by(c.USER_ID).combine_chunks()
    values = table[column].combine_chunks()
    lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = values.flatten().to_numpy()
    out = np.full((len(lengths), max(int(lengths.max(initial=0)), 1)), empty, flat.dtype)
    out[np.arange(out.shape[1]) < lengths[:, None]] = flat
    return table[c.USER_ID].to_numpy(), out


def _wide(values: "NDArray[np.generic]", width: int, empty: float) -> "NDArray[np.generic]":
    return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=empty)
