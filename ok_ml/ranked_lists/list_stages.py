"""Stages of every pipeline that makes lists: numbers of vectors and lists, what is published, what people did with it."""

from typing import Any, Final

from ok_ml import columns as c
from ok_ml.ranked_lists import list_records as records
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.release.records import predicted, same
from ok_ml.release.shared_stages import SPARK, plots, prediction_statistics, publication
from ok_ml.stages.stage import Follows, Grain, Made, Phase, Read, Stage, Starts, Step, StepContext, single

_ONLINE_METRICS: Final = Stage[ListPipeline](
    c.ONLINE_METRICS,
    Phase.DAILY,
    Grain.DAY,
    "Served lists against what people then did.\n\nHit rate, recall, ndcg and coverage as the offline evaluation defines "
    "them, and how impressions of served sources compare with all others; by segment and model version. A day on which "
    "nothing was served has no rows and says why.",
    frozenset({"python", "parquet"}),
    reads=(
        Read((c.LIVE_PREDICTIONS,)),
        Read((c.EVENTS,), records.from_then_on, of_dataset=True),
        Read((c.USERS, c.SOURCES, c.SUBSCRIPTIONS), of_dataset=True),
    ),
    more=records.of_online_metrics,
    is_series=True,
)

_RETRIEVAL: Final = Stage[ListPipeline](
    c.RETRIEVAL,
    Phase.SERVING,
    Grain.NEWEST,
    "What candidates come from, fitted every day.\n\nVectors, neighbours and popularity up to the newest day, by the recipe that "
    "the champion was judged with: what is served is never older than a day.",
    frozenset({"python", "numpy"}),
    reads=(
        Read((c.EVENTS,), records.learnt, of_dataset=True),
        Read((c.USERS,), same, of_dataset=True),
        Read((c.CHAMPION,)),
    ),
    more=records.of_retrieval,
    trigger=Starts(),
)

_EMBEDDING_STATISTICS: Final = Stage[ListPipeline](
    c.EMBEDDING_STATISTICS,
    Phase.SERVING,
    Grain.NEWEST,
    "Numbers of the served vectors, day by day.\n\nNorms, nearest sources, and how far these moved from the fit before.",
    frozenset({"python", "numpy"}),
    reads=(Read((c.RETRIEVAL,), same),),
    trigger=Follows(c.RETRIEVAL),
    describes=(c.RETRIEVAL,),
    is_series=True,
)


def online_metrics() -> Step[Any]:
    """What was served against what people did."""
    return single(_ONLINE_METRICS, _online_metrics)


def _online_metrics(pipeline: ListPipeline, context: StepContext) -> Made:
    from ok_ml.monitoring.plots.series_plots import plot_online
    from ok_ml.ranked_lists.online_metrics import build_online_metrics

    manifests = build_online_metrics(pipeline, context.days, progress=context.say)
    return Made(manifests, plots(plot_online(pipeline, pipeline.config.checks.online.fall)))


def retrieval() -> Step[Any]:
    """What was fitted for the newest day."""
    return single(_RETRIEVAL, _retrieval, needs=SPARK)


def _retrieval(pipeline: ListPipeline, context: StepContext) -> Made:
    from ok_ml.ranked_lists.fits import commit_retrieval

    return Made([commit_retrieval(pipeline.pinned(), context.session, progress=context.say)])


def embedding_statistics() -> Step[Any]:
    """Numbers of the newest serving fit."""
    return single(_EMBEDDING_STATISTICS, _embedding_statistics)


def _embedding_statistics(pipeline: ListPipeline, _context: StepContext) -> Made:
    from ok_ml.ranked_lists.embedding_watch import build_embedding_statistics
    from ok_ml.ranked_lists.list_plots import plot_embeddings

    return Made([build_embedding_statistics(pipeline)], plots(plot_embeddings(pipeline)))


def list_statistics() -> Step[Any]:
    """Numbers of the newest lists."""
    return prediction_statistics(
        "Numbers of the lists, before they are served.\n\nWho is served, how long and how alike the lists are, which sources "
        "they hold, how their scores compare with the same model's generations before; publication waits for its check.",
        Read((c.USERS, c.SOURCES, c.SUBSCRIPTIONS), same, of_dataset=True, in_graph=False),
    )


def list_publication() -> Step[Any]:
    """The lists, and the catalogue of their day."""
    return publication(Read((c.SOURCES,), predicted, of_dataset=True, in_graph=False))
