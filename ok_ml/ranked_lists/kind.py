"""Ranked lists of sources, as checks, publication and the pages know them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ok_ml import columns as c
from ok_ml.lake import Manifest
from ok_ml.quality.judges.verdicts import Verdict
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.stages.prediction_kind import Limit, PredictionKind

if TYPE_CHECKING:
    import pyarrow as pa

    from ok_ml.delivery.payloads import Payload


class RankedLists(PredictionKind):
    """A user's sources, best first."""

    name = "ranked_list"
    what = "lists"
    check = "lists"
    promise = "Every user has a full list without sources that they are subscribed to."

    def look(self, pipeline: ListPipeline) -> Verdict:
        """See `faults_of_lists`."""
        from ok_ml.ranked_lists.list_faults import faults_of_lists

        return faults_of_lists(pipeline)

    def count(self, pipeline: ListPipeline, *, progress: Callable[[str], None]) -> Manifest:
        """See `build_prediction_statistics`."""
        from ok_ml.ranked_lists.list_statistics import build_prediction_statistics

        return build_prediction_statistics(pipeline, progress=progress)

    def limits(self, pipeline: ListPipeline) -> Iterator[Limit]:
        """What `checks.predictions` declares."""
        from ok_ml.ranked_lists.list_statistics import limits_of

        return limits_of(pipeline.config.checks.predictions)

    def plots(self, pipeline: ListPipeline) -> dict[str, Path]:
        """Lists and scores by day."""
        from ok_ml.ranked_lists.list_plots import plot_predictions

        return plot_predictions(pipeline)

    def payload(self, pipeline: ListPipeline, predictions: Manifest) -> "Payload":
        """The lists, the catalogue of their day, and what was popular then for unknown users."""
        from ok_ml.delivery.payloads import RankedListPayload

        catalogue = pipeline.lake.read(pipeline.dataset_scope, c.SOURCES, [predictions.partition])
        top_n = pipeline.config.stages.predictions.top_n
        fallback = _fallback(pipeline, catalogue, top_n, predictions.partition)
        scores_are = predictions.details.get(c.SCORES, c.ORDER)
        return RankedListPayload(_with_columns(catalogue), fallback, top_n, scores_are)

    def example(self, pipeline: ListPipeline, dt: str) -> str:
        """The first user, in order of id, whose list is their own and not the fallback; else the first user."""
        import pyarrow.compute as pc

        table = pipeline.lake.read(pipeline.name, c.PREDICTIONS, [dt], columns=[c.USER_ID, c.IS_FALLBACK])
        own = table.filter(pc.invert(table[c.IS_FALLBACK]))
        users = (own if own.num_rows else table)[c.USER_ID]
        return str(pc.min(users).as_py())


RANKED_LISTS: Final = RankedLists()


def _with_columns(catalogue: "pa.Table") -> "pa.Table":
    """Sources with name and topic, null where the dataset has none."""
    import pyarrow as pa

    for name in (c.NAME, c.TOPIC):
        if name not in catalogue.column_names:
            catalogue = catalogue.append_column(name, pa.nulls(catalogue.num_rows, pa.string()))
    return catalogue.select([c.SOURCE_ID, c.NAME, c.TOPIC])


def _fallback(pipeline: ListPipeline, catalogue: "pa.Table", top_n: int, dt: str) -> "pa.Table":
    """The list for unknown users: what is popular as of the day of the predictions, one row without a user."""
    import numpy as np
    import pyarrow as pa

    from ok_ml.ranked_lists.fits import served_popularity
    from ok_ml.recommender.retrieval.popularity import EVERYBODY

    sources = np.sort(catalogue[c.SOURCE_ID].to_numpy())
    ids = sources[served_popularity(pipeline, dt).orders(sources)[EVERYBODY][:top_n]]
    scores = [1.0 / (rank + 1) for rank in range(len(ids))]
    return pa.table(
        {
            c.SOURCE_IDS: pa.array([ids.tolist()], pa.list_(pa.int64())),
            c.SCORES: pa.array([scores], pa.list_(pa.float32())),
            c.REASONS: pa.array([[c.REASON_FALLBACK] * len(ids)], pa.list_(pa.int8())),
            c.IS_FALLBACK: pa.array([True]),
        }
    )
