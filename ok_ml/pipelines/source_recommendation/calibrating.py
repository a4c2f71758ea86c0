"""The probabilities of a ranker's scores, from lists of users that it has not learnt from."""

from typing import TYPE_CHECKING

from ok_ml.pipelines.source_recommendation.fitting import train_fit
from ok_ml.pipelines.source_recommendation.plan import RankingPlan
from ok_ml.ranked_lists.fits import fitted_for

if TYPE_CHECKING:
    from ok_ml.recommender.ranking.calibration import Calibration
    from ok_ml.recommender.ranking.ranker import Ranker


def calibrate(pipeline: RankingPlan, ranker: "Ranker") -> "tuple[Calibration | None, str]":
    """Fit on whole lists of held-out users as they would have been served at a cut of the training, with what came of them.

    Lists, and not rows of the training set: these hold a sample of the candidates of users who reacted, and lists are served to
    all. The days are label days, before those that judge. Held-out users have chosen how many trees the ranker keeps, and
    nothing else of it.

    Returns
    -------
    The calibration, or None where scores only order a list; and what it was fitted on, or why there is none.
    """
    from ok_ml.ranked_lists.outcomes import outcomes
    from ok_ml.recommender.ranking.calibration import LEAST_REACTIONS, Calibration
    from ok_ml.recommender.ranking.column_ranker import ColumnRanker
    from ok_ml.recommender.ranking.ranker_training import is_held_out
    from ok_ml.recommender.ranking.ranking_context import Cut

    plan, stages, seed = pipeline.calendar(), pipeline.config.stages, pipeline.config.seed
    if isinstance(ranker, ColumnRanker):
        return None, "scores of a simple list only order it"
    if stages.model.folds > 1:
        return None, "no user is held out of a ranker that is cross-validated"
    following = {one.cut: [dt for dt in plan.label_dts if dt > one.cut][: len(plan.eval_dts)] for one in plan.windows}
    cuts = [cut for cut, dts in following.items() if len(dts) == len(plan.eval_dts)]
    if not cuts:
        return (
            None,
            f"an evaluation counts {len(plan.eval_dts)} partitions, and there are only {len(plan.label_dts)} with labels",
        )
    cut = Cut.load(
        pipeline.tables, cuts[-1], fitted=fitted_for(pipeline, train_fit(plan, cuts[-1])), layout=pipeline.layout()
    )
    seen = outcomes(pipeline, cut, following[cut.dt], ranker, stages.predictions, lambda ids: is_held_out(ids, seed))
    fitted = Calibration.fit(seen)
    told = f"lists of {len(seen.met):,} held-out users of {cut.dt}, {int(seen.reacted.sum()):,} reactions"
    if fitted is None:
        told += f": fewer than {LEAST_REACTIONS}, or not more of them with higher scores"
    return fitted, told
