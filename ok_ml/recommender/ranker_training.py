"""Fits the ranker: LightGBM on lists, deterministic, with a learning curve on users that it does not see."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.config.models import ModelStage
from ok_ml.errors import DataError
from ok_ml.hashing import mix64
from ok_ml.recommender.ranker import SAMPLE_ROWS, Ranker
from ok_ml.recommender.training_set import GROUP, LABEL, group_sizes

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

EVAL_AT: Final = 10
METRIC: Final = f"ndcg@{EVAL_AT}"
HELD_OUT_ONE_IN: Final = 8  # users by hash: their groups make the learning curve, the others train
LOG_EVERY: Final = 10  # iterations


@dataclass(frozen=True)
class TrainedRanker:
    """What a training leaves.

    Attributes
    ----------
    params
        LightGBM's parameters, verbatim.
    curve
        metric -> value after each iteration on the held-out users.
    importance
        feature -> total gain of its splits.
    sample
        A few training rows, float32 [rows, features], for recorded predictions.
    """

    ranker: Ranker
    params: dict[str, Any]
    curve: dict[str, list[float]]
    importance: dict[str, float]
    log: str
    sample: "NDArray[np.float32]"


def train_ranker(table: "pa.Table", feature_names: list[str], stage: ModelStage, seed: int) -> TrainedRanker:
    """Fit on a training set.

    Parameters
    ----------
    table
        As made by `build_training_set`: rows of a group are neighbours.
    feature_names
        Columns of `table` to learn from, in order.

    Raises
    ------
    DataError
        No group is left to train on.
    """
    import lightgbm

    held_out = _held_out(table[c.USER_ID].to_numpy(), seed)
    train = _Slice.of(table, feature_names, ~held_out)
    unseen = _Slice.of(table, feature_names, held_out)
    params = _params(stage, seed)
    history: dict[str, dict[str, list[float]]] = {}
    train_set = train.dataset(feature_names, params)
    valid_sets = [unseen.dataset(feature_names, params, reference=train_set)] if len(unseen.labels) else []
    booster = lightgbm.train(
        params, train_set, num_boost_round=stage.num_trees, valid_sets=valid_sets, valid_names=["held_out"][: len(valid_sets)],
        callbacks=[lightgbm.record_evaluation(history)],
    )  # fmt: skip
    curve = {name: [float(value) for value in values] for name, values in history.get("held_out", {}).items()}
    gains = booster.feature_importance("gain")
    return TrainedRanker(
        Ranker(booster.model_to_string(), tuple(feature_names)),
        params,
        curve,
        {name: float(gain) for name, gain in zip(feature_names, gains, strict=True)},
        _log(train, unseen, params, curve),
        train.features[:SAMPLE_ROWS],
    )


@dataclass(frozen=True)
class _Slice:
    """Rows of whole groups."""

    features: "NDArray[np.float32]"
    labels: "NDArray[np.int8]"
    groups: "NDArray[np.int32]"

    @classmethod
    def of(cls, table: "pa.Table", names: list[str], kept: "NDArray[np.bool_]") -> "_Slice":
        features = np.empty((int(kept.sum()), len(names)), np.float32)
        for i, name in enumerate(names):
            features[:, i] = table[name].to_numpy()[kept]
        return cls(features, table[LABEL].to_numpy()[kept], group_sizes(table[GROUP].to_numpy()[kept]))

    def dataset(self, names: list[str], params: dict[str, Any], reference: Any = None) -> Any:
        import lightgbm

        return lightgbm.Dataset(
            self.features, label=self.labels, group=self.groups, feature_name=names, params=params, reference=reference,
            free_raw_data=True,
        )  # fmt: skip


def _held_out(user_ids: "NDArray[np.int64]", seed: int) -> "NDArray[np.bool_]":
    drawn = mix64(user_ids.view(np.uint64) ^ np.uint64((seed * 2_654_435_761) % 2**64)) % np.uint64(HELD_OUT_ONE_IN)
    held_out: NDArray[np.bool_] = drawn == 0
    if held_out.all():
        raise DataError(
            f"all {len(np.unique(user_ids))} users of the training set fall into the held-out slice",
            why="nothing is left to train on", remedy="raise `label_days`, or use a larger dataset",
        )  # fmt: skip
    return held_out


def _params(stage: ModelStage, seed: int) -> dict[str, Any]:
    return {
        "objective": stage.objective, "metric": "ndcg", "eval_at": [EVAL_AT], "num_leaves": stage.num_leaves,
        "learning_rate": stage.learning_rate, "min_data_in_leaf": stage.min_data_in_leaf, "num_threads": stage.num_threads,
        "seed": seed % 2**31, "deterministic": True, "force_row_wise": True, "verbosity": -1, "max_bin": 255,
        "objective_seed": seed % 2**31, "feature_pre_filter": False,
    }  # fmt: skip


def _log(train: _Slice, unseen: _Slice, params: dict[str, Any], curve: dict[str, list[float]]) -> str:
    lines = [
        json.dumps(params, sort_keys=True),
        f"trained on {len(train.labels)} rows in {len(train.groups)} groups, {int((train.labels > 0).sum())} rows positive",
        f"held out   {len(unseen.labels)} rows in {len(unseen.groups)} groups, {int((unseen.labels > 0).sum())} rows positive",
    ]
    values = curve.get(METRIC, [])
    shown = [i for i in range(len(values)) if (i + 1) % LOG_EVERY == 0 or i in {0, len(values) - 1}]
    lines += [f"[{i + 1:>4}] held-out {METRIC} {values[i]:.6f}" for i in shown]
    return "\n".join(lines) + "\n"
