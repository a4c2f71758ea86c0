"""What came of the lists of some users: what calibrates a ranker, and what judges its probabilities."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.config.models import PredictionsStage
from ok_ml.hashing import mix64
from ok_ml.ranked_lists.online_metrics import relevance_of
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.recommender.ids import UNKNOWN
from ok_ml.recommender.ranking.calibration import Outcomes
from ok_ml.recommender.ranking.labels import relevance
from ok_ml.recommender.ranking.rank_blocks import rank_block
from ok_ml.recommender.ranking.ranker import Ranker
from ok_ml.recommender.ranking.ranking_context import Cut

USERS: Final = 2000  # at most: the share of their first ten that is reacted to is known to some 4 % of itself


def outcomes(
    pipeline: ListPipeline,
    cut: Cut,
    dts: Sequence[str],
    ranker: Ranker,
    stage: PredictionsStage,
    among: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None = None,
) -> Outcomes:
    """Lists as they would be served at a cut, and which sources users reacted to on the days `dts` after it.

    The users are drawn by hash among all with history, whether they reacted to anything or not: lists are served to both.

    Parameters
    ----------
    among
        User ids -> which of them may be drawn, bool; default: all.
    """
    dataset = pipeline.dataset
    relevant = relevance(pipeline.lake, pipeline.dataset_scope, dts, dataset.grades, cut.dt)
    ids = np.append(cut.index.catalogue.source_ids, UNKNOWN)  # index -1 stays -1
    pieces = [(np.zeros((0, stage.top_n)), np.zeros(0), np.zeros((0, stage.top_n), bool))]
    for number in range(dataset.parts):
        part = cut.part(number)
        users = part.users.user_ids
        wanted = (cut.index.factors.user_rows(users) >= 0) & (True if among is None else among(users))
        rows = np.flatnonzero(wanted)
        drawn = np.argsort(mix64(users[rows].view(np.uint64)), kind="stable")[: -(-USERS // dataset.parts)]
        for block in part.blocks(np.sort(rows[drawn])):
            lists = rank_block(part, block, ranker, stage)
            grades = relevance_of(block.user_ids, relevant).grades_of(ids[lists.sources])
            pieces.append((lists.scores, part.relative_met(block), grades > 0))
    return Outcomes(*(np.concatenate(columns) for columns in zip(*pieces, strict=True)))
