"""LightGBM as the ranker: lambdarank on lists, deterministic, with a learning curve on users that it does not see."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.config.models import ModelStage
from ok_ml.errors import ConfigError
from ok_ml.recommender.ranking.base_score import BaseScore
from ok_ml.recommender.ranking.ranker import (
    MODEL_FILE,
    SAMPLE_ROWS,
    Ranker,
    TrainedRanker,
    TrainingRows,
    best_iteration,
)

EVAL_AT: Final = 10
METRIC: Final = f"ndcg@{EVAL_AT}"
LOG_EVERY: Final = 10  # iterations


@dataclass(frozen=True)
class LightGbmRanker(Ranker):
    """A LightGBM model in its own text format.

    Attributes
    ----------
    base
        What the trees add to, where `stages.model.base_feature` names a feature: the first line of the file then.
    """

    model_file: ClassVar[str] = MODEL_FILE
    model_text: str
    feature_names: tuple[str, ...]
    base: BaseScore | None = None

    @classmethod
    def fit(cls, rows: TrainingRows, held_out: TrainingRows, stage: ModelStage, seed: int) -> TrainedRanker:
        """Fit `num_trees` trees and keep them up to the best of the held-out curve; the log holds the parameters verbatim."""
        import lightgbm

        params = _params(stage, seed, rows.feature_names)
        base = (
            BaseScore.fit(rows, stage.base_feature, binary=stage.objective == "binary") if stage.base_feature else None
        )
        history: dict[str, dict[str, list[float]]] = {}
        train_set = _dataset(rows, params, base)
        valid_sets = [_dataset(held_out, params, base, reference=train_set)] if len(held_out.labels) else []
        booster = lightgbm.train(
            params,
            train_set,
            num_boost_round=stage.num_trees,
            valid_sets=valid_sets,
            valid_names=["held_out"][: len(valid_sets)],
            callbacks=[lightgbm.record_evaluation(history)],
        )
        curve = {name: [float(value) for value in values] for name, values in history.get("held_out", {}).items()}
        trees = best_iteration(curve.get(METRIC, []), stage.num_trees)
        gains = booster.feature_importance("gain", iteration=trees)
        return TrainedRanker(
            cls(booster.model_to_string(num_iteration=trees), rows.feature_names, base),
            params,
            curve,
            {name: float(gain) for name, gain in zip(rows.feature_names, gains, strict=True)},
            _log(rows, held_out, params, curve, base) + f"{trees} of {stage.num_trees} trees retained\n",
            rows.features[:SAMPLE_ROWS],
            kept=trees,
        )

    @cached_property
    def _booster(self) -> Any:
        import lightgbm

        return lightgbm.Booster(model_str=self.model_text)

    def score(self, features: NDArray[np.float32], num_threads: int) -> NDArray[np.float64]:
        """LightGBM's raw scores: of a binary objective the log-odds, since probabilities near one would tie."""
        scores: NDArray[np.float64] = self._booster.predict(features, num_threads=num_threads, raw_score=True)
        return scores if self.base is None else scores + self.base.of(features, self.feature_names)

    def to_bytes(self) -> bytes:
        """The model text, after a line that names its base, if it has one: LightGBM alone then refuses the file."""
        return ((f"{self.base}\n" if self.base else "") + self.model_text).encode()

    @classmethod
    def from_bytes(cls, raw: bytes, feature_names: tuple[str, ...]) -> "LightGbmRanker":
        """Read the model text. Raises ModelError if it was fitted on other features."""
        base, text = BaseScore.split(raw.decode())
        ranker = cls(text, feature_names, base)
        ranker.require_features(list(ranker._booster.feature_name()))
        return ranker


def _dataset(rows: TrainingRows, params: dict[str, Any], base: BaseScore | None, reference: Any = None) -> Any:
    import lightgbm

    return lightgbm.Dataset(
        rows.features,
        label=_labels(rows, params),
        init_score=None if base is None else base.of(rows.features, rows.feature_names),
        group=rows.groups,
        weight=rows.weights,
        feature_name=list(rows.feature_names),
        params=params,
        reference=reference,
        free_raw_data=True,
    )


def _labels(rows: TrainingRows, params: dict[str, Any]) -> NDArray[np.int8]:
    """Grades; for a binary objective whether there is one."""
    return (rows.labels > 0).astype(rows.labels.dtype) if params["objective"] == "binary" else rows.labels


def _params(stage: ModelStage, seed: int, feature_names: tuple[str, ...]) -> dict[str, Any]:
    named = {"increasing": stage.increasing, "base_feature": (stage.base_feature,) if stage.base_feature else ()}
    for key, names in named.items():
        if unknown := sorted(set(names) - set(feature_names)):
            raise ConfigError(
                f"stages.model.{key}: no feature {unknown[0]!r}",
                why="it would hold nothing",
                remedy=f"name some of: {', '.join(feature_names)}",
            )
    constraints = [int(name in stage.increasing) for name in feature_names]
    return {
        "objective": stage.objective,
        "metric": "ndcg",
        "eval_at": [EVAL_AT],
        "num_leaves": stage.num_leaves,
        "learning_rate": stage.learning_rate,
        "min_data_in_leaf": stage.min_data_in_leaf,
        "num_threads": stage.num_threads,
        "seed": seed % 2**31,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        "max_bin": 255,
        "objective_seed": seed % 2**31,
        "feature_pre_filter": False,
        "feature_fraction": stage.feature_fraction,
        "lambda_l2": stage.lambda_l2,
        **({"monotone_constraints": constraints} if stage.increasing else {}),
    }


def _log(
    train: TrainingRows,
    unseen: TrainingRows,
    params: dict[str, Any],
    curve: dict[str, list[float]],
    base: BaseScore | None,
) -> str:
    lines = [
        json.dumps(params, sort_keys=True),
        f"trained on {len(train.labels)} rows in {len(train.groups)} groups, {int((train.labels > 0).sum())} rows positive",
        f"held out   {len(unseen.labels)} rows in {len(unseen.groups)} groups, {int((unseen.labels > 0).sum())} rows positive",
    ]
    lines += [f"starts from {base.scale:.4g} x {base.feature} {base.offset:+.4g}"] if base else []
    values = curve.get(METRIC, [])
    shown = [i for i in range(len(values)) if (i + 1) % LOG_EVERY == 0 or i in {0, len(values) - 1}]
    lines += [f"[{i + 1:>4}] held-out {METRIC} {values[i]:.6f}" for i in shown]
    return "\n".join(lines) + "\n"
