"""The training set of the ranker: labels of a day, features and candidates of the day before."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.config.extensions import load_class
from ok_ml.config.models import TrainingSetStage
from ok_ml.config.sections.code_kinds import BUILDERS
from ok_ml.errors import DataError, NothingToLearn
from ok_ml.hashing import mix64
from ok_ml.places import place_of
from ok_ml.recommender.ranking.gather import FeatureLayout
from ok_ml.recommender.ranking.labels import GradedPairs, graded_pairs, not_subscribed
from ok_ml.recommender.ranking.ranking_context import Cut, CutPart, Tables
from ok_ml.recommender.retrieval.candidates import UserBlock
from ok_ml.recommender.vectors.interactions import parts_of

GROUP: Final = "group_id"  # int64: one (label day, user); rows of a group are neighbours
LABEL: Final = "label"  # int8: grade
WEIGHT: Final = "weight"  # float32, optional: how much a row counts; without the column all count the same
KEYS: Final = (c.DT, GROUP, c.PART, c.USER_ID, c.SOURCE_ID, LABEL)
SORT_BY: Final = (GROUP, c.SOURCE_ID)  # for Lake.write


@dataclass(frozen=True)
class LabelDay:
    """A day of labels and the committed day before it, which its features, snapshots and candidates are of.

    Attributes
    ----------
    more
        Later partitions whose events label the same list.
    """

    label_dt: str
    feature_dt: str
    more: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.feature_dt >= self.label_dt:
            raise DataError(
                f"features of {self.feature_dt} for labels of {self.label_dt}, expected an earlier day",
                why="the features would have seen the reactions that they are to predict",
                remedy="pass the committed partition just before the label day",
            )

    @property
    def label_dts(self) -> tuple[str, ...]:
        """Every partition of labels."""
        return (self.label_dt, *self.more)


@dataclass(frozen=True)
class TrainingTask:
    """What a training set is made from. Nothing here has seen the evaluation days.

    Attributes
    ----------
    days
        Label days, each with the day before it; features and candidates of a row are of that day before.
    cut_of
        Feature day -> everything that ranking needs as of its end, with vectors fitted before the first label day.
    layout
        The features of the ranker, in order.
    grades
        event type -> label.
    stage
        `stages.training_set` of the YAML; `stage.options` is free for parameters of a builder.
    candidates
        Candidates of a user, as many as in production.
    """

    tables: Tables
    days: Sequence[LabelDay]
    cut_of: Callable[[str], Cut]
    layout: FeatureLayout
    grades: Mapping[str, int]
    stage: TrainingSetStage
    candidates: int
    seed: int


@dataclass(frozen=True)
class LabelledRows:
    """Rows of a block of users before their features, by user and source.

    Attributes
    ----------
    users, sources
        int64 [rows]: place of the user in the block, catalogue index of the source.
    labels
        int8 [rows]: grade, 0 without one.
    """

    users: NDArray[np.int64]
    sources: NDArray[np.int64]
    labels: NDArray[np.int8]


class TrainingSetBuilder(ABC):
    """Collects the rows that the ranker learns from: what `stages.training_set.builder` names.

    To change which of the candidates become rows, or to weigh them, derive from `CandidatesBuilder`.
    """

    @abstractmethod
    def build(self, task: TrainingTask) -> pa.Table:
        """One row a (label day, user, source), rows of a group next to each other.

        Returns
        -------
        Table with the columns KEYS, one float32 column a feature of `task.layout`, and WEIGHT if rows are weighed.
        """


class CandidatesBuilder(TrainingSetBuilder):
    """One group a user and label day with a positive among the candidates of the day before.

    A group holds the user's candidates that got a grade on the label day, and of the others `negatives_per_positive` a
    positive, shown or not, drawn by a hash of (seed, day, user, source): the same whatever the blocks and their order.
    Only candidates, because only candidates are ranked in production: with everything that was shown among the rows,
    positives come from the feed and negatives from retrieval, and the ranker learns to tell the two apart
    (ndcg@10 0.186 against 0.193 on the simulated network).
    """

    def build(self, task: TrainingTask) -> pa.Table:
        """The rows; raises NothingToLearn without one group."""
        pieces: list[pa.Table] = []
        for day in task.days:
            cut = task.cut_of(day.feature_dt)
            for part in parts_of(task.tables.lake, task.tables.dataset_scope, c.USERS, [day.feature_dt]):
                pieces += self._part_tables(task, cut.part(part), day)
        if not sum(piece.num_rows for piece in pieces):
            raise NothingToLearn(
                f"no positive label on {', '.join(day.label_dt for day in task.days)} among the candidates of the days before",
                why="there is nothing to learn from",
                remedy="check `grades` of the dataset, or raise `label_days`",
            )
        return _number_groups(pa.concat_tables(pieces))

    def chosen(self, task: TrainingTask, day: LabelDay, block: UserBlock, rows: LabelledRows) -> LabelledRows:
        """Which of the labelled candidates become rows: all positives, `negatives_per_positive` others for each."""
        return _sampled(block, rows, task.stage.negatives_per_positive, _salt(task, day))

    def _asked(self, task: TrainingTask, part: CutPart, day: LabelDay, liked: GradedPairs) -> GradedPairs:  # noqa: ARG002
        """Pairs whose users get a list: those with a grade."""
        return liked

    def _rows(
        self, task: TrainingTask, day: LabelDay, block: UserBlock, candidates: LabelledRows, asked: LabelledRows
    ) -> LabelledRows:
        """The rows of a block, of its labelled candidates and of the pairs that were `asked` for."""
        del asked
        return self.chosen(task, day, block, candidates)

    def _part_tables(self, task: TrainingTask, part: CutPart, day: LabelDay) -> Iterator[pa.Table]:
        cut = part.cut
        liked = _pairs(task.grades, part, day)
        asked = self._asked(task, part, day, liked)
        for block in part.blocks(_users_with_label(part, asked)):
            pool = cut.index.candidates(block, task.candidates)
            candidates, named = _keys(block, part, pool.sources), _keys_of(block, part, asked)
            rows = self._rows(
                task, day, block, _labelled(part, block, liked, candidates), _labelled(part, block, liked, named)
            )
            features = part.store.gather(block, rows.users, rows.sources, pool.best_scores)
            yield _table(part, day.label_dt, block, rows, features)


class ShownBuilder(CandidatesBuilder):
    """One row for every source that a user was shown on a label day: the ranker learns what is liked where it is shown.

    Candidates that were not shown teach the other builder that they are not liked; so its ranker also predicts what the network
    will show. What a list earns where it is shown is the better for not knowing that, and metrics of ranking on reactions of
    the log are the worse: compare by `reaction_rate`.
    """

    def _asked(self, task: TrainingTask, part: CutPart, day: LabelDay, liked: GradedPairs) -> GradedPairs:  # noqa: ARG002
        """Pairs of an impression."""
        return _pairs({c.IMPRESSION: 1}, part, day)

    def _rows(
        self, task: TrainingTask, day: LabelDay, block: UserBlock, candidates: LabelledRows, asked: LabelledRows
    ) -> LabelledRows:
        """What was shown."""
        del task, day, block, candidates
        return asked


def empty_training_set(layout: FeatureLayout) -> pa.Table:
    """A training set without a row, of the columns that every one has."""
    return pa.schema(list(_columns(layout).items())).empty_table()


def _columns(layout: FeatureLayout) -> dict[str, pa.DataType]:
    keys = {c.DT: pa.string(), GROUP: pa.int64(), c.PART: pa.int32(), c.USER_ID: pa.int64(), c.SOURCE_ID: pa.int64()}
    return {**keys, LABEL: pa.int8(), **dict.fromkeys(layout.feature_order(), pa.float32())}


def create_builder(named: str, root: Path) -> TrainingSetBuilder:
    """The builder that `stages.training_set.builder` names. Raises ConfigError if there is none, or it lacks methods."""
    builder: TrainingSetBuilder = load_class(BUILDERS, named, root, TrainingSetBuilder)()
    return builder


def require_training_set(table: pa.Table, task: TrainingTask) -> pa.Table:
    """The table, if it is one that a ranker can learn from.

    Raises
    ------
    DataError
        Columns are missing or of another type, a row is of another day than the label days, or nothing is positive.
    """
    faults = list(_faults(table, task))
    if faults:
        raise DataError(
            f"{BUILDERS.key} {task.stage.builder}: {'; '.join(faults)}",
            why="the ranker would learn from something else than it ranks",
            remedy="return the columns that TrainingSetBuilder.build names; docs/extend.md has an example",
        )
    group_sizes(table[GROUP].to_numpy())
    return table


def _faults(table: pa.Table, task: TrainingTask) -> Iterator[str]:
    optional = {WEIGHT: pa.float32()} if WEIGHT in table.column_names else {}
    for name, kind in {**_columns(task.layout), **optional}.items():
        if name not in table.column_names:
            yield f"the column {name} is missing"
        elif table.schema.field(name).type != kind:
            yield f"{name} is {table.schema.field(name).type}, expected {kind}"
        elif table[name].null_count:
            yield f"{name} has {table[name].null_count} nulls"
    if {c.DT, LABEL} <= set(table.column_names):
        other = set(table[c.DT].unique().to_pylist()) - {day.label_dt for day in task.days}
        if other:
            yield f"rows of {', '.join(sorted(map(str, other)))}, which are no label days"
        if not (table[LABEL].to_numpy() > 0).any():
            yield "no row is positive"


def group_sizes(groups: NDArray[np.int64]) -> NDArray[np.int32]:
    """LightGBM's `group`: how many rows each group has, in order of the rows. Not ids.

    Raises
    ------
    DataError
        Rows of a group are not neighbours.
    """
    starts = np.flatnonzero(np.diff(groups, prepend=groups[:1] - 1)) if len(groups) else np.zeros(0, np.int64)
    if len(np.unique(groups[starts])) != len(starts):
        raise DataError(
            "rows of one group are not neighbours",
            why="LightGBM would take rows of several users for one list",
            remedy="sort the training set by its group column",
        )
    return np.diff(np.append(starts, len(groups))).astype(np.int32)


def _salt(task: TrainingTask, day: LabelDay) -> np.uint64:
    return np.uint64((task.seed * 1_000_003 + date.fromisoformat(day.label_dt).toordinal()) % 2**64)


def _users_with_label(part: CutPart, pairs: GradedPairs) -> NDArray[np.int64]:
    """Places of the users with a grade, registered at the cut, and with a vector: others are not ranked in production."""
    liked = np.unique(pairs.user_ids)
    places = place_of(part.users.user_ids, liked)
    known = (places >= 0) & (part.cut.index.factors.user_rows(liked) >= 0)
    return places[known]


def _pairs(grades: Mapping[str, int], part: CutPart, day: LabelDay) -> GradedPairs:
    """Pairs of events with a grade on the days of a label, subscriptions left out."""
    cut = part.cut
    pairs = graded_pairs(cut.tables.lake, cut.tables.dataset_scope, day.label_dts, grades, part.part)
    return not_subscribed(pairs, cut.index.catalogue, cut.subscriptions)


def _keys(block: UserBlock, part: CutPart, candidates: NDArray[np.int32]) -> NDArray[np.int64]:
    """Candidates as ascending numbers: place of the user times the catalogue's size plus index of the source."""
    users = np.repeat(np.arange(block.size), candidates.shape[1])
    sources = candidates.ravel().astype(np.int64)
    return np.sort((users * part.cut.index.catalogue.size + sources)[sources >= 0])


