"""ALS by Spark MLlib: for interactions that do not fit into one process."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ok_ml.config.models import EmbeddingsStage
from ok_ml.errors import ConfigError
from ok_ml.recommender.vectors.embeddings import EmbeddingEngine, Factors, Interactions, require_interactions

BLOCKS: Final = 8  # numUserBlocks = numItemBlocks: another number gives other factors, so it is part of the record
CHECKPOINT_INTERVAL: Final = 5  # iterations
_CHECKPOINT_KEY: Final = "spark.checkpoint.dir"
_USER, _SOURCE, _WEIGHT = "user_row", "source_row", "weight"


class SparkEngine(EmbeddingEngine):
    """Runs in the session that `session` gives; uses neither `sparkContext` nor `_jvm`, so Spark Connect serves as well.

    Spark multiplies its regularisation by each row's number of entries; so that one number in the YAML means
    about the same for both engines, it is divided by the mean number of entries of a user here.
    """

    def __init__(self, *, session: Callable[[], Any] | None = None) -> None:
        if session is None:
            raise ConfigError(
                "stages.embeddings.engine: spark needs a Spark session, none was given",
                why="the factors are fitted in Spark",
                remedy="pass session=, or use engine implicit",
            )
        super().__init__(session=session)

    def fit(self, interactions: Interactions, stage: EmbeddingsStage, seed: int) -> Factors:
        """Fit in Spark over dense int32 rows, sorted, with pinned block counts.

        Raises
        ------
        ConfigError
            The session has no checkpoint folder.
        """
        from pyspark.ml.recommendation import ALS

        require_interactions(interactions)
        session = self.session()
        _require_checkpoint_dir(session)
        matrix = interactions.user_sources
        entries_per_user = matrix.nnz / matrix.shape[0]
        als = ALS(
            rank=stage.factors,
            maxIter=stage.iterations,
            regParam=stage.regularization / entries_per_user,
            alpha=stage.alpha,
            implicitPrefs=True,
            userCol=_USER,
            itemCol=_SOURCE,
            ratingCol=_WEIGHT,
            seed=seed,
            numUserBlocks=BLOCKS,
            numItemBlocks=BLOCKS,
            checkpointInterval=CHECKPOINT_INTERVAL,
        )
        model = als.fit(session.createDataFrame(_entries(matrix)))
        users, sources = matrix.shape
        return Factors(
            interactions.user_ids,
            interactions.source_ids,
            _collect(model.userFactors, users, stage.factors),
            _collect(model.itemFactors, sources, stage.factors),
        )


def _entries(matrix: Any) -> pa.Table:
    coo = matrix.tocoo()
    arrays = (coo.row.astype(np.int32), coo.col.astype(np.int32), coo.data.astype(np.float32))
    return pa.table(dict(zip((_USER, _SOURCE, _WEIGHT), arrays, strict=True)))


def _collect(frame: Any, rows: int, width: int) -> NDArray[np.float32]:
    """Vectors of a (id, features) frame as float32 [rows, width]; rows without entries stay zero."""
    table = frame.toArrow()
    factors = np.zeros((rows, width), np.float32)
    vectors = table["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    factors[table["id"].to_numpy()] = vectors.reshape(-1, width)
    return factors


def _require_checkpoint_dir(session: Any) -> None:
    if not session.conf.get(_CHECKPOINT_KEY, ""):
        raise ConfigError(
            f"spark.conf: {_CHECKPOINT_KEY} is not set, expected a folder that all executors reach",
            why="the lineage of ALS grows with every iteration, until the driver's stack overflows",
            remedy=f"set `{_CHECKPOINT_KEY}` under `spark.conf` of configs/environments/<environment>.yml",
        )
