"""Fits, bundle, evaluation and predictions of vectors alone."""

import hashlib
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.lake import WHOLE, Manifest
from ok_ml.ranked_lists.fits import EVAL, SERVE, candidate_popularity, commit_fits, factors_of, fit_factors
from ok_ml.ranked_lists.list_evaluator import ListEvaluator
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.release.gate.promoting import champion_bundle
from ok_ml.release.model_record import commit_model
from ok_ml.stages.training import Register, Trained

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ok_ml.recommender.ranking.ranking_context import Cut
    from ok_ml.recommender.vectors.embeddings import Factors

_SAMPLE: Final = 20


def fit_vectors(pipeline: ListPipeline, session: Callable[[], Any], *, progress: Callable[[str], None]) -> Manifest:
    """Fit vectors for the evaluation and for serving, and commit them together."""
    plan = pipeline.calendar()
    cuts = {EVAL: plan.eval_cut, SERVE: plan.serve_cut}
    return commit_fits(pipeline, cuts, lambda dt, folder: fit_factors(pipeline, dt, session).save(folder), progress)


def bundle_vectors(pipeline: ListPipeline, register: Register, *, dagster_run_id: str) -> Manifest:
    """Everything that scoring loads, registered and committed."""
    from ok_ml.recommender.inference.vector_lists import VectorBundle

    inputs, cut = pipeline.inputs_of(c.MODEL), pipeline.calendar().serve_cut
    factors = factors_of(pipeline, SERVE)
    with pipeline.lake.staged(pipeline.name, c.MODEL, WHOLE) as folder:
        VectorBundle(factors, candidate_popularity(pipeline, cut), pipeline.config.stages.embeddings).save(folder)
        asked = AskedByVector(factors)
        sample = np.asarray(factors.user_factors[:_SAMPLE], np.float32)
        params = {"users": len(factors.user_ids), "sources": len(factors.source_ids)}
        trained = Trained(folder, vectors_file(folder), asked, sample, params, load=AskedByVector.load)
        return commit_model(
            pipeline,
            trained,
            register,
            inputs,
            rows=len(factors.source_ids),
            bins="none",
            dagster_run_id=dagster_run_id,
        )


def vectors_file(bundle: Path) -> Path:
    """The vectors of the sources inside a bundle."""
    from ok_ml.recommender.inference.vector_lists import FACTORS
    from ok_ml.recommender.vectors.embeddings import SOURCE_FACTORS_FILE

    return bundle / FACTORS / SOURCE_FACTORS_FILE


class AskedByVector:
    """Vectors as the registry asks them: a user's vector in, a score of every source out."""

    def __init__(self, factors: "Factors") -> None:
        self._sources = np.asarray(factors.source_factors)
        self.feature_names = tuple(f"factor_{number}" for number in range(factors.width))
        self.sha256 = hashlib.sha256(self._sources.tobytes()).hexdigest()

    def predict(self, vectors: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """Scores, float32 [users, sources]."""
        return np.asarray(vectors @ self._sources.T, np.float32)

    @classmethod
    def load(cls, folder: Path) -> "AskedByVector":
        """Read the folder of the vectors."""
        from ok_ml.recommender.vectors.embeddings import Factors

        return cls(Factors.load(folder))


class VectorEvaluator(ListEvaluator):
    """Exact best of the vectors."""

    @cached_property
    def cut(self) -> "Cut":
        """The day before the evaluation days, with vectors that were fitted up to it."""
        return self._cut_with(factors_of(self.pipeline, EVAL))

    def newest(self) -> "NDArray[np.int64]":
        """What the newest vectors would serve."""
        return self._lists(self.cut)

    def champion(self, manifest: Manifest) -> "NDArray[np.int64] | None":
        """The champion's own vectors; where they have seen the days, the same fit up to the evaluation."""
        from ok_ml.recommender.inference.vector_lists import VectorBundle

        pipeline = self.pipeline
        bundle = VectorBundle.load(pipeline.lake.folder(manifest))
        if str(manifest.details["serve_cut"]) <= pipeline.calendar().eval_cut:
            return self._lists(self._cut_with(bundle.factors))
        if bundle.stage == pipeline.config.stages.embeddings:
            return self.newest()
        if bundle.stage.engine != "implicit":
            return None  # a fit by Spark, or by the project's own code of that time, is not repeated for a comparison
        return self._lists(self._cut_with(fit_factors(pipeline, self.cut.dt, _no_session, bundle.stage)))

    def _cut_with(self, factors: "Factors") -> "Cut":
        from ok_ml.recommender.ranking.gather import NO_FEATURES
        from ok_ml.recommender.ranking.ranking_context import Cut

        pipeline, dt = self.pipeline, self.pipeline.calendar().eval_cut
        popularity = candidate_popularity(pipeline, dt)
        return Cut.load(pipeline.tables, dt, factors=factors, popularity=popularity, layout=NO_FEATURES)

    def _lists(self, cut: "Cut") -> "NDArray[np.int64]":
        from ok_ml.recommender.ranking.baselines import embedding_lists

        return embedding_lists(cut, self.pipeline.dataset.parts, self.users, self.k)


def predict(pipeline: ListPipeline, session: Any, *, progress: Callable[[str], None]) -> Manifest:
    """Every user's list by the champion's vectors, verified; commit.

    Raises
    ------
    GateRefused
        There is no champion.
    IntegrityError
        The champion's record or bytes were changed.
    """
    from ok_ml.recommender.inference.batch import score_all, warm_kernels
    from ok_ml.recommender.inference.vector_lists import part_mapper

    dt = pipeline.calendar().serve_cut
    bundle, record = champion_bundle(pipeline)
    inputs, top_n = pipeline.inputs_of(c.PREDICTIONS, dt), pipeline.config.stages.predictions.top_n
    warm_kernels()
    progress(f"predictions of {dt} with model version {record.model_version}")
    where = (str(bundle), str(pipeline.lake.root), pipeline.dataset_scope, pipeline.name, dt)
    return score_all(
        session,
        partial(part_mapper, *where, top_n=top_n),
        pipeline.lake,
        pipeline.name,
        dt,
        pipeline.dataset.parts,
        inputs=inputs,
        details={"model_version": record.model_version, "data_dt": dt},
    )


def _no_session() -> Any:
    raise NotImplementedError("the implicit engine needs no Spark")
