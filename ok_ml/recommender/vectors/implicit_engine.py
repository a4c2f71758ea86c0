"""ALS by the `implicit` library: conjugate gradient in native threads, in this process."""

import numpy as np

from ok_ml.config.models import EmbeddingsStage
from ok_ml.recommender.vectors.embeddings import EmbeddingEngine, Factors, Interactions, require_interactions


class ImplicitEngine(EmbeddingEngine):
    """Needs no Spark session."""

    def fit(self, interactions: Interactions, stage: EmbeddingsStage, seed: int) -> Factors:
        """Fit with BLAS on one thread: on some kernels two BLAS threads change bits; the library's own do not."""
        from implicit.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        require_interactions(interactions)
        confidence = interactions.user_sources.astype(np.float32, copy=True)
        confidence.data = np.float32(1.0) + np.float32(stage.alpha) * confidence.data
        with threadpool_limits(limits=1, user_api="blas"):
            model = AlternatingLeastSquares(
                factors=stage.factors,
                iterations=stage.iterations,
                regularization=stage.regularization,
                alpha=1.0,
                dtype=np.float32,
                use_native=True,
                use_cg=True,
                random_state=seed,
            )
            model.fit(confidence, show_progress=False)  # since 0.5 the rows are users
        return Factors(
            interactions.user_ids,
            interactions.source_ids,
            np.ascontiguousarray(model.user_factors, np.float32),
            np.ascontiguousarray(model.item_factors, np.float32),
        )