def _keys_of(block: UserBlock, part: CutPart, pairs: GradedPairs) -> NDArray[np.int64]:
    """The same of pairs; those of users outside of the block are left out."""
    users, catalogue = place_of(block.user_ids, pairs.user_ids), part.cut.index.catalogue
    keys: NDArray[np.int64] = np.sort((users * catalogue.size + catalogue.index(pairs.source_ids))[users >= 0])
    return keys


def _labelled(part: CutPart, block: UserBlock, pairs: GradedPairs, keys: NDArray[np.int64]) -> LabelledRows:
    """Rows with their grades, 0 without one, by user and source."""
    size = part.cut.index.catalogue.size
    graded = place_of(block.user_ids, pairs.user_ids) * size + part.cut.index.catalogue.index(pairs.source_ids)
    place = place_of(keys, graded)
    labels = np.zeros(len(keys), np.int8)
    labels[place[place >= 0]] = pairs.grades[place >= 0]
    return LabelledRows(keys // size, keys % size, labels)


def _sampled(block: UserBlock, rows: LabelledRows, per_positive: int, salt: np.uint64) -> LabelledRows:
    """All positives, and for each the `per_positive` others with the smallest hashes; in the order of `rows`."""
    drawn = mix64(mix64(block.user_ids.view(np.uint64) ^ salt)[rows.users] ^ rows.sources.astype(np.uint64))
    is_positive = rows.labels > 0
    order = np.lexsort(
        (rows.sources, drawn, is_positive, rows.users)
    )  # of each user: the others by hash, then positives
    users = rows.users[order]
    firsts = np.concatenate(([0], np.cumsum(np.bincount(users, minlength=block.size))))
    positives = np.bincount(users[is_positive[order]], minlength=block.size)
    wanted = np.arange(len(users)) - firsts[users] < per_positive * positives[users]
    kept = np.sort(order[wanted | is_positive[order]])
    return LabelledRows(rows.users[kept], rows.sources[kept], rows.labels[kept])


def _table(
    part: CutPart, label_dt: str, block: UserBlock, rows: LabelledRows, features: NDArray[np.float32]
) -> pa.Table:
    count = len(rows.users)
    keys = {
        c.DT: pa.array([label_dt] * count, pa.string()),
        GROUP: pa.array(rows.users),  # place in the block; numbered again over all tables
        c.PART: pa.array(np.full(count, part.part, np.int32)),
        c.USER_ID: pa.array(block.user_ids[rows.users]),
        c.SOURCE_ID: pa.array(part.cut.index.catalogue.source_ids[rows.sources]),
        LABEL: pa.array(rows.labels),
    }
    columns = {name: pa.array(features[:, i]) for i, name in enumerate(part.store.feature_order())}
    return pa.table({**keys, **columns})


def _number_groups(table: pa.Table) -> pa.Table:
    """Number the groups 0, 1, ... in row order: a new one wherever user or day changes."""
    users = table[c.USER_ID].to_numpy()
    days = table[c.DT].combine_chunks().dictionary_encode().indices.to_numpy()
    changes = (np.diff(users, prepend=users[:1]) != 0) | (np.diff(days, prepend=days[:1]) != 0)
    groups = np.cumsum(changes).astype(np.int64)
    return table.set_column(table.column_names.index(GROUP), GROUP, pa.array(groups))
