"""What an experiment has committed, for notebooks: read-only, as Arrow tables (`.to_pandas()` makes frames of them).

>>> import ok_ml
>>> discovery = ok_ml.open("prod_discovery")
>>> discovery.features("user").to_pandas()
>>> discovery.predictions("2026-02-01")
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ok_ml import columns as c
from ok_ml.errors import UsageError
from ok_ml.stages.pipeline import Pipeline

if TYPE_CHECKING:
    import pyarrow as pa

_FEATURES: Final = {
    "user": c.USER_FEATURES,
    "source": c.SOURCE_FEATURES,
    "pair": c.PAIR_FEATURES,
    "text": c.TEXT_FEATURES,
}
_DATA: Final = (c.EVENTS, c.TEXTS, c.REJECTED, c.USERS, c.SOURCES, c.SUBSCRIPTIONS, c.FRIENDS)
_SERVE: Final = "serve"
_CUTS: Final = ("train", "eval", _SERVE)


@dataclass(frozen=True)
class OpenExperiment:
    """One experiment's tables. Nothing here writes; every table is read through its manifest, so it is whole."""

    pipeline: Pipeline

    @property
    def days(self) -> list[str]:
        """Partitions with features, ascending; of a type without features those with predictions."""
        tables = (*self.pipeline.feature_tables, c.PREDICTIONS)
        return self.pipeline.lake.partitions(self.pipeline.name, tables[0])

    def features(self, entity: str, dt: str | None = None) -> "pa.Table":
        """Features of all users, sources or pairs at the end of a day, by default the newest.

        Raises
        ------
        UsageError
            `entity` is none of user, source, pair, text.
        NotCommitted
            That day has no features.
        """
        return self._read(self.pipeline.name, _FEATURES[_one_of(_FEATURES, entity, "entity")], dt)

    def statistics(self, dt: str | None = None) -> "pa.Table":
        """One row a feature: counts, moments, quantiles, histogram."""
        return self._read(self.pipeline.name, c.FEATURE_STATISTICS, dt)

    def predictions(self, dt: str | None = None) -> "pa.Table":
        """One row a user: source_ids and scores, best first, and why each source is there."""
        return self._read(self.pipeline.name, c.PREDICTIONS, dt)

    def data(self, table: str, dt: str | None = None) -> "pa.Table":
        """A table of the dataset: events, rejected_events, users, sources, subscriptions, friends."""
        return self._read(self.pipeline.dataset_scope, _one_of(_DATA, table, "table"), dt)

    def embeddings(self, cut: str = "serve") -> "tuple[pa.Table, pa.Table]":
        """Vectors of users and of sources, float32 lists: of the newest day that is served, or of train or eval."""
        import pyarrow as pa

        from ok_ml.ranked_lists.fits import fitted_for
        from ok_ml.ranked_lists.pipeline import ListPipeline
        from ok_ml.recommender.retrieval.fitted import Fitted

        if not isinstance(self.pipeline, ListPipeline):
            raise UsageError(
                f"{self.pipeline.name} is a {self.pipeline.type.name}, which has no vectors",
                why="only pipelines of lists fit vectors of users and sources",
                remedy="read its predictions, or open an experiment of lists",
            )
        if _one_of(_CUTS, cut, "cut") == _SERVE:
            lake, name = self.pipeline.lake, self.pipeline.name
            newest = lake.manifest(name, c.RETRIEVAL, lake.latest(name, c.RETRIEVAL))
            factors = Fitted.load(lake.folder(newest)).factors
        else:
            factors = fitted_for(self.pipeline, cut).factors

        def table(key: str, ids: Any, vectors: Any) -> pa.Table:
            flat = pa.array(vectors.reshape(-1))
            return pa.table({key: pa.array(ids), "vector": pa.FixedSizeListArray.from_arrays(flat, factors.width)})

        return (
            table(c.USER_ID, factors.user_ids, factors.user_factors),
            table(c.SOURCE_ID, factors.source_ids, factors.source_factors),
        )

    def training_set(self) -> "pa.Table":
        """The rows that the newest model learnt from."""
        return self.pipeline.lake.read(self.pipeline.name, c.TRAINING_SET)

    def metrics(self) -> "pa.Table":
        """The newest evaluation: scores, differences, segments and shares of the way to the oracle, with intervals."""
        import pyarrow as pa

        from ok_ml.stages.evaluation import load_evaluation

        return pa.Table.from_pylist(load_evaluation(self.pipeline).rows)

    def _read(self, scope: str, table: str, dt: str | None) -> "pa.Table":
        lake = self.pipeline.lake
        return lake.read(scope, table, [dt or lake.latest(scope, table)])


def open_experiment(
    experiment: str, *, root: Path | None = None, size: str | None = None, attempt: str | None = None
) -> OpenExperiment:
    """See `ok_ml.open`."""
    from ok_ml.config.loader import load_project
    from ok_ml.release.trials.attempts import find_attempt
    from ok_ml.stages.opening import open_pipeline

    pipeline = open_pipeline(load_project(root, size), experiment)
    return OpenExperiment(pipeline if attempt is None else find_attempt(pipeline, attempt))


def _one_of(known: Iterable[str], given: str, what: str) -> str:
    if given not in known:
        raise UsageError(
            f"no {what} named {given!r}; known: {', '.join(known)}",
            why="nothing of that name is stored",
            remedy="take one of these names",
        )
    return given
