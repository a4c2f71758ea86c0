"""Fits the ranker, whatever its class, on most users of a training set, and judges it on the others."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.config.models import ModelStage
from ok_ml.errors import NothingToLearn
from ok_ml.hashing import mix64
from ok_ml.recommender.ranking.ranker import (
    SAMPLE_ROWS,
    Ranker,
    TrainedRanker,
    TrainingRows,
    best_iteration,
    ranker_class,
)
from ok_ml.recommender.ranking.training_set import GROUP, LABEL, WEIGHT, group_sizes

HELD_OUT_ONE_IN: Final = 8  # users by hash: their groups make the learning curve, the others train
JUDGED_AT: Final = 10


def train_ranker(
    table: pa.Table, feature_names: list[str], stage: ModelStage, seed: int, *, root: Path = Path()
) -> TrainedRanker:
    """Fit on a training set.

    Parameters
    ----------
    table
        As made by a training set builder: rows of a group are neighbours.
    feature_names
        Columns of `table` to learn from, in order.
    root
        The project's folder, where `stage.ranker` is looked for.

    Raises
    ------
    NothingToLearn
        There is no row.
    """
    made = ranker_class(stage.ranker, root)
    if not table.num_rows:
        raise NothingToLearn(
            "the training set has no row",
            why="a ranker has nothing to learn from",
            remedy="raise `label_days`, or use a larger dataset",
        )
    if stage.folds > 1:
        return _cross_validated(made, table, feature_names, stage, seed)
    return _fitted(made, table, feature_names, _held_out(table[c.USER_ID].to_numpy(), seed), stage, seed)


def _fitted(
    made: type[Ranker], table: pa.Table, names: list[str], held_out: NDArray[np.bool_], stage: ModelStage, seed: int
) -> TrainedRanker:
    """Fit on the rows that are not held out, judge on those that are."""
    rows, unseen = (_rows(table, names, kept) for kept in (~held_out, held_out))
    trained = made.fit(rows, unseen, stage, seed)
    trained.ranker.require_features(names)
    if not len(trained.sample):
        trained = replace(trained, sample=rows.features[:SAMPLE_ROWS])
    if not trained.curve and len(unseen.labels):
        trained = replace(trained, curve={f"ndcg@{JUDGED_AT}": [held_out_ndcg(trained.ranker, unseen)]})
    return trained


def _cross_validated(
    made: type[Ranker], table: pa.Table, names: list[str], stage: ModelStage, seed: int
) -> TrainedRanker:
    """Fit on all rows, with as many trees as the mean curve of the folds says; folds are of whole users."""
    fold = _drawn(table[c.USER_ID].to_numpy(), seed) % np.uint64(stage.folds)
    curves: list[dict[str, list[float]]] = []
    for number in np.unique(fold).tolist():
        held_out = fold == number
        if held_out.all():  # of one user, or of few whom chance put together
            return _fitted(made, table, names, ~held_out, stage, seed)
        curves.append(_fitted(made, table, names, held_out, stage, seed).curve)
    mean = {name: np.mean([curve[name] for curve in curves], axis=0).tolist() for name in curves[0]}
    values = mean[next(iter(mean))]
    kept = best_iteration(values, stage.num_trees) if len(values) > 1 else None
    final = stage if kept is None else stage.model_copy(update={"num_trees": kept})
    trained = _fitted(made, table, names, np.zeros(len(fold), bool), final, seed)
    note = f"{len(curves)} folds of users: mean held-out {next(iter(mean))} {values[(kept or len(values)) - 1]:.6f}\n"
    return replace(trained, curve=mean, kept=kept, log=trained.log + note)


def held_out_ndcg(ranker: Ranker, rows: TrainingRows, k: int = JUDGED_AT) -> float:
    """Mean ndcg@k over the lists of some rows, with gain 2^grade - 1 and discount log2(1 + place), as LightGBM's."""
    owners = np.repeat(np.arange(len(rows.groups)), rows.groups)
    gains = np.exp2(rows.labels.astype(np.float64)) - 1

    def total(scores: NDArray[np.float64]) -> NDArray[np.float64]:
        order = np.lexsort((-scores, owners))
        place = np.arange(len(owners)) - np.repeat(np.cumsum(rows.groups) - rows.groups, rows.groups)
        worth = np.where(place < k, gains[order] / np.log2(place + 2), 0)
        return np.bincount(owners, worth, len(rows.groups)).astype(np.float64)

    best = total(gains)
    return float((total(ranker.predict(rows.features))[best > 0] / best[best > 0]).mean())


def _rows(table: pa.Table, names: list[str], kept: NDArray[np.bool_]) -> TrainingRows:
    features = np.empty((int(kept.sum()), len(names)), np.float32)
    for i, name in enumerate(names):
        features[:, i] = table[name].to_numpy()[kept]
    weights = table[WEIGHT].to_numpy()[kept] if WEIGHT in table.column_names else None
    labels, groups = table[LABEL].to_numpy()[kept], group_sizes(table[GROUP].to_numpy()[kept])
    return TrainingRows(tuple(names), features, labels, groups, weights)


def _held_out(user_ids: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Those of `is_held_out`; none where that is everyone: so few are better used for training than for evaluation."""
    held_out = is_held_out(user_ids, seed)
    return held_out & ~held_out.all()


def is_held_out(user_ids: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """An eighth of the users by hash: a ranker that is not cross-validated learns nothing from them but how many trees to keep."""
    held_out: NDArray[np.bool_] = _drawn(user_ids, seed) % np.uint64(HELD_OUT_ONE_IN) == 0
    return held_out


def _drawn(user_ids: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    return mix64(user_ids.view(np.uint64) ^ np.uint64((seed * 2_654_435_761) % 2**64))
