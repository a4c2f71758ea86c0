"""Simple lists before the first learned champion: each judged as it would be served, the best one bundled in the model's place.

Where a learned ranker does not keep the gate's floor, a log is served all the same: what orders the same candidates by one
column needs no learning. Each list is ranked by the code that serves it, for the users of the evaluation, so that what is
served is what was judged.
"""

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ok_ml.pipelines.source_recommendation.evaluating import cut_of_evaluation, lists_by
from ok_ml.pipelines.source_recommendation.fitting import popularity_behind, stage_behind
from ok_ml.pipelines.source_recommendation.plan import RankingPlan
from ok_ml.pipelines.source_recommendation.training import RANKER
from ok_ml.ranked_lists.list_evaluator import nothing_new, question
from ok_ml.stages.training import SimpleModel

if TYPE_CHECKING:
    from ok_ml.recommender.ranking.ranker import TrainedRanker


def choose_list(pipeline: RankingPlan) -> SimpleModel:
    """The simple list with the best gate metric on the users of the evaluation; of equal ones the first in order.

    The order is that of `SIMPLE_LISTS`, popularity first; without users to judge by it decides alone.
    """
    from ok_ml.recommender.ranking.column_ranker import lists_of

    names, metric = lists_of(pipeline.layout().feature_order()), pipeline.config.gate.metric
    judged = _judged(pipeline, names)
    values = {name: metrics.get(metric, math.nan) for name, metrics in judged.items()}
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    if not known:
        told = f"no list has {metric}" if judged else nothing_new(pipeline)
        return SimpleModel(names[0], {}, f"{told}, so it is the first of {', '.join(names)}")
    best = max(known, key=lambda name: known[name])
    others = ", ".join(f"{name} {value:.4f}" for name, value in known.items() if name != best)
    return SimpleModel(best, judged[best], f"{metric} {known[best]:.4f}, no other simple list is better ({others})")


def put_in_place(pipeline: RankingPlan, bundle: Path, chosen: SimpleModel, serve_cut: str) -> "TrainedRanker":
    """Replace a bundle's ranker by a simple list, with its popularity and number of candidates; all else of it stays."""
    from ok_ml.recommender.inference.scoring import save_stage
    from ok_ml.recommender.ranking.column_ranker import ColumnRanker
    from ok_ml.recommender.ranking.ranker import SAMPLE_FILE

    folder = bundle / RANKER
    sample = np.load(folder / SAMPLE_FILE, allow_pickle=False)
    trained = ColumnRanker.of(chosen.name, tuple(pipeline.layout().feature_order()), sample)
    shutil.rmtree(folder)
    trained.ranker.save(folder, sample)
    popularity_behind(pipeline, trained.ranker, serve_cut).save(bundle)
    save_stage(bundle, stage_behind(pipeline, trained.ranker))
    return trained


def _judged(pipeline: RankingPlan, names: list[str]) -> dict[str, dict[str, float]]:
    """List -> metric -> value; empty where no user found anything new."""
    from ok_ml.quality.ranking.ranking_evaluation import evaluate
    from ok_ml.recommender.ranking.column_ranker import ColumnRanker

    users, relevance, _ = question(pipeline)
    if not len(users):
        return {}
    cut, stage = cut_of_evaluation(pipeline), pipeline.config.stages.evaluation
    features = tuple(cut.layout.feature_order())
    lists = {name: lists_by(pipeline, users, ColumnRanker(features, name), cut) for name in names}
    report = evaluate(lists, relevance, ks=stage.k, seed=pipeline.config.seed, bootstrap=stage.bootstrap, pairs=())
    return {name: report.metrics(name) for name in names}
